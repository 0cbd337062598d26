import Testing

@testable import Planning

@Suite struct TaskDirectoriesTests {
    private static let alloc = "5d8f1c2a-0b1e-4c57-9a53-0f6d6c6f2f11"
    private static let own = "/var/lib/nomad/alloc_mounts/\(alloc)-web"

    private func directories(_ taskDir: String?, allocID: String = alloc, task: String = "web") -> TaskDirectories {
        TaskDirectories(
            environment: taskDir.map { ["NOMAD_TASK_DIR": $0] } ?? [:],
            allocDir: "/var/lib/nomad/alloc/" + allocID,
            allocID: allocID, taskName: task)
    }

    @Test func theClientsFormIsBelieved() {
        let directories = directories(Self.own + "/local")
        #expect(directories.task == Self.own)
        #expect(directories.local == Self.own + "/local")
        #expect(directories.secrets == Self.own + "/secrets")
        #expect(directories.tmp == Self.own + "/tmp")
        #expect(directories.alloc == Self.own + "/alloc")
        #expect(directories.all == [directories.local, directories.secrets, directories.tmp, directories.alloc])
    }

    @Test func withoutAWordOfTheClientsTheDirectoriesAreTheAllocs() {
        let directories = directories(nil)
        #expect(directories.task == "/var/lib/nomad/alloc/\(Self.alloc)/web")
        #expect(directories.local == "/var/lib/nomad/alloc/\(Self.alloc)/web/local")
        #expect(directories.alloc == "/var/lib/nomad/alloc/\(Self.alloc)/alloc")
    }

    /// A job's env block can say anything: nothing of the host opens up by it.
    @Test(arguments: [
        "", "/", "/local", "local", "//local", "/etc/local", "/root/local", "/etc", "/local/local",
        "\(own)", "\(own)/", "\(own)/local/", "\(own)/secrets", "\(own)/local/x", "\(own)x/local",
        "\(own)/x/local",
        "x\(own)/local", "var/lib/\(alloc)-web/local", "./\(alloc)-web/local", "\(alloc)-web/local",
        "~/\(alloc)-web/local",
        "/mnt/\(alloc)-web/../local", "/mnt/../\(alloc)-web/local", "/../\(alloc)-web/local",
        "/mnt/\(alloc)-web/.././\(alloc)-web/local",
        "/mnt/\(alloc)-web/./local", "/mnt/\(alloc)-db/local", "/mnt/\(alloc)/local", "/mnt/web/local",
        "/mnt/-web/local",
        "/mnt/\(alloc)-web\0/local", "/mnt/\(alloc)-WEB/local", "/etc\0/\(alloc)-web/Local",
    ])
    func anyOtherFormIsNot(taskDir: String) {
        #expect(directories(taskDir) == directories(nil))
    }

    /// Where they stand for the task, and where they came from in case the client's mounts are missing; nothing of a
    /// job's choice.
    @Test(arguments: ["", "/", "//"])
    func theClientsMountsAreKnown(slashes: String) {
        let allocDir = "/var/lib/nomad/alloc/" + Self.alloc
        let parent = slashes.isEmpty ? Self.own : Self.own.replacing("/alloc_mounts/", with: slashes + "alloc_mounts//")
        func replacements(_ directories: TaskDirectories) -> [RootSpecification.Directory] {
            directories.place(allocDir: allocDir, allocID: Self.alloc).replacements(
                of: directories, allocDir: allocDir, taskName: "web", logs: [])
        }
        let found = replacements(directories(parent + "/local"))
        let name = Self.alloc + "-web"
        #expect(found.map(\.source) == ["web", "web/tmp", "alloc", "web/secrets"])
        #expect(found.map(\.inside) == [name, name + "/tmp", name + "/alloc", name + "/secrets"])
        #expect(found.allSatisfy { $0.sourceRoot == allocDir })
        let place = directories(parent + "/local").place(allocDir: allocDir, allocID: Self.alloc)
        #expect(place.parent == "/var/lib/nomad/alloc_mounts")
        #expect(replacements(directories(nil)).isEmpty && replacements(directories("/etc/local")).isEmpty)
    }

    @Test func anEmptyAllocIDVouchesForNothing() {
        #expect(directories("/mnt/-web/local", allocID: "").task == "/var/lib/nomad/alloc//web")
    }

    @Test func otherVariablesMoveNothing() {
        let environment = [
            "NOMAD_TASK_DIR": Self.own + "/local", "NOMAD_SECRETS_DIR": "/etc", "NOMAD_ALLOC_DIR": "/",
            "TMPDIR": "/root",
        ]
        let directories = TaskDirectories(
            environment: environment, allocDir: "/var/lib/nomad/alloc/" + Self.alloc, allocID: Self.alloc,
            taskName: "web")
        #expect(directories == self.directories(Self.own + "/local"))
    }
}
