import CLinux
import CMessages

/// Requests and events as protobuf-c messages in frames. The messages are built on the stack and
/// packed into the caller's buffer: sending allocates nothing.
extension ExecutorRequest {
    /// Writes the frame of this request into `buffer` (of `Frame.maximumSize` bytes).
    public func encode(id: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> UnsafeRawBufferPointer {
        var message = Exec2__Executor__Request()
        exec2__executor__request__init(&message)
        message.id = id
        switch self {
        case .hello(let session, let minimum, let maximum):
            var hello = Exec2__Executor__Hello()
            exec2__executor__hello__init(&hello)
            hello.session = session
            hello.protocol_minimum = minimum
            hello.protocol_maximum = maximum
            return withUnsafeMutablePointer(to: &hello) { pointer in
                message.body_case = EXEC2__EXECUTOR__REQUEST__BODY_HELLO
                message.hello = pointer
                return pack(&message.base, into: buffer)
            }
        case .signal(let number):
            var signal = Exec2__Executor__Signal()
            exec2__executor__signal__init(&signal)
            signal.number = number
            return withUnsafeMutablePointer(to: &signal) { pointer in
                message.body_case = EXEC2__EXECUTOR__REQUEST__BODY_SIGNAL
                message.signal = pointer
                return pack(&message.base, into: buffer)
            }
        case .stop(let signal, let timeout):
            var stop = Exec2__Executor__Stop()
            exec2__executor__stop__init(&stop)
            stop.signal = signal
            stop.timeout_ns = timeout
            return withUnsafeMutablePointer(to: &stop) { pointer in
                message.body_case = EXEC2__EXECUTOR__REQUEST__BODY_STOP
                message.stop = pointer
                return pack(&message.base, into: buffer)
            }
        }
    }

    /// Reads a frame's payload; nil where it is no request that this build knows (then `id` is what
    /// could be read of it, to answer with, or 0).
    public static func decode(
        _ payload: UnsafeRawBufferPointer, allocator: UnsafeMutablePointer<ProtobufCAllocator>? = nil
    ) -> (id: UInt64, request: ExecutorRequest?) {
        let bytes = payload.bindMemory(to: UInt8.self)
        guard let message = exec2__executor__request__unpack(allocator, bytes.count, bytes.baseAddress) else {
            return (0, nil)
        }
        defer { exec2__executor__request__free_unpacked(message, allocator) }
        let id = message.pointee.id
        switch message.pointee.body_case {
        case EXEC2__EXECUTOR__REQUEST__BODY_HELLO:
            guard let hello: UnsafeMutablePointer<Exec2__Executor__Hello> = message.pointee.hello else {
                return (id, nil)
            }
            return (
                id,
                .hello(
                    session: hello.pointee.session, minimum: hello.pointee.protocol_minimum,
                    maximum: hello.pointee.protocol_maximum)
            )
        case EXEC2__EXECUTOR__REQUEST__BODY_SIGNAL:
            guard let signal: UnsafeMutablePointer<Exec2__Executor__Signal> = message.pointee.signal else {
                return (id, nil)
            }
            return (id, .signal(signal.pointee.number))
        case EXEC2__EXECUTOR__REQUEST__BODY_STOP:
            guard let stop: UnsafeMutablePointer<Exec2__Executor__Stop> = message.pointee.stop else { return (id, nil) }
            return (id, .stop(signal: stop.pointee.signal, timeoutNanoseconds: stop.pointee.timeout_ns))
        default:
            return (id, nil)
        }
    }
}

extension ExecutorEvent {
    /// Writes the frame of this event into `buffer` (of `Frame.maximumSize` bytes).
    public func encode(
        session: UInt64, replyTo: UInt64, into buffer: UnsafeMutableRawBufferPointer
    ) -> UnsafeRawBufferPointer {
        var message = Exec2__Executor__Event()
        exec2__executor__event__init(&message)
        message.session = session
        message.reply_to = replyTo
        switch self {
        case .welcome(let version, let state, let task):
            var started = startedMessage(task)
            var welcome = Exec2__Executor__Welcome()
            exec2__executor__welcome__init(&welcome)
            welcome.protocol = version
            welcome.state = Exec2__Executor__ExecutorState(rawValue: state.rawValue)
            return withUnsafeMutablePointer(to: &started) { startedPointer in
                welcome.task = startedPointer
                return withUnsafeMutablePointer(to: &welcome) { pointer in
                    message.body_case = EXEC2__EXECUTOR__EVENT__BODY_WELCOME
                    message.welcome = pointer
                    return pack(&message.base, into: buffer)
                }
            }
        case .started(let task):
            var started = startedMessage(task)
            return withUnsafeMutablePointer(to: &started) { pointer in
                message.body_case = EXEC2__EXECUTOR__EVENT__BODY_STARTED
                message.started = pointer
                return pack(&message.base, into: buffer)
            }
        case .launchFailed(let stage, let errno, let subject):
            return withLaunchFailed(stage, errno, subject) { pointer in
                message.body_case = EXEC2__EXECUTOR__EVENT__BODY_LAUNCH_FAILED
                message.launch_failed = pointer
                return pack(&message.base, into: buffer)
            }
        case .refused(let errno):
            var refused = Exec2__Executor__Refused()
            exec2__executor__refused__init(&refused)
            refused.error = errno.rawValue
            return withUnsafeMutablePointer(to: &refused) { pointer in
                message.body_case = EXEC2__EXECUTOR__EVENT__BODY_REFUSED
                message.refused = pointer
                return pack(&message.base, into: buffer)
            }
        case .done:
            var done = Exec2__Executor__Done()
            exec2__executor__done__init(&done)
            return withUnsafeMutablePointer(to: &done) { pointer in
                message.body_case = EXEC2__EXECUTOR__EVENT__BODY_DONE
                message.done = pointer
                return pack(&message.base, into: buffer)
            }
        case .exited(let record):
            var exited = Exec2__Executor__Exited()
            exec2__executor__exited__init(&exited)
            return withUnsafeMutablePointer(to: &exited) { pointer in
                message.body_case = EXEC2__EXECUTOR__EVENT__BODY_EXITED
                message.exited = pointer
                guard let record else { return pack(&message.base, into: buffer) }
                return record.withMessage { recordPointer in
                    pointer.pointee.record = recordPointer
                    return pack(&message.base, into: buffer)
                }
            }
        }
    }

    /// Reads a frame's payload; nil where it is no event that this build knows.
    public static func decode(
        _ payload: UnsafeRawBufferPointer
    ) -> (session: UInt64, replyTo: UInt64, event: ExecutorEvent?)? {
        let bytes = payload.bindMemory(to: UInt8.self)
        guard let message = exec2__executor__event__unpack(nil, bytes.count, bytes.baseAddress) else { return nil }
        defer { exec2__executor__event__free_unpacked(message, nil) }
        return (message.pointee.session, message.pointee.reply_to, body(of: message))
    }

    private static func body(of message: UnsafeMutablePointer<Exec2__Executor__Event>) -> ExecutorEvent? {
        switch message.pointee.body_case {
        case EXEC2__EXECUTOR__EVENT__BODY_WELCOME:
            guard let welcome: UnsafeMutablePointer<Exec2__Executor__Welcome> = message.pointee.welcome,
                let state = ExecutorState(rawValue: welcome.pointee.state.rawValue)
            else { return nil }
            return .welcome(protocol: welcome.pointee.protocol, state: state, task: startedTask(welcome.pointee.task))
        case EXEC2__EXECUTOR__EVENT__BODY_STARTED:
            return .started(startedTask(message.pointee.started))
        case EXEC2__EXECUTOR__EVENT__BODY_LAUNCH_FAILED:
            return contents(ofLaunchFailed: message.pointee.launch_failed).map {
                .launchFailed(stage: $0.stage, errno: $0.errno, subject: $0.subject)
            }
        case EXEC2__EXECUTOR__EVENT__BODY_DONE:
            return .done
        case EXEC2__EXECUTOR__EVENT__BODY_REFUSED:
            guard let refused: UnsafeMutablePointer<Exec2__Executor__Refused> = message.pointee.refused else {
                return nil
            }
            return .refused(Errno(rawValue: refused.pointee.error))
        case EXEC2__EXECUTOR__EVENT__BODY_EXITED:
            let record: UnsafeMutablePointer<Exec2__Executor__ExitRecord>? = message.pointee.exited?.pointee.record
            return .exited(record.map { ExitRecord($0.pointee) })
        default:
            return nil
        }
    }
}

private func startedMessage(_ task: StartedTask) -> Exec2__Executor__Started {
    var message = Exec2__Executor__Started()
    exec2__executor__started__init(&message)
    message.pid = task.pid
    message.started_at_ns = task.startedAt
    return message
}

private func startedTask(_ message: UnsafeMutablePointer<Exec2__Executor__Started>?) -> StartedTask {
    StartedTask(pid: message?.pointee.pid ?? 0, startedAt: message?.pointee.started_at_ns ?? 0)
}
