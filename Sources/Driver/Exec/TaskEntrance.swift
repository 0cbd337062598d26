import CLinux
import CMessages
import EventLoop
import Glibc
import Messages
import Shared
import Supervision

/// The way into a running task: its main process, and the request that it was launched with.
struct TaskEntrance: ~Copyable {
    /// A pidfd of the task's main process.
    let task: OwnedDescriptor
    let request: MessageView<Exec2__Executor__LaunchRequest>
    /// The task's Landlock ruleset, which its Executor keeps; nil where the task has the host's root.
    private let ruleset: OwnedDescriptor?
    let rulesetNumber: Int32?
    /// The task's own devpts file system; nil where it has none.
    private let terminals: OwnedDescriptor?
    let terminalsNumber: Int32?

    /// Opens the way.
    ///
    /// - Parameters:
    ///   - executorPidfd: Vouches for the Executor: as long as it lives, its pid is not another's.
    ///   - mainProcess: The task's main process as the Executor named it; nil: to be looked for.
    init(
        task id: String, executor: Int32, executorPidfd: Int32, mainProcess: Int32?
    ) throws(ExecError) {
        let request = try Self.request(id, executor: executor, executorPidfd)
        let pid: Int32
        if let mainProcess {
            pid = mainProcess
        } else {
            guard let found = Self.mainProcess(of: executor) else { throw .notRunning(id) }
            pid = found
        }
        let task = try Self.hold(pid, task: id, executor: executor)
        let root = request.root
        let ruleset =
            try root == nil
            ? nil
            : Self.kept(
                TemplateDescriptor.ruleset, "the task's Landlock ruleset", id, executor: executor, executorPidfd)
        let terminals =
            try (root?.isSet(\.terminals) ?? false)
            ? Self.kept(TemplateDescriptor.terminals, "the task's terminals", id, executor: executor, executorPidfd)
            : nil
        self.task = task
        self.request = request
        rulesetNumber = Self.number(of: ruleset)
        self.ruleset = ruleset
        terminalsNumber = Self.number(of: terminals)
        self.terminals = terminals
    }

    private static func number(of descriptor: borrowing OwnedDescriptor?) -> Int32? {
        switch descriptor {
        case .some(let descriptor): descriptor.number
        case .none: nil
        }
    }

    /// A copy of what the Executor keeps for commands at a descriptor.
    private static func kept(
        _ place: Int32, _ subject: String, _ id: String, executor: Int32, _ executorPidfd: Int32
    ) throws(ExecError) -> OwnedDescriptor? {
        let number = exec2_pidfd_getfd(executorPidfd, place)
        guard number >= 0 else {
            if Errno.last == .noSuchProcess { throw .notRunning(id) }
            throw ExecError(task: id, SystemError("take \(subject) from", "Executor \(executor)"))
        }
        do throws(SystemError) {
            return try ExecutorProcess.aboveStandard(OwnedDescriptor(owning: number))
        } catch {
            throw ExecError(task: id, error)
        }
    }

    /// Holds the main process. The order counts: once the pidfd is open the pid cannot come to mean another
    /// process unnoticed, and what has this parent and this number in its namespace is the task's first.
    private static func hold(
        _ pid: Int32, task id: String, executor: Int32
    ) throws(ExecError) -> OwnedDescriptor {
        let number = exec2_pidfd_open(pid)
        guard number >= 0 else { throw .notRunning(id) }
        let process = OwnedDescriptor(owning: number)
        guard let facts = ProcessPlace(ofProcess: pid), facts.isMainProcess(of: executor),
            // While it can be signalled it has not been reaped: what was read is its own.
            exec2_pidfd_send_signal(number, 0) == 0
        else { throw .notRunning(id) }
        return process
    }

    private static func mainProcess(of executor: Int32) -> Int32? {
        (DirectoryListing.names(in: "/proc") ?? []).lazy.compactMap { Int32($0) }.first { pid in
            ProcessPlace(ofProcess: pid)?.isMainProcess(of: executor) ?? false
        }
    }

    // MARK: The launch request

    private static let memoryName = "/memfd:exec2-launch-request"

    static func request(
        _ id: String, executor: Int32, _ executorPidfd: Int32
    ) throws(ExecError) -> MessageView<Exec2__Executor__LaunchRequest> {
        let number = exec2_pidfd_getfd(executorPidfd, LaunchMemory.descriptor)
        guard number >= 0 else {
            switch Errno.last.rawValue {
            case EBADF: throw .olderExecutor(id, executor: executor)
            case ESRCH: throw .notRunning(id)
            default:
                throw ExecError(task: id, SystemError("take the launch request from", "Executor \(executor)"))
            }
        }
        let memory = OwnedDescriptor(owning: number)
        do throws(SystemError) {
            if try name(of: memory).hasPrefix(memoryName) { return try decode(try contents(of: memory), id) }
        } catch {
            throw ExecError(task: id, error)
        }
        // Another file is at that number.
        throw .olderExecutor(id, executor: executor)
    }

    private static func decode(
        _ bytes: [UInt8], _ id: String
    ) throws(SystemError) -> MessageView<Exec2__Executor__LaunchRequest> {
        guard let message = try? DecodedMessage<Exec2__Executor__LaunchRequest>(bytes, anyText: true) else {
            throw SystemError("decode", "the launch request of \(bytes.count) bytes", Errno(rawValue: EBADMSG))
        }
        return message.root
    }

    private static func name(of descriptor: borrowing OwnedDescriptor) throws(SystemError) -> String {
        var buffer = [CChar](repeating: 0, count: 128)
        let count = readlink("/proc/self/fd/\(descriptor.number)", &buffer, buffer.count)
        guard count >= 0 else { throw SystemError("examine", "the launch request") }
        return String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Read from the beginning, whatever the file's offset, which is the Executor's too, says.
    private static func contents(of memory: borrowing OwnedDescriptor) throws(SystemError) -> [UInt8] {
        let size = Int(try memory.facts().size)
        let number = memory.number
        var done = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            while done < size {
                let part = UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[done...])
                let found = retrying { pread(number, part.baseAddress, part.count, off_t(done)) }
                guard found > 0 else { break }
                done += found
            }
            count = done
        }
        guard bytes.count == size else { throw SystemError("read", "the launch request") }
        return bytes
    }
}

/// Where a process stands among others: from /proc/<pid>/status (proc_pid_status(5)).
struct ProcessPlace: Equatable, Sendable {
    let parent: Int32
    /// Its pid in each PID namespace that it is seen from, the innermost last.
    let pids: [Int32]

    /// Nil if the process does not exist.
    init?(ofProcess pid: Int32) {
        guard let status = try? HostFile.read("/proc/\(pid)/status") else { return nil }
        self.init(status: String(decoding: status, as: UTF8.self))
    }

    /// - Parameter status: What the file holds.
    init?(status: String) {
        var parent: Int32?
        var pids: [Int32] = []
        for line in status.split(separator: "\n") {
            let words = line.split(whereSeparator: { $0 == "\t" || $0 == " " })
            switch words.first {
            case "PPid:": parent = words.dropFirst().first.flatMap { Int32($0) }
            case "NSpid:": pids = words.dropFirst().compactMap { Int32($0) }
            default: break
            }
        }
        guard let parent, !pids.isEmpty else { return nil }
        self.parent = parent
        self.pids = pids
    }

    /// An Executor has pid 1 in its task's namespace, and the first process that it clones has pid 2. The kernel gives
    /// pid 2 to another process only after all others, and such a process would be the task's as well.
    func isMainProcess(of executor: Int32) -> Bool {
        parent == executor && pids.count > 1 && pids.last == 2
    }
}
