import EventLoop
import Glibc
import Shared

/// Whether the plugin's `state_dir` can be used, and what is in it. For `check` alone: the fingerprint only tells of
/// a fault, and a start that cannot use the directory says so itself.
package enum StateDirectoryCheck {
    /// What is at the path.
    package struct Facts: Equatable, Sendable {
        enum Content: Equatable, Sendable {
            /// The first task's start makes the directory.
            case missing
            case unusable(StateDirectoryFault)
            /// The next start takes it back.
            case ofAnotherUser(uid_t)
            case unreadable(Errno)
            /// Tasks, and entries that belong to none.
            case tasks(Int, others: Int)
        }

        let path: String
        let content: Content
    }

    /// Looks, as the driver does before a start, and counts the tasks, which are those that `tasks` lists.
    package static func look(_ path: String) -> Facts {
        if let fault = StateDirectory(path: path).fault { return Facts(path: path, content: .unusable(fault)) }
        var status = stat()
        guard lstat(path, &status) == 0 else {
            return Facts(path: path, content: Errno.last == .noSuchFile ? .missing : .unreadable(.last))
        }
        // A person without rights does not own what is root's; then reading fails, and that is said.
        guard status.st_uid == 0 else { return Facts(path: path, content: .ofAnotherUser(status.st_uid)) }
        do throws(SystemError) {
            let names = try StateDirectory(path: path).names()
            let tasks = try StateDirectory(path: path).taskNames().filter { isTask(path + "/" + $0) }.count
            return Facts(path: path, content: .tasks(tasks, others: names.count - tasks))
        } catch {
            return Facts(path: path, content: .unreadable(error.errno))
        }
    }

    /// A start makes a task's directory with the control pipe in it, and the task's Executor puts its identity there.
    private static func isTask(_ directory: String) -> Bool {
        [StateFile.control, StateFile.identity].contains { access(directory + "/" + $0, F_OK) == 0 }
    }

    /// The check for a report.
    package static func check(_ facts: Facts) -> HostCheck {
        let path = facts.path
        switch facts.content {
        case .missing: return passed("\(path) does not exist; the first task's start makes it")
        case .tasks(0, others: 0): return passed("\(path) is empty: no task of the plugin's is on this host")
        case .tasks(let tasks, let others):
            let entries = "\(others) \(others == 1 ? "entry that belongs" : "entries that belong") to none"
            return passed(
                "\(path) has \(tasks == 0 ? "no" : "\(tasks)") task\(tasks == 1 ? "" : "s")"
                    + (others == 0 ? "" : ", and \(entries)"))
        case .unusable(let fault): return failed(fault.text, fault.remedy)
        case .ofAnotherUser(let user):
            return passed("\(path) is of uid \(user); the next task's start makes it root's again")
        case .unreadable(let errno):
            return failed(
                "cannot read \(path): \(errno.text)",
                errno == .permissionDenied ? "check as root: use sudo" : "set the plugin option state_dir")
        }
    }

    /// The check of the fingerprint, which has none where nothing is wrong.
    static func check(_ fault: StateDirectoryFault?) -> [HostCheck] {
        fault.map { [failed($0.text, $0.remedy)] } ?? []
    }

    private static let name = "state directory"

    private static func passed(_ detail: String) -> HostCheck {
        HostCheck(name: name, health: .healthy, detail: detail, remedy: nil)
    }

    private static func failed(_ detail: String, _ remedy: String) -> HostCheck {
        HostCheck(name: name, health: .unhealthy, detail: detail, remedy: remedy)
    }
}
