import CLinux
import CMessages
import EventLoop
import Glibc
import Host
import Planning
import Shared

/// The mount namespace of a template.
struct TemplateNamespace: ~Copyable, Sendable {
    let namespace: OwnedDescriptor
    /// Its mountinfo file. poll(2) reports when the mounts change (proc_pid_mountinfo(5)).
    private let mounts: OwnedDescriptor
    private let isChanged = Mutex(false)

    /// - Parameter mounts: The open mountinfo of a process in it.
    init(_ namespace: consuming OwnedDescriptor, mounts: consuming OwnedDescriptor) {
        self.namespace = namespace
        self.mounts = mounts
    }

    /// The namespace that a process is in.
    init(of process: Int32) throws(SystemError) {
        let namespace = try OwnedDescriptor.open("/proc/\(process)/ns/mnt", O_RDONLY)
        let mounts = try OwnedDescriptor.open("/proc/\(process)/mountinfo", O_RDONLY)
        self.init(namespace, mounts: mounts)
    }

    /// Whether the mounts have changed since the template was made. What the host has mounted there has the host's
    /// options, and hidden directories in it are not covered.
    var hasOtherMounts: Bool {
        isChanged.withLock { isChanged in
            var wait = pollfd(fd: mounts.number, events: Int16(POLLPRI), revents: 0)
            // The kernel reports each change once.
            if retrying({ poll(&wait, 1, 0) }) > 0 { isChanged = true }
            return isChanged
        }
    }
}

/// The process that makes a template.
enum TemplateProcess {
    /// As for the reading of the paths, all of which have just responded.
    static let nanoseconds: UInt64 = TemplateFacts.maximumNanoseconds
    /// How long a process that has closed its pipes may take to end.
    private static let endNanoseconds: UInt64 = 1_000_000_000

    /// Has a template made and holds its namespace.
    static func make(
        _ specification: TemplateSpecification, program: String, _ reactor: Reactor
    ) async -> Result<TemplateNamespace, TemplateError> {
        do throws(TemplateError) {
            let maker = try begin(specification, program: program, reactor)
            let result = await namespace(of: maker, specification, reactor)
            maker.process.killAndReap(on: reactor)
            return result
        } catch {
            return .failure(error)
        }
    }

    private struct Maker: ~Copyable {
        let process: ExecutorProcess
        /// The path that it was executed from.
        let program: String
        let report: OwnedDescriptor
        /// Its request, and behind that its progress.
        let memory: OwnedDescriptor
        /// The process ends when this is closed.
        let launchPipe: OwnedDescriptor
    }

    /// The descriptors that the process inherits, and the Driver's ends of its pipes.
    private struct Places: ~Copyable {
        let request: ExecutorProcess.Handover
        let reading, writing: OwnedDescriptor

        init(_ specification: TemplateSpecification) throws(SystemError) {
            let request = try ExecutorProcess.Handover(specification.encoded)
            var ends: [Int32] = [-1, -1]
            guard exec2_pipe2(&ends, O_CLOEXEC) == 0 else { throw SystemError("make", "a pipe") }
            let reading = OwnedDescriptor(owning: ends[0])
            let writing = try ExecutorProcess.aboveStandard(OwnedDescriptor(owning: ends[1]))
            self.request = request
            self.reading = reading
            self.writing = writing
        }
    }

    private static func begin(
        _ specification: TemplateSpecification, program: String, _ reactor: Reactor
    ) throws(TemplateError) -> Maker {
        let places: Places
        do throws(SystemError) {
            places = try Places(specification)
        } catch {
            throw .system(error)
        }
        let process: ExecutorProcess
        do throws(SpawnError) {
            let handed = places.request.places + [(places.writing.number, TemplateDescriptor.report)]
            process = try ExecutorProcess.spawn(
                path: program, ExecutorProcess.steps(handing: handed), namespaces: 0, cgroup: -1,
                reactor: reactor)
        } catch {
            throw .spawn(error)
        }
        return Maker(
            process: process, program: program, report: places.reading, memory: places.request.memory,
            launchPipe: places.request.launchPipe)
    }

    private static func namespace(
        of maker: borrowing Maker, _ specification: TemplateSpecification, _ reactor: Reactor
    ) async -> Result<TemplateNamespace, TemplateError> {
        do throws(SystemError) {
            guard try await isReadable(maker.report.number, within: nanoseconds, reactor) else {
                return .failure(obstacle(to: maker, specification))
            }
            switch try read(maker.report.number) {
            case .failed(let error): return .failure(error)
            case .ready: return .success(try TemplateNamespace(of: maker.process.pid))
            case .none:
                _ = try await isReadable(maker.process.pidfdNumber, within: endNanoseconds, reactor)
                guard case .reaped(let termination) = ExecutorTermination.reap(maker.process.pidfdNumber) else {
                    return .failure(.ended(maker: maker.process.pid, program: maker.program, .unknown))
                }
                return .failure(.ended(maker: maker.process.pid, program: maker.program, termination))
            }
        } catch {
            return .failure(.system(error))
        }
    }

    /// Whether a descriptor becomes readable, or its other end is closed, in time.
    private static func isReadable(
        _ descriptor: Int32, within nanoseconds: UInt64, _ reactor: Reactor
    ) async throws(SystemError) -> Bool {
        let readable = OneShot<Void>()
        let watch = try reactor.watchOnce(descriptor) { readable.set(()) }
        defer { reactor.unwatch(watch, descriptor) }
        return await readable.wait(atMost: nanoseconds, on: reactor) != nil
    }

    /// The error for a process that is not ready in time; it names the path that the process waits for.
    private static func obstacle(to maker: borrowing Maker, _ specification: TemplateSpecification) -> TemplateError {
        let seconds = nanoseconds / 1_000_000_000
        var progress: UInt32 = 0
        let memory = maker.memory.number
        let count = retrying { pread(memory, &progress, 4, TemplateProgress.offset) }
        let paths =
            specification.paths.map(\.examined)
            + specification.directories.map { ExaminedPath(path: $0, option: nil) }
        guard count == 4, let index = Int(exactly: progress), paths.indices.contains(index - 1) else {
            return .notMade(maker: maker.process.pid, seconds: seconds)
        }
        return .unanswered(.making, UnansweredPath(examined: paths[index - 1], seconds: seconds))
    }

    private enum Report {
        case none, ready
        case failed(TemplateError)
    }

    private static func read(_ report: Int32) throws(SystemError) -> Report {
        // A result, since in Swift 6.2 a closure of this function cannot throw only errors of one type.
        let read = withUnsafeTemporaryAllocation(byteCount: Frame.maximumSize, alignment: 16) {
            buffer -> Result<Report, SystemError> in
            let count = retrying { Glibc.read(report, buffer.baseAddress, buffer.count) }
            guard count >= 0 else { return .failure(SystemError("read", "the report of the process that makes it")) }
            var scanner = FrameScanner()
            guard count > 0,
                let payload = scanner.next(in: UnsafeRawBufferPointer(rebasing: buffer[..<count])),
                let message = exec2__executor__template_report__unpack(
                    nil, payload.count, payload.bindMemory(to: UInt8.self).baseAddress)
            else { return .success(.none) }
            defer { exec2__executor__template_report__free_unpacked(message, nil) }
            guard message.pointee.stage != 0 else { return .success(.ready) }
            return .success(
                .failed(
                    .step(
                        stage: message.pointee.stage, Errno(rawValue: message.pointee.error),
                        subject: String(cString: message.pointee.subject))))
        }
        return try read.get()
    }
}
