import Glibc
import Shared

/// The names in a directory.
package enum DirectoryListing {
    /// Without . and ..; nil where the directory cannot be read.
    package static func names(in path: String) -> [String]? { try? read(path) }

    /// As above, with the reason why it cannot be read.
    package static func read(_ path: String) throws(SystemError) -> [String] {
        guard let directory = opendir(path) else { throw SystemError("read the directory", path) }
        defer { closedir(directory) }
        var names: [String] = []
        while true {
            // At the end, too, there is no entry, and then errno is left alone (readdir(3)).
            errno = 0
            guard let entry = readdir(directory) else {
                guard errno == 0 else { throw SystemError("read the directory", path) }
                return names
            }
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != "." && name != ".." { names.append(name) }
        }
    }
}
