import Testing

@testable import HCLog
@testable import Messages
@testable import Planning

@Suite struct HostileMessageTests {
    /// A length-prefixed field.
    private func field(_ number: UInt8, _ content: [UInt8]) -> [UInt8] {
        var length = content.count
        var bytes = [number << 3 | 2]
        while length > 0x7F {
            bytes.append(UInt8(length & 0x7F) | 0x80)
            length >>= 7
        }
        return bytes + [UInt8(length)] + content
    }

    private func reason(_ bytes: [UInt8]) -> String? {
        do throws(MessageError) {
            _ = try DecodedMessage<Wire.StartTaskRequest>(bytes)
            return nil
        } catch {
            return error.description
        }
    }

    @Test func textMustBeText() {
        #expect(reason(field(1, field(9, [0x61, 0, 0x62]))) == "StartTaskRequest.task.user contains a NUL byte")
        #expect(reason(field(1, field(9, [0xC3, 0x28]))) == "StartTaskRequest.task.user is not valid UTF-8")
        #expect(reason(field(1, field(9, [0xED, 0xA0, 0x80]))) == "StartTaskRequest.task.user is not valid UTF-8")
        #expect(reason(field(1, field(4, field(2, [0])))) == "StartTaskRequest.task.env.value contains a NUL byte")
        #expect(reason(field(1, field(3, [0]))) == nil, "bytes may be anything")
    }

    @Test func lengthsMustFit() {
        #expect(
            reason([0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 0x61])
                == "StartTaskRequest is cut short: field 1 needs 4294967295 bytes and 1 are left")
        #expect(
            reason(field(1, [0x4A, 0x05, 0x61]))
                == "StartTaskRequest.task is cut short: field 9 needs 5 bytes and 1 are left")
        #expect(
            reason([0x0A] + [UInt8](repeating: 0xFF, count: 9) + [0x01])?.hasPrefix("StartTaskRequest is cut short")
                == true)
        #expect(
            reason([0x0A] + [UInt8](repeating: 0x80, count: 12))
                == "StartTaskRequest has a number of more than ten bytes")
        #expect(reason([0x0A]) == "StartTaskRequest is cut short within a number")
    }

    @Test func fieldsMustBeOfTheirType() {
        #expect(reason([0x08, 0x01]) == "StartTaskRequest.task has wire type 0 instead of 2")
        #expect(reason([0x0B]) == "StartTaskRequest has a field 1 of the unknown wire type 3")
        #expect(reason([0x02, 0x00]) == "StartTaskRequest has a field with the impossible number 0")
        #expect(reason([0xFA, 0x7F, 0x01, 0x00]) == nil, "an unknown field of a newer client")
        #expect(reason(field(1, []) + field(1, [])) == "StartTaskRequest.task is given twice")
    }

    @Test func nestingIsBounded() {
        func spec(_ depth: Int) -> [UInt8] {
            // Spec.block_value.nested, again and again: two messages for each.
            (0..<depth).reduce([]) { inner, _ in field(4, field(3, inner)) }
        }
        #expect(throws: Never.self) { try DecodedMessage<Wire.HCL.Spec>(spec(15)) }
        #expect(throws: MessageError.self) { try DecodedMessage<Wire.HCL.Spec>(spec(16)) }
        #expect(throws: MessageError.self) { try DecodedMessage<Wire.HCL.Spec>(spec(20_000)) }
    }

    @Test func numberOfFieldsIsBounded() {
        let mounts = (0..<MessageValidator.maximumFields).flatMap { _ in [0x3A, 0x00] as [UInt8] }
        #expect(
            reason(field(1, mounts)) == "StartTaskRequest.task is part of a request with more than 1048576 fields")
    }

    @Test func everyTruncationIsRefused() {
        let whole = MessageTests.startTask()
        #expect(reason(whole) == nil)
        for length in 1..<whole.count {
            #expect(reason(Array(whole[..<length])) != nil, "cut after \(length) of \(whole.count) bytes")
        }
    }

    /// 30 000 damaged requests: whatever passes can be read to the end.
    @Test func damagedRequestsNeverCrash() {
        var random: UInt64 = 0x9E37_79B9_7F4A_7C15
        func next(_ bound: Int) -> Int {
            random ^= random << 13
            random ^= random >> 7
            random ^= random << 17
            return Int(random % UInt64(bound))
        }
        let whole = MessageTests.startTask()
        var read = 0
        for _ in 0..<30_000 {
            var bytes = whole
            for _ in 0...next(4) {
                switch next(3) {
                case 0: bytes[next(bytes.count)] = UInt8(next(256))
                case 1: bytes.remove(at: next(bytes.count))
                default: bytes.insert(UInt8(next(256)), at: next(bytes.count))
                }
            }
            guard let task = try? DecodedMessage<Wire.StartTaskRequest>(bytes).root.task else { continue }
            read += 1
            _ = task.stringMap(.env)
            _ = task.messages(.mounts).map(\.task_path)
            _ = task.dns?.strings(.servers)
            _ = task.network_isolation_spec?.mode.rawValue
            _ = [task.id, task.user, task.stdout_path, task.resources?.linux_resources?.cpuset_cgroup ?? ""]
        }
        #expect(read > 1000)
    }
}
