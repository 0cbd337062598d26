import Shared

/// The address that a program binds or connects a socket to (struct sockaddr).
enum SocketAddress: Equatable, Sendable {
    /// The path of a unix socket, which may be relative.
    case path([UInt8])
    /// An abstract name, without the NUL in front.
    case abstract([UInt8])
    case port(UInt16)

    /// Different for different addresses.
    var key: String {
        switch self {
        case .path(let path): "path " + ByteText.text(path)
        case .abstract(let name): "abstract " + ByteText.text(name)
        case .port(let port): "port \(port)"
        }
    }

    /// Nil for families other than AF_UNIX, AF_INET and AF_INET6, and for a unix socket without a name.
    init?(_ bytes: [UInt8]) {
        guard bytes.count > 2 else { return nil }
        switch UInt16(bytes[0]) | UInt16(bytes[1]) << 8 {
        case 1:
            let name = bytes[2...]
            self = name.first == 0 ? .abstract(Array(name.dropFirst())) : .path(Array(name.prefix { $0 != 0 }))
        case 2, 10:
            guard bytes.count >= 4 else { return nil }
            self = .port(UInt16(bytes[2]) << 8 | UInt16(bytes[3]))
        default: return nil
        }
    }
}
