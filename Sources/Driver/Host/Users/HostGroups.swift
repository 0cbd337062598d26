import EventLoop
import Glibc
import Planning

/// The names of this host's groups, for a task's own /etc/group.
package enum HostGroups {
    /// Of /etc/group alone: no name service is asked, which may take its time. Nil where it has no such group.
    @Sendable package static func name(_ gid: gid_t) -> String? {
        guard let bytes = try? HostFile.read("/etc/group") else { return nil }
        return GroupFile.name(of: gid, in: bytes)
    }
}
