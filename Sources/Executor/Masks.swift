import CLinux
import CMessages
import SharedEmbedded

/// What a template keeps at /proc: an empty file and an empty directory, which are mounted over parts of a task's
/// /proc, and the list of hidden directories. No task sees them, since the task's own /proc is mounted over them.
struct Masks {
    private let emptyFile: Int32
    private let emptyDirectory: Int32
    private let hiddenFile: Int32

    /// Adds them to the tree of a template.
    static func make(in tree: inout RootTree, _ hidden: HiddenDirectories) throws(LaunchFailure) {
        try tree.makeFile(emptyFilePlace)
        try tree.makeDirectory(emptyDirectoryPlace)
        try tree.makeFile(hiddenPlace)
        let bytes = hidden.encoded
        let file = tree.open(hiddenPlace, O_WRONLY)
        guard file >= 0 else { throw LaunchFailure(.rootEntry, .last, hiddenPlace.text) }
        defer { _ = CLinux.close(file) }
        guard retrying({ bytes.withUnsafeBytes { write(file, $0.baseAddress, $0.count) } }) == bytes.count else {
            throw LaunchFailure(.rootEntry, .last, hiddenPlace.text)
        }
    }

    /// Opens them in a copy of the template, which this process is in and which has no /proc yet.
    static func open(in tree: RootTree) throws(LaunchFailure) -> Masks {
        let emptyFile = tree.open(emptyFilePlace)
        let emptyDirectory = tree.open(emptyDirectoryPlace)
        let hidden = tree.open(hiddenPlace, O_RDONLY)
        guard emptyFile >= 0, emptyDirectory >= 0, hidden >= 0 else { throw LaunchFailure(.enterTemplate, nil) }
        return Masks(emptyFile: emptyFile, emptyDirectory: emptyDirectory, hiddenFile: hidden)
    }

    /// Reads which directories are hidden: needed where a task shows more of the host than the template does.
    func hidden() throws(LaunchFailure) -> HiddenDirectories {
        var bytes: [UInt8] = []
        let isRead = withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 16) { buffer -> Bool in
            while true {
                let count = retrying { pread(hiddenFile, buffer.baseAddress, buffer.count, bytes.count) }
                guard count > 0 else { return count == 0 }
                bytes.append(contentsOf: UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            }
        }
        guard isRead else { throw LaunchFailure(.enterTemplate, nil) }
        return HiddenDirectories(bytes)
    }

    /// Mounts /proc of this process's PID namespace, which is the task's, and masks parts of it.
    func mountProc(_ message: Exec2__Executor__TaskRoot, in tree: inout RootTree) throws(LaunchFailure) {
        var attributes = EXEC2_FILE_SYSTEM_NO_DEVICES.rawValue | EXEC2_FILE_SYSTEM_NO_EXEC.rawValue
        if message.read_only_proc != 0 { attributes |= EXEC2_FILE_SYSTEM_READ_ONLY.rawValue }
        let proc = RootTree.fileSystem("proc", [], attributes)
        guard proc >= 0 else { throw LaunchFailure(.mountProc, nil) }
        let place = PathBytes("/proc")
        try tree.mount(proc, isDirectory: true, at: place)
        for index in 0..<message.n_masked {
            var part = place
            for name in PathBytes(message.masked[index]).components { part.append(name) }
            try mask(part, in: tree)
        }
    }

    private func mask(_ place: PathBytes, in tree: RootTree) throws(LaunchFailure) {
        // This kernel has no such file: there is nothing to mask.
        guard let found = try tree.find(place) else { return }
        defer { _ = CLinux.close(found) }
        var facts = exec2_file_facts()
        guard exec2_fstat(found, &facts) == 0 else { throw LaunchFailure(.rootMount, .last, place.text) }
        let isDirectory = facts.type == EXEC2_FILE_DIRECTORY
        let mask = exec2_clone_mount(isDirectory ? emptyDirectory : emptyFile, "", 0)
        guard mask >= 0 else { throw LaunchFailure(.rootMount, .last, place.text) }
        defer { _ = CLinux.close(mask) }
        guard exec2_attach_mount(mask, found, "") == 0 else { throw LaunchFailure(.rootMount, .last, place.text) }
    }

    func close() {
        _ = CLinux.close(emptyFile)
        _ = CLinux.close(emptyDirectory)
        _ = CLinux.close(hiddenFile)
    }

    private static var emptyFilePlace: PathBytes { PathBytes("/proc/empty") }
    private static var emptyDirectoryPlace: PathBytes { PathBytes("/proc/none") }
    private static var hiddenPlace: PathBytes { PathBytes("/proc/hidden") }
}
