/// Reads a value of a flat-keyed cgroup file ("populated 1\nfrozen 0\n", cgroup-v2 documentation,
/// "Format"): nil where the key is missing or its value is no number.
public func flatKeyedValue(_ key: StaticString, in content: UnsafeRawBufferPointer) -> UInt64? {
    var index = 0
    while index < content.count {
        var end = index
        while end < content.count && content[end] != UInt8(ascii: "\n") { end += 1 }
        if let value = value(of: key, in: content[index..<end]) { return value }
        index = end + 1
    }
    return nil
}

private func value(of key: StaticString, in line: Slice<UnsafeRawBufferPointer>) -> UInt64? {
    let length = key.utf8CodeUnitCount
    guard line.count > length + 1 else { return nil }
    for offset in 0..<length where line[line.startIndex + offset] != key.utf8Start[offset] { return nil }
    guard line[line.startIndex + length] == UInt8(ascii: " ") else { return nil }
    var value: UInt64 = 0
    for byte in line[(line.startIndex + length + 1)...] {
        guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else { return nil }
        let (product, overflow) = value.multipliedReportingOverflow(by: 10)
        let (sum, carry) = product.addingReportingOverflow(UInt64(byte - UInt8(ascii: "0")))
        guard !overflow, !carry else { return nil }
        value = sum
    }
    return value
}
