/// The status codes of gRPC, with the numbers of the wire.
package enum RPCCode: Int32, Sendable {
    case ok = 0
    case cancelled = 1
    case unknown = 2
    case invalidArgument = 3
    case deadlineExceeded = 4
    case notFound = 5
    case alreadyExists = 6
    case permissionDenied = 7
    case resourceExhausted = 8
    case failedPrecondition = 9
    case aborted = 10
    case outOfRange = 11
    case unimplemented = 12
    case internalError = 13
    case unavailable = 14
    case dataLoss = 15
    case unauthenticated = 16
}

/// How a call ended other than well; its message is what the operator reads.
package struct RPCStatus: Error, Sendable, Equatable {
    var code: RPCCode
    var message: String
    /// A packed `google.rpc.Status`, sent in the trailer `grpc-status-details-bin`.
    var details: [UInt8]?

    package init(code: RPCCode, message: String, details: [UInt8]? = nil) {
        self.code = code
        self.message = message
        self.details = details
    }

    /// Longest message that is sent, in bytes of UTF-8. Clients refuse a whole header block above
    /// 8 KiB; percent-encoding may triple the text and the details repeat it in base64.
    static let maximumMessageLength = 1500

    /// `text` if it is short enough to travel in a trailer, else its beginning and an ellipsis.
    package static func clipped(_ text: String) -> String {
        guard text.utf8.count > maximumMessageLength else { return text }
        let ellipsis = "…"
        var kept = String.UnicodeScalarView()
        var length = ellipsis.utf8.count
        for scalar in text.unicodeScalars {
            length += UTF8.width(scalar)
            if length > maximumMessageLength { break }
            kept.append(scalar)
        }
        return String(kept) + ellipsis
    }

    package static let clientGone = RPCStatus(code: .cancelled, message: "the call was cancelled")
    static let stopping = RPCStatus(code: .unavailable, message: "the driver is shutting down")
}
