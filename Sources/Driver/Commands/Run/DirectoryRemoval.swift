import CLinux
import Glibc
import Shared

/// Removal of directories that a task has filled, as root: no symlink is followed, and neither the depth nor
/// the length of paths matters. No process of the task may run any more.
enum DirectoryRemoval {
    /// Removes the directory with everything in it; what is not there is removed.
    ///
    /// One level at a time: the subdirectories of a directory that is not empty are moved up into `path`, so
    /// that two descriptors suffice for any depth.
    static func remove(_ path: String) throws(SystemError) {
        let top: OwnedDescriptor
        do throws(SystemError) {
            top = try OwnedDescriptor.open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
        } catch {
            if error.errno == .noSuchFile { return }
            throw error
        }
        var moved = 0
        while true {
            let names = try names(in: top, path)
            if names.isEmpty { break }
            for name in names where try !removeEntry(name, of: top, path) {
                try raiseDirectories(of: name, in: top, path, counter: &moved)
            }
        }
        guard rmdir(path) == 0 else { throw SystemError("remove", path) }
    }

    /// True where the entry is gone; false for a directory that is not empty.
    private static func removeEntry(
        _ name: Name, of directory: borrowing OwnedDescriptor, _ path: String
    ) throws(SystemError) -> Bool {
        if unlinkat(directory.number, name.bytes, 0) == 0 || Errno.last == .noSuchFile { return true }
        guard Errno.last == .isDirectory || Errno.last == .notPermitted else {
            throw name.error("remove", path)
        }
        if unlinkat(directory.number, name.bytes, AT_REMOVEDIR) == 0 { return true }
        guard Errno.last.rawValue == ENOTEMPTY else { throw name.error("remove", path) }
        return false
    }

    /// Empties the directory `name`: what is no directory is removed, what is one and not empty moves up.
    private static func raiseDirectories(
        of name: Name, in top: borrowing OwnedDescriptor, _ path: String, counter: inout Int
    ) throws(SystemError) {
        let number = exec2_openat(top.number, name.bytes, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0)
        guard number >= 0 else { throw name.error("open", path) }
        let directory = OwnedDescriptor(owning: number)
        for inner in try names(in: directory, path) where try !removeEntry(inner, of: directory, path) {
            // The name may be taken by what the task made, or by an earlier one.
            repeat { counter += 1 } while faccessat(top.number, "\(counter)", F_OK, AT_SYMLINK_NOFOLLOW) == 0
            guard renameat(directory.number, inner.bytes, top.number, "\(counter)") == 0 else {
                throw inner.error("remove", path)
            }
        }
        guard unlinkat(top.number, name.bytes, AT_REMOVEDIR) == 0 else { throw name.error("remove", path) }
    }

    /// A file's name as the file system has it, which need not be UTF-8; with its NUL.
    private struct Name {
        let bytes: [CChar]

        func error(_ attempt: String, _ directory: String) -> SystemError {
            let text = String(decoding: bytes.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
            return SystemError(attempt, quoted(text) + " in " + directory)
        }
    }

    private static func names(
        in directory: borrowing OwnedDescriptor, _ path: String
    ) throws(SystemError) -> [Name] {
        // A stream of its own place: closedir closes the copy, and reading begins at the start.
        let copy = exec2_openat(directory.number, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)
        guard copy >= 0, let stream = fdopendir(copy) else { throw SystemError("list", path) }
        defer { closedir(stream) }
        var names: [Name] = []
        while let entry = readdir(stream) {
            let bytes = withUnsafeBytes(of: &entry.pointee.d_name) { name in
                name.prefix { $0 != 0 }.map { CChar(bitPattern: $0) } + [0]
            }
            let dot = CChar(bitPattern: UInt8(ascii: "."))
            if bytes != [dot, 0] && bytes != [dot, dot, 0] { names.append(Name(bytes: bytes)) }
        }
        return names
    }
}
