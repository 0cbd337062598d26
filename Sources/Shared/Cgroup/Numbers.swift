/// The decimal number that begins at `index` of the kernel's text, which then stands behind it; nil where
/// none does, or one that 64 bits do not hold.
public func decimalNumber(in content: UnsafeRawBufferPointer, at index: inout Int) -> UInt64? {
    var value: UInt64?
    while index < content.count, case let digit = content[index] &- UInt8(ascii: "0"), digit <= 9 {
        let (product, overflow) = (value ?? 0).multipliedReportingOverflow(by: 10)
        let (sum, carry) = product.addingReportingOverflow(UInt64(digit))
        if overflow || carry { return nil }
        value = sum
        index += 1
    }
    return value
}

/// The number of a file that holds one in its first line and nothing else there ("single values",
/// cgroup-v2 documentation, "Format"); nil for anything else, such as `max`.
public func singleNumber(in content: UnsafeRawBufferPointer) -> UInt64? {
    var index = 0
    guard let value = decimalNumber(in: content, at: &index) else { return nil }
    return index == content.count || content[index] == UInt8(ascii: "\n") ? value : nil
}
