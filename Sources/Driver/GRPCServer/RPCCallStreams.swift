import CGRPC

/// Receiving and sending of streaming calls. gRPC allows one receive and one send at a time; both
/// can be given up by their task without ending the call, which gRPC itself has no operation for.
extension RPCCall {
    func nextRequest() async throws(RPCStatus) -> [UInt8]? {
        let result = await withTaskCancellationHandler {
            await withUnsafeContinuation { (waiter: Waiter) in
                if let result = wait(waiter) { waiter.resume(returning: result) }
            }
        } onCancel: {
            stopWaiting()
        }
        return try result.get()
    }

    /// Registers the waiter, or answers at once.
    private func wait(_ waiter: Waiter) -> Result<[UInt8]?, RPCStatus>? {
        state.withLock { state in
            if Task.isCancelled || state.ended || state.cancelled { return .failure(.clientGone) }
            switch state.reception {
            case .arrived(.some(let message)):
                state.reception = .idle
                return .success(message)
            case .arrived(nil):
                return .success(nil)
            case .receiving(nil):
                state.reception = .receiving(waiter)
                return nil
            case .receiving:
                return .failure(
                    RPCStatus(code: .internalError, message: "\(method): two tasks wait for a request at once"))
            case .idle:
                let message = IncomingMessage.incoming()
                guard start([receiveOperation(message)], &state, then: { $0.arrived(message, $1) }) else {
                    return .failure(.clientGone)
                }
                state.reception = .receiving(waiter)
                return nil
            }
        }
    }

    private func arrived(_ incoming: IncomingMessage, _ succeeded: Bool) {
        let message = succeeded ? incoming.bytes() : nil
        let waiter: (Waiter, Result<[UInt8]?, RPCStatus>)? = state.withLock { state in
            guard case .receiving(let waiter) = state.reception else { return nil }
            state.reception = waiter == nil || message == nil ? .arrived(message) : .idle
            return waiter.map { ($0, state.cancelled ? .failure(.clientGone) : .success(message)) }
        }
        if let (waiter, result) = waiter { waiter.resume(returning: result) }
    }

    private func stopWaiting() {
        let waiter: Waiter? = state.withLock { state in
            guard case .receiving(let waiter) = state.reception else { return nil }
            state.reception = .receiving(nil)
            return waiter
        }
        waiter?.resume(returning: .failure(.clientGone))
    }

    var isFree: Bool { state.withLock { $0.sends.isEmpty } }

    func offer(_ bytes: [UInt8]) -> Bool {
        let message = OutgoingMessage(bytes)
        return state.withLock { state in
            guard state.sends.isEmpty else { return false }
            state.nextSend += 1
            return begin(PendingSend(id: state.nextSend, message: message, sender: nil), &state)
        }
    }

    func send(_ bytes: [UInt8]) async throws(RPCStatus) {
        let id = state.withLock { state in
            state.nextSend += 1
            return state.nextSend
        }
        let message = OutgoingMessage(bytes)
        let result = await withTaskCancellationHandler {
            await withUnsafeContinuation { (sender: Sender) in
                enqueue(PendingSend(id: id, message: message, sender: sender))
            }
        } onCancel: {
            stopSending(id)
        }
        try result.get()
    }

    private func enqueue(_ send: PendingSend) {
        let accepted = state.withLock { state in
            !Task.isCancelled && begin(send, &state)
        }
        if !accepted { send.sender?.resume(returning: .failure(.clientGone)) }
    }

    /// Starts a message, or lets it wait for its turn; false where none can go any more. Must be called with the lock
    /// held.
    private func begin(_ send: PendingSend, _ state: inout State) -> Bool {
        guard !state.ended, !state.cancelled else { return false }
        guard !state.sends.isEmpty || startSend(send.message, &state) else { return false }
        state.sends.append(send)
        return true
    }

    /// Must be called with the lock held.
    private func startSend(_ message: OutgoingMessage, _ state: inout State) -> Bool {
        var operation = grpc_op()
        operation.op = GRPC_OP_SEND_MESSAGE
        operation.data.send_message.send_message = message.buffer
        return start([operation], &state) { call, succeeded in
            withExtendedLifetime(message) { call.sent(succeeded) }
        }
    }

    /// The first of the pending messages has passed, or never will; the next one follows.
    private func sent(_ succeeded: Bool) {
        var failed: [Sender] = []
        let sender: Sender? = state.withLock { state in
            guard !state.sends.isEmpty else { return nil }
            let sender = state.sends.removeFirst().sender
            if let next = state.sends.first, state.ended || !succeeded || !startSend(next.message, &state) {
                failed = state.sends.compactMap(\.sender)
                state.sends = []
            }
            return sender
        }
        sender?.resume(returning: succeeded ? .success(()) : .failure(.clientGone))
        for sender in failed { sender.resume(returning: .failure(.clientGone)) }
    }

    /// The task that waits for a message to pass was cancelled. A message already with gRPC goes its
    /// way, one that still waits for its turn is dropped.
    private func stopSending(_ id: UInt64) {
        let sender: Sender? = state.withLock { state in
            guard let index = state.sends.firstIndex(where: { $0.id == id }) else { return nil }
            let sender = state.sends[index].sender
            if index == 0 { state.sends[0].sender = nil } else { state.sends.remove(at: index) }
            return sender
        }
        sender?.resume(returning: .failure(.clientGone))
    }
}
