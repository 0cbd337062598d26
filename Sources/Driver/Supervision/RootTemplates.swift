import CLinux
import CMessages
import EventLoop
import Glibc
import HCLog
import Planning
import Shared

/// The template of tasks' roots: one mount namespace, made with the first task that needs it, and made anew when the
/// configuration or what it shows of the host has changed. Tasks that run keep theirs.
final class RootTemplates: Sendable {
    /// A template, held by its namespace.
    final class Template: Sendable {
        let namespace: OwnedDescriptor
        fileprivate let specification: TemplateSpecification
        fileprivate let facts: [PathFacts]

        fileprivate init(
            namespace: consuming OwnedDescriptor, _ specification: TemplateSpecification, _ facts: [PathFacts]
        ) {
            self.namespace = namespace
            self.specification = specification
            self.facts = facts
        }
    }

    /// Which object a path leads to; zeros where it leads to none.
    fileprivate struct PathFacts: Equatable, Sendable {
        private let device: UInt
        private let inode: UInt

        init(_ path: String) {
            var facts = stat()
            let exists = stat(path, &facts) == 0
            device = exists ? UInt(facts.st_dev) : 0
            inode = exists ? UInt(facts.st_ino) : 0
        }
    }

    private let state = Mutex<Template?>(nil)
    private let reactor: Reactor
    private let log: Logger

    init(reactor: Reactor, log: Logger) {
        self.reactor = reactor
        self.log = log
    }

    /// The template for a specification, as the host is now. Blocks its thread while one is made.
    ///
    /// - Parameter program: The Executor's file, which makes it.
    func template(_ specification: TemplateSpecification, program: String) throws(TemplateError) -> Template {
        // Taken first: what changes while the template is made makes the next start renew it.
        let facts = specification.paths.map { PathFacts($0.path) }
        let known = state.withLock { $0 }
        if let known, known.specification == specification, known.facts == facts { return known }
        let namespace = try TemplateProcess.make(specification, program: program, reactor)
        let made = Template(namespace: namespace, specification, facts)
        if known != nil { log.debug("what tasks' roots show has changed: their template was made anew") }
        state.withLock { $0 = made }
        return made
    }

    /// The one that the last task was made from.
    var current: Template? { state.withLock { $0 } }
}

/// Why a template could not be made.
enum TemplateError: Error, Sendable {
    case spawn(SpawnError)
    case system(SystemError)
    /// A step of the process that makes it.
    case step(stage: UInt32, Errno, subject: String)
    case silent

    /// The error of the start that needed the template.
    func startError(_ context: LaunchFailureContext) -> StartError {
        switch self {
        case .spawn(let error): StartError(error.isTransient ? .transient : .permanent, error.text)
        case .system(let error): StartError(error)
        case .step(let stage, let errno, let subject):
            StartError(stage: stage, errno, subject: subject, context: context)
        case .silent:
            StartError(
                .transient,
                "the template of tasks' roots was not made within \(TemplateProcess.milliseconds / 1000) s (a path on a "
                    + "file system that does not answer?)")
        }
    }
}

/// The process that makes a template.
private enum TemplateProcess {
    /// As long as a launch may take: a file system that does not answer may be on the way to a path.
    static let milliseconds: Int32 = 30_000

    /// Has the template made and holds its namespace.
    static func make(
        _ specification: TemplateSpecification, program: String, _ reactor: Reactor
    ) throws(TemplateError) -> OwnedDescriptor {
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
        let outcome = namespace(of: process, after: places.reading.number)
        process.killAndReap(on: reactor)
        return try outcome.get()
    }

    /// What the process finds open, and the Driver's ends of that.
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

    private static func namespace(
        of process: borrowing ExecutorProcess, after report: Int32
    ) -> Result<OwnedDescriptor, TemplateError> {
        var waits = [
            pollfd(fd: report, events: Int16(POLLIN), revents: 0),
            pollfd(fd: process.pidfdNumber, events: Int16(POLLIN), revents: 0),
        ]
        _ = retrying { poll(&waits, 2, milliseconds) }
        // An end without a report leaves the pipe empty.
        guard waits[0].revents != 0 else { return .failure(.silent) }
        if let error = read(report) { return .failure(error) }
        do throws(SystemError) {
            return .success(try OwnedDescriptor.open("/proc/\(process.pid)/ns/mnt", O_RDONLY))
        } catch {
            return .failure(.system(error))
        }
    }

    /// Nil where the report says that the template is ready.
    private static func read(_ report: Int32) -> TemplateError? {
        withUnsafeTemporaryAllocation(byteCount: Frame.maximumSize, alignment: 16) { buffer -> TemplateError? in
            let count = retrying { Glibc.read(report, buffer.baseAddress, buffer.count) }
            var scanner = FrameScanner()
            guard count > 0,
                let payload = scanner.next(in: UnsafeRawBufferPointer(rebasing: buffer[..<count])),
                let message = exec2__executor__template_report__unpack(
                    nil, payload.count, payload.bindMemory(to: UInt8.self).baseAddress)
            else { return .silent }
            defer { exec2__executor__template_report__free_unpacked(message, nil) }
            guard message.pointee.stage != 0 else { return nil }
            return .step(
                stage: message.pointee.stage, Errno(rawValue: message.pointee.error),
                subject: String(cString: message.pointee.subject))
        }
    }
}
