import CAbseil
import CGRPC
import EventLoop
import HCLog
import Shared

/// Why the server cannot listen.
package struct RPCServerError: Error, Sendable, CustomStringConvertible {
    package let description: String
}

/// A gRPC server on a unix socket, on gRPC's C core: one thread in `run`, every call a Swift task.
package final class RPCServer: Sendable {
    /// How long calls may take to end by themselves once the server shuts down, and how long gRPC
    /// may then take to end them. Together below the two seconds after which go-plugin's client kills.
    static let gracePeriodMilliseconds: Int64 = 1000
    static let abandonPeriodMilliseconds: Int64 = 500
    /// Calls that may arrive at once; more of them wait within gRPC until one of these slots is free again, which is
    /// as soon as this process has looked at the call in it.
    private static let slots = 4

    private struct Method {
        let handler: RPCHandler
        let executor: (any TaskExecutor)?
    }

    private struct State {
        var methods: [String: Method] = [:]
        var reactorMethods: [ReactorMethod] = []
        var calls: [ObjectIdentifier: RPCCall] = [:]
        var listener: RPCListener?
        var stopping = false
        var connectionsClosed = false
    }

    private let core: CoreObject
    private let queue: CoreObject
    private let log: Logger
    private let state = Mutex(State())

    /// The library stays initialised until the process ends: a call may be given back by a task
    /// after the server is gone.
    private static let library: Void = {
        exec2_ignore_deadlocks()
        grpc_init()
    }()

    package init(log: Logger) {
        _ = Self.library
        self.log = log
        queue = CoreObject(pointer: grpc_completion_queue_create_for_next(nil))
        core = Self.makeServer()
        grpc_server_register_completion_queue(core.pointer, queue.pointer, nil)
    }

    private static func makeServer() -> CoreObject {
        // -1: no limit. A StartTask with a large environment passes the default of 4 MiB by far.
        // No ping strikes: the only client is the agent, and a cut connection looks like a dead plugin.
        let settings: [(StaticString, Int32)] = [
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
            ("grpc.http2.max_ping_strikes", 0),
        ]
        var list: [grpc_arg] = settings.map { key, value in
            var argument = grpc_arg()
            argument.type = GRPC_ARG_INTEGER
            argument.key = UnsafeMutableRawPointer(mutating: key.utf8Start).assumingMemoryBound(to: CChar.self)
            argument.value.integer = value
            return argument
        }
        return list.withUnsafeMutableBufferPointer { list in
            var arguments = grpc_channel_args(num_args: list.count, args: list.baseAddress)
            return CoreObject(pointer: grpc_server_create(&arguments, nil))
        }
    }

    /// Answers `method` ("/package.Service/Method") with `handler`. Before `listen`.
    ///
    /// - Parameters:
    ///   - reactor: Whose thread does what follows the operations of this method's calls (`ReactorMethod`).
    ///     Nil: that of the server's queue.
    ///   - executor: Whose threads the handler runs on. Nil: Swift's own, on which nothing may block.
    package func register(
        _ method: String, on reactor: Reactor? = nil, runsOn executor: (any TaskExecutor)? = nil, _ handler: RPCHandler
    ) {
        state.withLock { state in
            precondition(state.listener == nil, "register(\(method)) after listen")
            precondition(
                state.methods.updateValue(Method(handler: handler, executor: executor), forKey: method) == nil,
                "\(method) registered twice")
            guard let reactor else { return }
            guard let method = ReactorMethod(method, of: core, on: reactor) else {
                preconditionFailure("gRPC refuses \(method)")
            }
            state.reactorMethods.append(method)
        }
    }

    /// Binds the socket and accepts connections; calls are answered once `run` runs.
    ///
    /// - Parameter admission: Says which connections are not served, and why.
    package func listen(
        unixSocket path: String, on reactor: Reactor, admission: @escaping RPCListener.Admission
    ) throws(RPCServerError) {
        do throws(SystemError) {
            let listener = try RPCListener(
                unixSocket: path, server: core, reactor: reactor, admission: admission, log: log)
            grpc_server_start(core.pointer)
            try listener.begin()
            state.withLock { $0.listener = listener }
        } catch {
            throw RPCServerError(description: error.text)
        }
    }

    // MARK: - Serving

    /// How the calls ended that were under way when the server was shut down.
    package enum Ending: Sendable {
        case byThemselves
        /// gRPC cut them off when the grace period was over.
        case cutOff
        /// Some have not ended.
        case abandoned
    }

    private enum Stage {
        case serving
        /// Handlers were cancelled and may end by themselves until then.
        case draining(until: gpr_timespec)
        /// gRPC cuts the calls off until then.
        case cutting(until: gpr_timespec)
        /// Nothing is left; the queue empties itself.
        case closing(Ending)

        var deadline: gpr_timespec {
            switch self {
            case .serving, .closing: gpr_inf_future(GPR_CLOCK_MONOTONIC)
            case .draining(let until), .cutting(let until): until
            }
        }
    }

    /// Serves calls on this thread until `shutdown` is called and the calls have ended. After `listen`.
    @discardableResult package func run() -> Ending {
        precondition(state.withLock { $0.listener != nil }, "run before listen")
        for method in [nil] + state.withLock({ $0.reactorMethods }) {
            for _ in 0..<Self.slots {
                let slot = CallSlot(for: method)
                requestCall(in: slot, CompletionTag { [self] tag, succeeded in if succeeded { accept(slot, tag) } })
            }
        }
        var stage = Stage.serving
        while true {
            let event = grpc_completion_queue_next(queue.pointer, stage.deadline, nil)
            switch (event.type, stage) {
            case (GRPC_QUEUE_SHUTDOWN, .closing(let ending)):
                grpc_server_destroy(core.pointer)
                grpc_completion_queue_destroy(queue.pointer)
                return ending
            case (GRPC_QUEUE_TIMEOUT, .draining):
                grpc_server_cancel_all_calls(core.pointer)
                stage = .cutting(until: Self.after(milliseconds: Self.abandonPeriodMilliseconds))
            case (GRPC_QUEUE_TIMEOUT, .cutting):
                // Server and queue are left as they are: a handler that ends later still uses them.
                let names = state.withLock { $0.calls.values.map(\.method) }.joined(separator: " ")
                log.info("calls that do not end are abandoned", ["methods": names])
                return .abandoned
            case (GRPC_QUEUE_TIMEOUT, _):
                break
            default:
                if let tag = event.tag { CompletionTag.complete(tag, succeeded: event.success != 0) }
            }
            stage = next(after: stage)
        }
    }

    private func next(after stage: Stage) -> Stage {
        let (stopping, empty) = state.withLock { state in
            // Those of a reactor have ended when the connections have, and use another queue than this.
            (state.stopping, state.connectionsClosed && state.calls.values.allSatisfy { $0.reactor != nil })
        }
        switch stage {
        case .closing:
            return stage
        case _ where empty:
            grpc_completion_queue_shutdown(queue.pointer)
            if case .cutting = stage { return .closing(.cutOff) }
            return .closing(.byThemselves)
        case .serving where stopping:
            return .draining(until: Self.after(milliseconds: Self.gracePeriodMilliseconds))
        default:
            return stage
        }
    }

    private static func after(milliseconds: Int64) -> gpr_timespec {
        gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(milliseconds, GPR_TIMESPAN))
    }

    /// Asks gRPC for one more call. On the queue's thread only.
    private func requestCall(in slot: CallSlot, _ tag: CompletionTag) {
        let error = slot.request(of: core, queue, tag)
        if error != GRPC_CALL_OK {
            log.error("cannot ask gRPC for calls", ["grpc_call_error": Int(error.rawValue)])
        }
    }

    private func accept(_ slot: CallSlot, _ tag: CompletionTag) {
        guard let (core, method) = slot.take() else { return }
        let call = RPCCall(core: core, method: method, reactor: slot.method?.reactor, log: log) { [self] call in
            _ = state.withLock { $0.calls.removeAndShrink(ObjectIdentifier(call)) }
        }
        let (found, stopping) = state.withLock { state in
            state.calls[ObjectIdentifier(call)] = call
            return (state.methods[method], state.stopping)
        }
        if stopping {
            call.refuse(.stopping)
            return
        }
        requestCall(in: slot, tag)
        if let found {
            call.begin(found.handler, on: found.executor)
        } else {
            call.refuse(RPCStatus(code: .unimplemented, message: "this driver has no method \(method)"))
        }
    }

    // MARK: - Shutdown

    /// Ends the server; from any thread, any number of times. New calls are refused and the tasks of
    /// all handlers cancelled at once, but what they answer is still sent, so a handler may call this
    /// and then answer. `run` returns as soon as all calls have ended, at the latest after the grace
    /// and the abandon period.
    package func shutdown() {
        let calls: [RPCCall] = state.withLock { state in
            guard let listener = state.listener, !state.stopping else { return [] }
            state.stopping = true
            listener.close()
            // Under the lock, so that no thread can see `stopping` before gRPC has been told.
            let tag = CompletionTag { [self] _, _ in connectionsAreClosed() }.handOver()
            grpc_server_shutdown_and_notify(core.pointer, queue.pointer, tag)
            return Array(state.calls.values)
        }
        for call in calls { call.cancel(.stopping) }
    }

    private func connectionsAreClosed() {
        state.withLock { $0.connectionsClosed = true }
    }
}
