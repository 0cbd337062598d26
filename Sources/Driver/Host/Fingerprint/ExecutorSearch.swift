import Glibc
import Shared

/// Where the Executor was looked for, and where it is.
package struct ExecutorSearch: Equatable, Sendable {
    /// A place without an Executor, and why.
    struct Miss: Equatable, Sendable {
        let path: String
        let reason: String
    }

    package static let fileName = "nomad-driver-exec2-executor"

    /// The Executor's path, in the form of `ByteText`; nil if it was not found.
    package let found: String?
    /// The places before it.
    let misses: [Miss]

    init(found: String?, misses: [Miss]) {
        self.found = found
        self.misses = misses
    }

    /// What is wrong with it, and how to mend that.
    package var missesText: String {
        let places = misses.map { "\($0.path) (\($0.reason))" }.joined(separator: ", ")
        return "the Executor cannot be run from \(places)"
    }
    package static let remedy =
        "install \(fileName) beside nomad-driver-exec2, or set executor_path in the plugin's configuration to where it is"

    /// Looks at `candidates` in their order.
    /// - Parameter areConfigured: Then root alone may be able to replace them. What is beside the Driver is no less
    ///   to be relied on than that is.
    ///   - examining: Called with each path before it is looked at, which may block.
    init(
        _ candidates: [String], areConfigured: Bool = false, after earlier: [Miss] = [],
        examining: (String) -> Void = { _ in }
    ) {
        var misses = earlier
        for path in candidates {
            examining(path)
            guard let reason = Self.obstacle(at: path) ?? (areConfigured ? Self.mistrust(of: path) : nil) else {
                self.init(found: path, misses: misses)
                return
            }
            misses.append(Miss(path: path, reason: reason))
        }
        self.init(found: nil, misses: misses)
    }

    /// Looks on this host: at the path that is configured, or else beside the running Driver.
    /// - Parameter examining: Called with each path before it is looked at, which may block.
    package static func onHost(configured: String?, examining: (String) -> Void = { _ in }) -> ExecutorSearch {
        if let driver = driverPath() {
            return ExecutorSearch(
                candidates(configured: configured, driver: driver), areConfigured: configured != nil,
                examining: examining)
        }
        let reason = "the driver's own path is not known: " + Errno.last.text
        return ExecutorSearch(
            configured.map { [$0] } ?? [commonPath], areConfigured: configured != nil,
            after: [Miss(path: "/proc/self/exe", reason: reason)], examining: examining)
    }

    private static let commonPath = "/usr/libexec/nomad-driver-exec2/" + fileName

    /// Where the Executor may be.
    ///
    /// A path that the operator configured is the only one: to take another file instead would hide the mistake.
    /// - Parameter driver: The Driver's own path.
    static func candidates(configured: String?, driver: String) -> [String] {
        if let configured { return [configured] }
        let directory = parent(of: driver)
        return [
            directory == "/" ? "/" + fileName : directory + "/" + fileName,
            (parent(of: directory) == "/" ? "" : parent(of: directory)) + "/libexec/nomad-driver-exec2/" + fileName,
            commonPath,
        ]
    }

    /// The path of the running Driver, as the kernel has it in /proc/self/exe, in the form of `ByteText`; nil where it
    /// does not say (errno).
    static func driverPath() -> String? {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink("/proc/self/exe", &buffer, buffer.count)
        guard count > 0 else { return nil }
        let path = ByteText.text(buffer[..<count].map(UInt8.init(bitPattern:)))
        // The mark of a file that was replaced while it runs: an upgrade, and the new files are in its place.
        let mark = " (deleted)"
        return path.hasSuffix(mark) ? String(path.dropLast(mark.count)) : path
    }

    /// Why what is at `path` cannot be run; nil where it can.
    private static func obstacle(at path: String) -> String? {
        var status = stat()
        if ByteText.withPath(path, { stat($0, &status) }) != 0 { return Errno.last.text }
        if status.st_mode & S_IFMT != S_IFREG { return "not a regular file" }
        return ByteText.withPath(path) { access($0, X_OK) } == 0 ? nil : "not executable: " + Errno.last.text
    }

    /// Why others than root could put another program in its place; nil where they could not.
    private static func mistrust(of path: String) -> String? {
        guard case .untrusted(let fault) = PathTrust.of(path, last: true) else { return nil }
        return fault.text + "; " + fault.remedy("set the plugin option executor_path")
    }

    private static func parent(of path: String) -> String {
        guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")), slash != path.startIndex else { return "/" }
        return String(path[..<slash])
    }
}
