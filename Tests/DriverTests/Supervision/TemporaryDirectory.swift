import Glibc
import Testing

/// A directory of one test's own; removed, with the empty directories and files in it, when it goes.
final class TemporaryDirectory {
    let path: String

    init() throws {
        var template = Array("/tmp/exec2-test-XXXXXX\0".utf8.map(CChar.init(bitPattern:)))
        path = try #require(mkdtemp(&template).map { String(cString: $0) })
    }

    deinit {
        for name in names where unlink(path + "/" + name) != 0 { rmdir(path + "/" + name) }
        rmdir(path)
    }

    func has(_ name: String) -> Bool { access(path + "/" + name, F_OK) == 0 }

    var names: [String] {
        guard let directory = opendir(path) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { name in
                name.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }
}
