import Glibc
import Testing

@testable import Planning
@testable import Supervision

/// Without root there are no mounts: a symlink has what the client's place shows and the allocation's directory be one.
@Suite struct ClientMountsTests {
    private let directory: TemporaryDirectory
    private let clients: String
    private let allocation: String

    init() throws {
        directory = try TemporaryDirectory()
        clients = directory.path + "/clients"
        allocation = directory.path + "/allocation"
        for path in [clients, clients + "/a-web", clients + "/a-web/alloc", clients + "/b-web", allocation] {
            try #require(mkdir(path, 0o700) == 0)
        }
        try #require(symlink(clients + "/a-web/alloc", allocation + "/alloc") == 0)
        try #require(symlink(clients, directory.path + "/way") == 0)
        try #require(symlink(clients + "/a-web/alloc", clients + "/b-web/alloc") == 0)
    }

    private func remove() {
        for path in ["/clients/b-web/alloc", "/allocation/alloc"] { unlink(directory.path + path) }
        for path in ["/a-web/alloc", "/a-web", "/b-web"] { rmdir(clients + path) }
    }

    private func request(_ place: String?, allocID: String = "a") -> TaskRequest {
        var request = TaskRequest()
        request.name = "web"
        request.allocID = allocID
        request.allocDir = allocation
        request.environment = place.map { ["NOMAD_TASK_DIR": $0 + "/" + allocID + "-web/local"] } ?? [:]
        return request
    }

    private func known(to mounts: ClientMounts, after request: TaskRequest) -> [String] {
        if let place = request.clientMount { mounts.add(place, allocDir: request.allocDir) }
        return mounts.known
    }

    @Test func aPlaceIsKeptForLaterStarts() {
        defer { remove() }
        let mounts = ClientMounts()
        #expect(known(to: mounts, after: request(nil)) == [])
        #expect(known(to: mounts, after: request(clients)) == [clients])
        #expect(known(to: mounts, after: request("/x")) == [clients])
        #expect(known(to: mounts, after: request(nil)) == [clients])
    }

    /// A job's path to it may change later.
    @Test func aPlaceIsKnownByWhereItReallyIs() {
        defer { remove() }
        let mounts = ClientMounts()
        #expect(known(to: mounts, after: request(directory.path + "/way")) == [clients])
        #expect(known(to: mounts, after: request(clients)) == [clients])
    }

    /// What a job has made itself shows no directory of the allocation.
    @Test func aPlaceWithoutTheAllocationsDirectoryIsNone() {
        defer { remove() }
        let mounts = ClientMounts()
        #expect(known(to: mounts, after: request(directory.path)) == [])
        #expect(known(to: mounts, after: request("/nonexistent")) == [])
        // There by a symlink, which a task could make.
        #expect(known(to: mounts, after: request(clients, allocID: "b")) == [])
        unlink(allocation + "/alloc")
        #expect(known(to: mounts, after: request(clients)) == [])
    }
}
