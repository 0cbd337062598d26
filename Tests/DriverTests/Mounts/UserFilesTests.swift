import Shared
import Testing

@testable import Planning

@Suite struct UserFilesTests {
    private func texts(_ user: TaskUser, names: [UInt32: String] = [:]) throws -> [String] {
        try UserFiles(user: user) { names[$0] }.files.map(\.text)
    }

    @Test func aDynamicUserHasItsLineAndRoot() throws {
        let user = TaskUser(name: "nomad-80000", uid: 80000, gid: 80000, groups: [], home: "/nonexistent")
        // No group of the host's is looked up for it.
        #expect(
            try texts(user, names: [80000: "of another"]) == [
                "root:x:0:0:root:/root:/usr/sbin/nologin\nnomad-80000:x:80000:80000:nomad-80000:/nonexistent:/bin/sh\n",
                "root:x:0:\nnomad-80000:x:80000:\n",
            ])
    }

    @Test func rootIsThereOnce() throws {
        let root = TaskUser(name: "root", uid: 0, gid: 0, groups: [0], home: "/root")
        #expect(try texts(root, names: [0: "root"]) == ["root:x:0:0:root:/root:/bin/sh\n", "root:x:0:\n"])
        let other = TaskUser(name: "toor", uid: 0, gid: 5, groups: [5, 0], home: "/")
        #expect(try texts(other) == ["toor:x:0:5:toor:/:/bin/sh\n", "root:x:0:toor\ntoor:x:5:\n"])
    }

    @Test func groupsHaveTheHostsNames() throws {
        let user = TaskUser(name: "web", uid: 33, gid: 100, groups: [100, 4, 4, 4711], home: "/srv")
        #expect(
            try texts(user, names: [100: "users", 4: "adm"]).last
                == "root:x:0:\nusers:x:100:\nadm:x:4:web\ngroup-4711:x:4711:web\n")
        #expect(try texts(user, names: [100: "a:b", 4: ""]).last?.contains("web:x:100:\ngroup-4:x:4:web") == true)
    }

    @Test(arguments: [("a:b", "/"), ("a", "/x:0:0"), ("a\nroot::0:0", "/"), ("a", "/\n"), ("a\u{7F}", "/")])
    func whatNoFieldCanHaveIsRefused(name: String, home: String) {
        let user = TaskUser(name: name, uid: 1000, gid: 1000, groups: [], home: home)
        let error = #expect(throws: StartError.self) { try texts(user) }
        #expect(error?.text.hasPrefix("cannot make the task's /etc/passwd: the ") == true)
    }

    @Test func aGroupFileNamesItsGroups() {
        let file = Array("# comment\nroot:x:0:\n:x:7:\nadm:x:4:syslog,web\nshort:x\nadm2:x:4:\n+\nlast:*:04".utf8)
        #expect(GroupFile.name(of: 0, in: file) == "root" && GroupFile.name(of: 4, in: file) == "adm")
        #expect(GroupFile.name(of: 7, in: file) == nil && GroupFile.name(of: 9, in: file) == nil)
    }
}
