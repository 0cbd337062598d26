import CLinux
import EventLoop
import Glibc
import Shared

/// Who has connected to the plugin's socket.
///
/// The socket's directory is root's alone, which keeps every other user out. It does not keep out a task that
/// runs as root: Landlock has no right for connecting to a socket by its path, and such a task could have
/// the driver start anything. So a client must also be in the driver's own PID namespace, as the agent that
/// has started the driver is. A task never is.
struct SocketPeer: Equatable, Sendable {
    let user: uid_t
    /// The process's numbers in the driver's PID namespace and in those below it that it is in.
    let numbers: [Int32]

    init(user: uid_t, numbers: [Int32]) {
        self.user = user
        self.numbers = numbers
    }

    /// The process at the other end of a connection, as it was when it connected.
    init(of connection: borrowing OwnedDescriptor) throws(SystemError) {
        var user: uid_t = 0
        let number = exec2_socket_peer(connection.number, &user)
        guard number >= 0 else { throw SystemError("find out", "who has connected") }
        let process = OwnedDescriptor(owning: number)
        // By the pidfd: a pid may be another process's by now.
        let facts = try HostFile.read("/proc/self/fdinfo/\(process.number)")
        self.init(user: user, numbers: Self.numbers(inFacts: facts))
    }

    /// The numbers in /proc/<pid>/fdinfo of a pidfd (proc_pid_fdinfo(5)). None for a process that is gone, or is in a
    /// namespace that cannot be seen from here.
    static func numbers(inFacts facts: [UInt8]) -> [Int32] {
        for line in facts.split(separator: UInt8(ascii: "\n")) where line.starts(with: "NSpid:".utf8) {
            let fields = line.dropFirst("NSpid:".utf8.count).split(separator: UInt8(ascii: "\t"))
            return fields.compactMap { Int32(String(decoding: $0, as: UTF8.self)) }.filter { $0 > 0 }
        }
        return []
    }

    /// Why the plugin does not serve this client; nil for one that it serves.
    ///
    /// - Parameter driver: The driver's own user.
    func refusal(by driver: uid_t) -> String? {
        guard user == driver else { return "the client's user is \(user): only \(driver) may order tasks" }
        switch numbers.count {
        case 1: return nil
        case 0: return "the client has ended, or is outside the driver's PID namespace"
        default:
            return "the client, pid \(numbers[0]), is in a PID namespace below the driver's, as only tasks are"
        }
    }

    /// The refusal of a connection, for `RPCListener`.
    static func refusal(of connection: borrowing OwnedDescriptor) -> String? {
        do throws(SystemError) {
            return try SocketPeer(of: connection).refusal(by: geteuid())
        } catch {
            return error.text
        }
    }
}
