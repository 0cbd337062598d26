import Glibc

/// The process's stdout, which belongs to the handshake line alone.
///
/// Descriptor 1 is turned into /dev/null at once, and the pipe to the agent moves to a descriptor that
/// is closed on exec and that only this object knows: no library and no child can write a second line. It
/// stays open, since the agent reads it until the plugin ends.
struct HandshakeOutput: ~Copyable {
    private let descriptor: Int32

    /// Takes stdout over; to be called before anything may write to it.
    init() throws(PluginError) {
        descriptor = fcntl(1, F_DUPFD_CLOEXEC, 3)
        guard descriptor >= 0 else {
            throw PluginError("cannot take over stdout for the handshake", errno)
        }
        let null = open("/dev/null", O_WRONLY | O_CLOEXEC)
        guard null >= 0, dup2(null, 1) == 1 else {
            throw PluginError("cannot point stdout to /dev/null", errno)
        }
        if null != 1 { close(null) }
    }

    /// Writes the line. Throws when the agent is gone.
    func announce(_ line: String) throws(PluginError) {
        var rest = Array(line.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw PluginError("cannot write the handshake to stdout", errno) }
            rest = rest.dropFirst(count)
        }
    }
}

/// Why the plugin cannot serve.
package struct PluginError: Error, Sendable, CustomStringConvertible {
    package let description: String

    package init(_ attempt: String) { description = attempt }

    /// `number` is an errno.
    init(_ attempt: String, _ number: Int32) {
        description = attempt + ": " + String(cString: strerror(number))
    }
}
