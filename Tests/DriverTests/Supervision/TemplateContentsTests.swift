import Glibc
import HCLog
import Host
import Shared
import Testing

@testable import EventLoop
@testable import Planning
@testable import Supervision

/// A directory `a/b` with a file `f`, a symlink `link` to `a`, and a symlink `a/back` to `../other`, below a directory.
private final class Tree {
    let root: TemporaryDirectory
    /// Without symlinks.
    let path: String

    init() throws {
        root = try TemporaryDirectory()
        path = root.path
        for name in ["a", "a/b", "other"] { try #require(mkdir("\(path)/\(name)", 0o755) == 0) }
        for name in ["a/b/f", "other/g"] { close(open("\(path)/\(name)", O_CREAT | O_WRONLY | O_CLOEXEC, 0o644)) }
        try #require(symlink("a", path + "/link") == 0 && symlink("../other", path + "/a/back") == 0)
    }

    deinit {
        for name in ["a/b/f", "other/g", "a/back"] { unlink("\(path)/\(name)") }
        for name in ["a/b", "a", "other"] { rmdir("\(path)/\(name)") }
    }

    /// Those of its own directories that paths lead through.
    func directories(_ paths: String...) -> [String] {
        var reader = PathWalk()
        for path in paths { reader.addDirectories(reader.lookUp(self.path + "/" + path, index: 0)) }
        return reader.directories.map { String(decoding: $0.path, as: UTF8.self) }.filter { $0.hasPrefix(path + "/") }
            .map { String($0.dropFirst(path.count + 1)) }
    }
}

@Suite(.hanging(after: 1)) struct TemplateContentsTests {
    @Test func directoriesThatPathsLeadThrough() throws {
        let tree = try Tree()
        #expect(tree.directories("a/b/f") == ["a", "a/b"])
        // What a path leads to is no way: the template shows the host's.
        #expect(tree.directories("a/b") == ["a"])
        #expect(tree.directories("a//./b/") == ["a"])
        #expect(tree.directories("link/b/f") == ["a", "a/b"])
        #expect(tree.directories("a/back/g") == ["a", "other"])
        #expect(tree.directories("a/b/../../other/g") == ["a", "a/b", "other"])
    }

    @Test func eachIsThereOnce() throws {
        let tree = try Tree()
        #expect(tree.directories("a/b/f", "link/b/f", "a/b/f", "other/g") == ["a", "a/b", "other"])
    }

    @Test func aWayEndsWhereNothingIs() throws {
        let tree = try Tree()
        #expect(tree.directories("a/none/x", "a/b/f/x") == ["a", "a/b"])
        try #require(symlink("loop", tree.path + "/loop") == 0)
        #expect(tree.directories("loop/x") == [])
    }

    @Test func procIsTheTasksOwn() throws {
        var reader = PathWalk()
        reader.addDirectories(reader.lookUp("/proc/self/status", index: 0))
        #expect(reader.directories.isEmpty)
    }

    @Test func namesAreComparedByBytes() throws {
        let tree = try Tree()
        // One character to Swift, and two names to the kernel.
        let names = ["\u{E9}", "e\u{301}"]
        for name in names { try #require(mkdir("\(tree.path)/\(name)", 0o755) == 0) }
        defer { for name in names { rmdir("\(tree.path)/\(name)") } }
        var reader = PathWalk()
        for name in names { reader.addDirectories(reader.lookUp("\(tree.path)/\(name)/../other/g", index: 0)) }
        #expect(
            names.allSatisfy { name in reader.directories.contains { $0.path == Array("\(tree.path)/\(name)".utf8) } })
    }

    // MARK: Renewal

    private static func specification(_ paths: [String]) -> TemplateSpecification {
        var configuration = PluginConfiguration()
        configuration.unveilDefaults = false
        configuration.unveilPaths = paths.map { UnveilRule(modes: .read, path: $0) }
        return TemplateSpecification(
            configuration, parent: "/mnt", host: HostAbilities(landlockABI: 7, capabilities: 0), hasDevices: false,
            hidden: [])
    }

    private final class Counter: Sendable {
        let value = Mutex(0)
    }

    private static func templates(_ made: Counter) throws -> RootTemplates {
        RootTemplates(TemplateFacts(reactor: try Reactor()), log: Logger(name: "test")) { _, _ in
            made.value.withLock { $0 += 1 }
            do throws(SystemError) {
                // Nothing is mounted in the place of a device.
                let namespace = try OwnedDescriptor.open("/dev/null", O_RDONLY)
                let mounts = try OwnedDescriptor.open("/dev/null", O_RDONLY)
                return .success(TemplateNamespace(namespace, mounts: mounts))
            } catch {
                return .failure(.system(error))
            }
        }
    }

    @Test(arguments: ["a", "a/b", "other"])
    func anotherModeOnTheWayRenewsTheTemplate(name: String) async throws {
        let tree = try Tree()
        let specification = Self.specification([tree.path + "/link/b/f", tree.path + "/a/back/g"])
        let made = Counter()
        let templates = try Self.templates(made)
        let first = try await templates.template(templates.request(specification), program: "")
        let second = try await templates.template(templates.request(specification), program: "")
        #expect(first === second)
        try #require(chmod(tree.path + "/" + name, 0o700) == 0)
        let third = try await templates.template(templates.request(specification), program: "")
        #expect(third !== first)
        #expect(
            third.contents.changes(since: first.contents, specification.paths) == [
                "other mode or owner of \(tree.path)/\(name)"
            ])
        #expect(made.value.withLock { $0 } == 2)
        let fourth = try await templates.template(templates.request(specification), program: "")
        #expect(fourth === third)
    }

    @Test func anotherWayToTheSameObjectRenewsTheTemplate() async throws {
        let tree = try Tree()
        let specification = Self.specification([tree.path + "/link/b/f"])
        let templates = try Self.templates(Counter())
        let first = try await templates.template(templates.request(specification), program: "")
        try #require(unlink(tree.path + "/link") == 0 && symlink("other/../a", tree.path + "/link") == 0)
        let second = try await templates.template(templates.request(specification), program: "")
        #expect(second !== first)
        #expect(
            second.contents.changes(since: first.contents, specification.paths) == ["other directories on the way"])
    }

    @Test func theModeOfWhatIsUnveiledIsTheHosts() async throws {
        let tree = try Tree()
        let specification = Self.specification([tree.path + "/a/b"])
        let templates = try Self.templates(Counter())
        let first = try await templates.template(templates.request(specification), program: "")
        try #require(chmod(tree.path + "/a/b", 0o700) == 0 && chmod(tree.path + "/a/b/f", 0o600) == 0)
        let second = try await templates.template(templates.request(specification), program: "")
        #expect(first === second)
    }

    /// While the paths were read: the next reading must not take what it read for current.
    @Test func aFileThatIsReplacedMeanwhileIsFound() throws {
        let tree = try Tree()
        let file = tree.path + "/a/b/f"
        let paths = Self.specification([file]).paths
        let replaced: (String) -> PathFacts = { path in
            let facts = PathFacts(path)
            rename(tree.path + "/other/g", file)
            return facts
        }
        let first = TemplateContents.read(paths, earlier: nil, facts: replaced) { _ in }
        let second = TemplateContents.read(paths, earlier: first) { _ in }
        #expect(second.changes(since: first, paths) == ["replaced \(file)"])
        #expect(TemplateContents.read(paths, earlier: second) { _ in } == second)
    }
}
