import CLinux
import EventLoop
import Glibc
import Host
import Planning
import Shared

/// The cgroup of a run: `<mount>/<name>/run/task` for the task, so that the Executor finds its own place,
/// two levels up, within what is removed at the end.
struct RunCgroup: Sendable {
    /// Absolute; empty if the run has no cgroup.
    let path: String
    /// Why a controller limits nothing here, by its name; those that are missing do their work.
    let obstacles: [String: String]

    private var middle: String { Self.parent(of: path) }
    private var top: String { Self.parent(of: middle) }

    /// Makes the cgroup, with as many of the wanted controllers as the host lets it have.
    ///
    /// A controller that the root does not hand down yet is handed down from now on, also after the end:
    /// to take it back would take the limits of whoever has come to use it.
    /// - Parameters:
    ///   - hierarchy: The host's cgroup v2; nil where it is not mounted.
    ///   - name: Of this run alone.
    init(in hierarchy: CgroupHierarchy?, name: String, controllers: [String]) {
        guard let hierarchy else {
            self.init(path: "", everyObstacle: "cgroup v2 is not mounted", controllers)
            return
        }
        let top = hierarchy.path + "/" + name
        let path = top + "/run/task"
        for directory in [top, top + "/run", path] where mkdir(directory, 0o755) != 0 {
            let reason = SystemError("make the cgroup", directory).text
            RunCgroup(path: path, obstacles: [:]).remove { _ in }
            self.init(path: "", everyObstacle: reason, controllers)
            return
        }
        var obstacles: [String: String] = [:]
        for controller in controllers {
            obstacles[controller] = Self.handDown(controller, hierarchy, through: [top, top + "/run"])
        }
        self.init(path: path, obstacles: obstacles)
    }

    private init(path: String, obstacles: [String: String]) {
        self.path = path
        self.obstacles = obstacles
    }

    private init(path: String, everyObstacle reason: String, _ controllers: [String]) {
        self.init(path: path, obstacles: Dictionary(controllers.map { ($0, reason) }) { first, _ in first })
    }

    /// Why the controller does not reach the task's cgroup, or nil where it does.
    private static func handDown(
        _ controller: String, _ hierarchy: CgroupHierarchy, through directories: [String]
    ) -> String? {
        guard hierarchy.controllers.contains(controller) else {
            return "the cgroup v2 of this host, \(hierarchy.path), has no \(controller) controller"
        }
        for directory in [hierarchy.path] + directories {
            let file = directory + "/cgroup.subtree_control"
            if let list = try? HostFile.read(file), CgroupHierarchy.controllers(in: list).contains(controller) {
                continue
            }
            do throws(SystemError) {
                let text = "+" + controller
                let control = try OwnedDescriptor.open(file, O_WRONLY)
                guard retrying({ write(control.number, text, text.utf8.count) }) >= 0 else {
                    throw SystemError("write \(text) to", file)
                }
            } catch {
                return error.text
            }
        }
        return nil
    }

    /// Removes the cgroup; no process may be left in it. What cannot be removed is reported.
    func remove(_ report: (String) -> Void) {
        guard !path.isEmpty else { return }
        for directory in [path, middle, top] where !Self.removeDirectory(directory) {
            report(SystemError("remove the cgroup", directory).text)
        }
    }

    /// A process that has ended a moment ago may still count.
    private static func removeDirectory(_ path: String) -> Bool {
        for _ in 0..<100 {
            if rmdir(path) == 0 || Errno.last == .noSuchFile { return true }
            if Errno.last != .busy { return false }
            usleep(10_000)
        }
        return rmdir(path) == 0
    }

    private static func parent(of path: String) -> String {
        "/" + path.pathComponents.dropLast().joined(separator: "/")
    }
}
