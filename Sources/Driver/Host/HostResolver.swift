import EventLoop
import Planning
import Shared

/// How this host resolves names, for what a task's own dns block leaves open.
package enum HostResolver {
    /// systemd-resolved's list of the servers that it asks itself.
    private static let paths = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"]

    /// Nothing where the host has no such file.
    /// - Parameter isolated: The task is in a network namespace of its own, from which the host's loopback
    ///   addresses are out of reach.
    package static func configuration(isolated: Bool) throws(SystemError) -> ResolverConfiguration {
        var result = ResolverConfiguration()
        for path in paths {
            let bytes: [UInt8]
            do throws(SystemError) {
                bytes = try HostFile.read(path)
            } catch {
                if error.errno == .noSuchFile { continue }
                throw error
            }
            let found = ResolverConfiguration(parsing: String(decoding: bytes, as: UTF8.self))
            result = isolated ? found.withoutLoopbackServers : found
            if !result.servers.isEmpty { break }
        }
        return result
    }
}
