import CLinux
import SharedEmbedded

/// What a template keeps at /proc: an empty file and an empty directory, which are mounted over parts of a task's
/// /proc, and the list of hidden directories. No task sees them, since the task's own /proc is mounted over them.
struct Masks {
    let emptyFile: Int32
    let emptyDirectory: Int32
    private let hiddenFile: Int32

    /// Adds them to the tree of a template.
    static func make(in tree: inout RootTree, _ hidden: HiddenDirectories) throws(LaunchFailure) {
        try tree.makeFile(emptyFilePlace)
        try tree.makeDirectory(emptyDirectoryPlace)
        try tree.makeFile(hiddenPlace)
        tree.emptyFile = tree.open(emptyFilePlace)
        let bytes = hidden.encoded
        let file = tree.open(hiddenPlace, O_WRONLY)
        guard tree.emptyFile >= 0, file >= 0 else { throw LaunchFailure(.rootEntry, .last, hiddenPlace.text) }
        defer { _ = CLinux.close(file) }
        guard retrying({ bytes.withUnsafeBytes { write(file, $0.baseAddress, $0.count) } }) == bytes.count else {
            throw LaunchFailure(.rootEntry, .last, hiddenPlace.text)
        }
    }

    /// Opens them in a copy of the template, which this process is in.
    static func open(in tree: inout RootTree) throws(LaunchFailure) -> Masks {
        let emptyFile = tree.open(emptyFilePlace)
        let emptyDirectory = tree.open(emptyDirectoryPlace)
        let hidden = tree.open(hiddenPlace, O_RDONLY)
        guard emptyFile >= 0, emptyDirectory >= 0, hidden >= 0 else { throw LaunchFailure(.enterTemplate, nil) }
        tree.emptyFile = emptyFile
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

    func close() {
        _ = CLinux.close(emptyFile)
        _ = CLinux.close(emptyDirectory)
        _ = CLinux.close(hiddenFile)
    }

    static var emptyFilePlace: PathBytes { PathBytes("/proc/empty") }
    private static var emptyDirectoryPlace: PathBytes { PathBytes("/proc/none") }
    private static var hiddenPlace: PathBytes { PathBytes("/proc/hidden") }
}
