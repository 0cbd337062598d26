import CMessages

@testable import Exec
@testable import Messages
@testable import Planning
@testable import Shared

/// What Driver, Executors and attendants say to each other, or leave for each other on disk.
extension FuzzTarget {
    /// What an Executor reads from its control pipe.
    static func executorRequests(_ bytes: UnsafeRawBufferPointer) {
        var scanner = FrameScanner()
        while let payload = scanner.next(in: bytes) {
            precondition(payload.count <= Frame.maximumPayload)
            _ = ExecutorRequest.decode(payload, allocator: nil)
        }
        // Without a frame's checksum, which no mutation finds.
        _ = ExecutorRequest.decode(bytes, allocator: nil)
    }

    /// What the Driver reads from an events pipe.
    static func executorEvents(_ bytes: UnsafeRawBufferPointer) {
        var scanner = FrameScanner()
        while let payload = scanner.next(in: bytes) { _ = ExecutorEvent.decode(payload) }
        precondition(scanner.garbage <= bytes.count)
        _ = ExecutorEvent.decode(bytes)
    }

    static func exitRecord(_ bytes: UnsafeRawBufferPointer) {
        _ = try? ExitRecord.decode(bytes)
        // The same bytes as a message with a header that is right.
        var sealed = Array("EXEC2END".utf8)
        func append(_ number: UInt32) { withUnsafeBytes(of: number.littleEndian) { sealed += $0 } }
        append(1)
        append(UInt32(bytes.count))
        append(CRC32.checksum(bytes))
        sealed += bytes
        guard let record = sealed.withUnsafeBytes({ try? ExitRecord.decode($0) }) else { return }
        // What is read is what would be written.
        let again = UnsafeMutableRawBufferPointer.allocate(byteCount: ExitRecord.reservedSize, alignment: 16)
        defer { again.deallocate() }
        let written = record.encode(into: again)
        precondition(written.isEmpty || (try? ExitRecord.decode(written)) != nil)
    }

    /// What an attendant says of its command.
    static func execReport(_ bytes: UnsafeRawBufferPointer) {
        var scanner = FrameScanner()
        while let payload = scanner.next(in: bytes) { _ = ExecReport.decode(payload) }
        guard let report = ExecReport.decode(bytes) else { return }
        // What is read is what would be written; what speaks of too long a path is cut.
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Frame.maximumSize, alignment: 16)
        defer { buffer.deallocate() }
        var again = FrameScanner()
        let payload = again.next(in: report.encode(into: buffer))
        precondition(payload != nil)
        if case .failed(_, _, let subject) = report, subject.utf8.count > 3000 { return }
        if case .ended(_, _, let passedOver) = report, passedOver.utf8.count > 3000 { return }
        precondition(payload.flatMap { ExecReport.decode($0) } == report)
    }

    /// A task's launch request, as the Driver takes it out of an Executor for a command in the task, and as
    /// an Executor unpacks it.
    static func launchRequest(_ bytes: UnsafeRawBufferPointer) {
        let start = bytes.bindMemory(to: UInt8.self).baseAddress
        if let message = exec2__executor__launch_request__unpack(nil, bytes.count, start) {
            exec2__executor__launch_request__free_unpacked(message, nil)
        }
        guard let launch = try? DecodedMessage<Exec2__Executor__LaunchRequest>(Array(bytes)) else { return }
        _ = LaunchFailureContext(launch.root)
        for hasTerminal in [false, true] {
            let command = ExecRequest(command: ["ls", "-l"], hasTerminal: hasTerminal)
            guard let packed = try? DecodedMessage<Exec2__Executor__LaunchRequest>(command.encoded(launch.root)) else {
                preconditionFailure("what is made of a request is none")
            }
            let request = packed.root
            precondition(request.task_state_dir.isEmpty && request.exec?.isSet(\.terminal) == hasTerminal)
            precondition(request.strings(.arguments) == command.command)
            precondition(request.user_id == launch.root.user_id && request.cgroup == launch.root.cgroup)
        }
    }
}
