import CGRPC
import EventLoop
import HCLog
import Shared

/// One call, from its arrival until its last operation has completed.
///
/// Every operation is started under the lock and none after `ended` was set, so that a call the
/// server counts as gone can never touch the completion queue again: gRPC aborts the process when an
/// operation is started on a queue that was shut down.
final class RPCCall: Sendable {
    typealias Waiter = UnsafeContinuation<Result<[UInt8]?, RPCStatus>, Never>
    typealias Sender = UnsafeContinuation<Result<Void, RPCStatus>, Never>

    /// What is known of the next request.
    enum Reception {
        case idle
        /// A receive operation is under way; the waiter is nil when it gave up.
        case receiving(Waiter?)
        /// A request whose reader gave up waiting (nil: the end of the stream).
        case arrived([UInt8]?)
    }

    struct PendingSend {
        let id: UInt64
        let message: OutgoingMessage
        var sender: Sender?
    }

    struct State {
        var task: Task<Void, Never>?
        var cancelled = false
        /// Nothing that is sent reaches the client any more.
        var clientIsGone = false
        /// Called where the client has not had the response that is on its way.
        var undo: (@Sendable () -> Void)?
        /// The status is on its way: nothing more may be started.
        var ended = false
        var metadataSent = false
        /// Operations started and not completed.
        var operations = 0
        var reception = Reception.idle
        /// The first one is under way, the others wait for it.
        var sends: [PendingSend] = []
        var nextSend: UInt64 = 0
    }

    let method: String
    private let core: CoreObject
    /// Of a ReactorMethod's call.
    let reactor: Reactor?
    private let log: Logger
    private let gone: @Sendable (RPCCall) -> Void
    let state = Mutex(State())

    /// Takes over the reference `core`. `gone` is called once, after the last operation of
    /// the call has completed.
    init(
        core: CoreObject, method: String, reactor: Reactor?, log: Logger, gone: @escaping @Sendable (RPCCall) -> Void
    ) {
        self.core = core
        self.reactor = reactor
        self.method = method
        self.log = log
        self.gone = gone
    }

    deinit { grpc_call_unref(core.pointer) }

    // MARK: - Life

    /// Begins the call: watches for its cancellation and runs the handler.
    ///
    /// - Parameter executor: Whose threads the handler runs on. Nil: Swift's own.
    func begin(_ handler: RPCHandler, on executor: (any TaskExecutor)?) {
        watchForCancellation()
        switch handler {
        case .unary(let answer):
            receive { call, request in
                call.run(on: executor) { (call) throws(RPCStatus) in call.end(.success(try await answer(request))) }
            }
        case .undoable(let answer):
            receive { call, request in
                call.run(on: executor) { (call) throws(RPCStatus) in
                    let response = try await answer(request)
                    call.end(.success(response.message), undo: response.undo)
                    response.afterwards()
                }
            }
        case .serverStreaming(let answer):
            receive { call, request in
                call.sendInitialMetadata()
                call.run(on: executor) { (call) throws(RPCStatus) in
                    try await answer(request, RPCResponseStream(call: call))
                    call.end(.success(nil))
                }
            }
        case .bidirectional(let answer):
            sendInitialMetadata()
            run(on: executor) { (call) throws(RPCStatus) in
                try await answer(RPCRequestStream(call: call), RPCResponseStream(call: call))
                call.end(.success(nil))
            }
        }
    }

    /// Ends a call for which there is no handler.
    func refuse(_ status: RPCStatus) {
        watchForCancellation()
        end(.failure(status))
    }

    /// Cancels the handler; a call that still waits for its request is ended.
    func cancel(_ reason: RPCStatus) {
        let (task, waitsForRequest) = state.withLock { state in
            state.cancelled = true
            return (state.task, state.task == nil && !state.ended)
        }
        // Not under the lock: the cancellation handlers of the task take it.
        task?.cancel()
        if waitsForRequest { end(.failure(reason)) }
    }

    /// Runs `body`, which ends the call unless it throws.
    private func run(
        on executor: (any TaskExecutor)?, _ body: @escaping @Sendable (RPCCall) async throws(RPCStatus) -> Void
    ) {
        let cancelled: Task<Void, Never>? = state.withLock { state in
            guard !state.ended else { return nil }
            let task = Task.detached(executorPreference: executor) {
                do throws(RPCStatus) {
                    try await body(self)
                } catch {
                    self.end(.failure(error))
                }
            }
            state.task = task
            return state.cancelled ? task : nil
        }
        cancelled?.cancel()
    }

    private func watchForCancellation() {
        let cancelled = CoreOutput<Int32>(0)
        var operation = grpc_op()
        operation.op = GRPC_OP_RECV_CLOSE_ON_SERVER
        operation.data.recv_close_on_server.cancelled = cancelled.pointer
        state.withLock { state in
            _ = start([operation], &state) { call, _ in
                call.closed(clientIsGone: cancelled.pointer.pointee != 0)
            }
        }
    }

    /// gRPC knows how the call has ended for the client: nothing can be sent any more, or all is sent.
    private func closed(clientIsGone: Bool) {
        let undo = state.withLock { state in
            state.clientIsGone = clientIsGone
            defer { state.undo = nil }
            return clientIsGone ? state.undo : nil
        }
        undo?()
        if clientIsGone { cancel(.clientGone) }
    }

    /// Receives the one request of a call and hands it on, on the queue's thread.
    private func receive(_ then: @escaping @Sendable (RPCCall, [UInt8]) -> Void) {
        let message = IncomingMessage.incoming()
        state.withLock { state in
            _ = start([receiveOperation(message)], &state) { call, succeeded in
                if succeeded, let request = message.bytes() {
                    then(call, request)
                } else {
                    call.end(.failure(RPCStatus(code: .internalError, message: "\(call.method): no request came")))
                }
            }
        }
    }

    private func end(_ result: Result<[UInt8]?, RPCStatus>, undo: (@Sendable () -> Void)? = nil) {
        let ending = Ending(result)
        let (isInVain, abandoned, last): (Bool, [Sender], Bool) = state.withLock { state in
            guard !state.ended else { return (true, [], false) }
            let isInVain = state.clientIsGone
            state.ended = true
            state.task = nil
            if !isInVain { state.undo = undo }
            var operations: [grpc_op] = []
            if !state.metadataSent { operations.append(Self.initialMetadata) }
            state.metadataSent = true
            operations += ending.operations
            if !start(operations, &state, then: { _, _ in ending.keep() }) {
                grpc_call_cancel(core.pointer, nil)
            }
            let waiting = state.sends.dropFirst().compactMap(\.sender)
            state.sends = Array(state.sends.prefix(1))
            return (isInVain, waiting, state.operations == 0)
        }
        if isInVain { undo?() }
        for sender in abandoned { sender.resume(returning: .failure(.clientGone)) }
        if last { gone(self) }
    }

    // MARK: - Operations

    /// Starts operations as one batch. Must be called with the lock held (`state` is its content).
    func start(
        _ operations: [grpc_op], _ state: inout State,
        then: @escaping @Sendable (RPCCall, _ succeeded: Bool) -> Void
    ) -> Bool {
        let tag = CompletionTag(on: reactor) { [self] _, succeeded in
            then(self, succeeded)
            let last = self.state.withLock { state in
                state.operations -= 1
                return state.ended && state.operations == 0
            }
            if last { gone(self) }
        }
        let handed = tag.handOver()
        let error = grpc_call_start_batch(core.pointer, operations, operations.count, handed, nil)
        guard error == GRPC_CALL_OK else {
            tag.takeBack(handed)
            log.error(
                "cannot start an operation of a call", ["method": method, "grpc_call_error": Int(error.rawValue)])
            return false
        }
        state.operations += 1
        return true
    }

    func receiveOperation(_ message: IncomingMessage) -> grpc_op {
        var operation = grpc_op()
        operation.op = GRPC_OP_RECV_MESSAGE
        operation.data.recv_message.recv_message = message.pointer
        return operation
    }

    private static var initialMetadata: grpc_op {
        var operation = grpc_op()
        operation.op = GRPC_OP_SEND_INITIAL_METADATA
        return operation
    }

    /// Tells the client at once that its stream is open, before there is a message for it.
    private func sendInitialMetadata() {
        state.withLock { state in
            guard !state.ended, !state.metadataSent else { return }
            state.metadataSent = start([Self.initialMetadata], &state) { _, _ in }
        }
    }
}
