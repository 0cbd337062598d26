import Testing

@testable import Planning
@testable import Supervision

@Suite struct ExecutorCgroupTests {
    @Test(
        arguments: [
            (
                "/sys/fs/cgroup/nomad.slice/share.slice/a.web.scope",
                "/sys/fs/cgroup/nomad.slice/exec2-executors.scope"
            ),
            (
                "/sys/fs/cgroup/nomad.slice/reserve.slice/a.web.scope/",
                "/sys/fs/cgroup/nomad.slice/exec2-executors.scope"
            ),
            ("/a/b/c", "/a/exec2-executors.scope"), ("//a//b//c", "/a/exec2-executors.scope"),
        ])
    func executorsLiveBesideTheSlices(task: String, executors: String) {
        #expect(ExecutorCgroup.path(forTaskIn: task) == executors)
    }

    @Test(arguments: ["", "/", "/a", "/a/b", "a/b/c", "a/b/c/d", "/a/../b/c", "/a/b/..", "/../a/b/c"])
    func elsewhereThereIsNoPlace(task: String) {
        #expect(ExecutorCgroup.path(forTaskIn: task) == nil)
    }

    /// A path that is no cgroup's must not leave a directory on an ordinary file system.
    @Test func whereThereIsNoCgroupNothingIsMade() throws {
        let directory = try TemporaryDirectory()
        let cgroup = ExecutorCgroup()
        let opened = cgroup.open(forTaskIn: directory.path + "/slice/task.scope")
        let isOpen = opened != nil
        #expect(!isOpen)
        #expect(!directory.has("exec2-executors.scope"))
    }

    /// Seen before: the start failed at once, "cannot clone a process: No such file or directory", and for good.
    @Test func aCgroupThatIsRemovedBeforeTheCloneIsMadeAnew() throws {
        var attempts = 0
        let made = try ExecutorCgroup().spawn(forTaskIn: "") { (cgroup) throws(SpawnError) in
            attempts += 1
            if attempts < ExecutorCgroup.attempts { throw .cgroupRemoved(.noSuchFile) }
            return cgroup
        }
        #expect(made == -1)
        #expect(attempts == ExecutorCgroup.attempts)
    }

    @Test func oneThatIsRemovedEveryTimeIsGivenUp() {
        var attempts = 0
        let error = #expect(throws: SpawnError.self) {
            _ = try ExecutorCgroup().spawn(forTaskIn: "") { (_) throws(SpawnError) -> Int32 in
                attempts += 1
                throw .cgroupRemoved(.noSuchFile)
            }
        }
        #expect(attempts == ExecutorCgroup.attempts)
        #expect(error?.isTransient == true)
    }

    @Test func otherFailuresAreNotTriedAgain() {
        var attempts = 0
        #expect(throws: SpawnError.self) {
            _ = try ExecutorCgroup().spawn(forTaskIn: "") { (_) throws(SpawnError) -> Int32 in
                attempts += 1
                throw .execute(path: "/executor", .noSuchFile)
            }
        }
        #expect(attempts == 1)
    }
}
