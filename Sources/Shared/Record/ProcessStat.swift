/// When a process started, in clock ticks since boot: field 22 of /proc/<pid>/stat (proc_pid_stat(5)).
///
/// The second field is the program's name in parentheses, which may itself contain parentheses and spaces: the other
/// fields begin behind the last parenthesis. Nil if field 22 is missing.
public func processStartTime(inStat content: UnsafeRawBufferPointer) -> UInt64? {
    var index = content.count - 1
    while index >= 0 && content[index] != UInt8(ascii: ")") { index -= 1 }
    guard index >= 0 else { return nil }
    index += 2
    // Behind the name come field 3 and those after it.
    var field = 3
    while index < content.count && field < 22 {
        if content[index] == UInt8(ascii: " ") { field += 1 }
        index += 1
    }
    var value: UInt64?
    while index < content.count, content[index] >= UInt8(ascii: "0"), content[index] <= UInt8(ascii: "9") {
        let (product, overflow) = (value ?? 0).multipliedReportingOverflow(by: 10)
        let (sum, carry) = product.addingReportingOverflow(UInt64(content[index] - UInt8(ascii: "0")))
        guard !overflow, !carry else { return nil }
        value = sum
        index += 1
    }
    return value
}
