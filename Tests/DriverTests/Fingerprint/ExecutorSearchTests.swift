import Glibc
import Testing

@testable import Host
@testable import Planning

@Suite struct ExecutorSearchTests {
    static let name = "nomad-driver-exec2-executor"

    @Test func thePlacesAreThoseOfTheDocumentation() {
        #expect(
            ExecutorSearch.candidates(configured: nil, driver: "/opt/nomad/plugins/nomad-driver-exec2") == [
                "/opt/nomad/plugins/\(Self.name)",
                "/opt/nomad/libexec/nomad-driver-exec2/\(Self.name)",
                "/usr/libexec/nomad-driver-exec2/\(Self.name)",
            ])
        #expect(
            ExecutorSearch.candidates(configured: nil, driver: "/bin/nomad-driver-exec2").prefix(2) == [
                "/bin/\(Self.name)", "/libexec/nomad-driver-exec2/\(Self.name)",
            ])
        #expect(
            ExecutorSearch.candidates(configured: nil, driver: "/nomad-driver-exec2").prefix(2) == [
                "/\(Self.name)", "/libexec/nomad-driver-exec2/\(Self.name)",
            ])
    }

    @Test func aConfiguredPlaceIsTheOnlyOne() {
        #expect(ExecutorSearch.candidates(configured: "/a/b", driver: "/c/d") == ["/a/b"])
    }

    @Test func onlyAnExecutableFileIsTaken() throws {
        var template = Array("/tmp/executor-search-XXXXXX\0".utf8.map(CChar.init(bitPattern:)))
        let directory = try #require(mkdtemp(&template).map { String(cString: $0) })
        defer { rmdir(directory) }
        let plain = directory + "/plain"
        let program = directory + "/program"
        defer {
            unlink(plain)
            unlink(program)
        }
        for (path, mode) in [(plain, mode_t(0o644)), (program, 0o755)] {
            let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL, mode)
            try #require(descriptor >= 0)
            close(descriptor)
        }

        let search = ExecutorSearch([directory + "/missing", directory, plain, program, "/never/reached"])
        #expect(search.found == program)
        #expect(
            search.misses == [
                .init(path: directory + "/missing", reason: "No such file or directory"),
                .init(path: directory, reason: "not a regular file"),
                .init(path: plain, reason: "not executable: Permission denied"),
            ])
        #expect(ExecutorSearch([plain]).found == nil)
    }

    @Test func theDriversOwnPathIsAProgram() throws {
        let path = try #require(ExecutorSearch.driverPath())
        #expect(ExecutorSearch([path]).found == path)
    }
}
