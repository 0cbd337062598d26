import CLinux
import SharedEmbedded

/// A path's components as bytes: comparing text takes the Unicode tables, which an Executor has no use for.
struct PathBytes {
    private(set) var components: [[UInt8]]

    init(_ components: [[UInt8]] = []) { self.components = components }

    /// Without empty components and ".". ".." is kept.
    init(_ path: UnsafePointer<CChar>?) {
        components = []
        guard let path else { return }
        add(UnsafeRawBufferPointer(start: path, count: strlen(path)))
    }

    /// The components of a path, such as a symlink's target.
    init(bytes: UnsafeRawBufferPointer) {
        components = []
        add(bytes)
    }

    private mutating func add(_ bytes: UnsafeRawBufferPointer) {
        for part in bytes.split(separator: UInt8(ascii: "/")) {
            if part.count == 1, part[part.startIndex] == UInt8(ascii: ".") { continue }
            components.append(Array(part))
        }
    }

    var isRoot: Bool { components.isEmpty }

    var parent: PathBytes { PathBytes(Array(components.dropLast())) }

    mutating func append(_ name: [UInt8]) { components.append(name) }

    mutating func removeLast() { _ = components.popLast() }

    /// Whether this is `other` or above it.
    func isAtOrAbove(_ other: PathBytes) -> Bool { other.components.starts(with: components) }

    func isEqual(to other: PathBytes) -> Bool { components == other.components }

    /// /dev/shm, /dev/pts and what is below them, /dev/ptmx, and the links to a process's own streams.
    var isOwnDevice: Bool {
        guard components.count > 1, begins(with: "dev") else { return false }
        let name = PathBytes([components[1]])
        let names: [StaticString] = ["shm", "pts", "ptmx", "fd", "stdin", "stdout", "stderr"]
        return names.contains { name.begins(with: $0) }
    }

    /// Whether the first component is this name.
    func begins(with name: StaticString) -> Bool {
        guard let first = components.first else { return false }
        return first.elementsEqual(UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount))
    }

    /// `call` with the path relative to the root, "" for that itself, as C takes it.
    func withRelativePath<Result>(_ call: (UnsafePointer<CChar>) -> Result) -> Result {
        var bytes: [UInt8] = []
        for component in components {
            if !bytes.isEmpty { bytes.append(UInt8(ascii: "/")) }
            bytes += component
        }
        return withName(bytes, call)
    }

    /// As text, for errors.
    var text: String {
        var bytes: [UInt8] = []
        for component in components {
            bytes.append(UInt8(ascii: "/"))
            bytes += component
        }
        return bytes.isEmpty ? "/" : String(decoding: bytes, as: UTF8.self)
    }
}

/// `call` with a name as C takes it.
func withName<Result>(_ name: [UInt8], _ call: (UnsafePointer<CChar>) -> Result) -> Result {
    var bytes = name
    bytes.append(0)
    return bytes.withUnsafeBytes { buffer in
        // Never nil: there is the NUL.
        call(buffer.baseAddress.map { $0.assumingMemoryBound(to: CChar.self) } ?? emptyText)
    }
}

private var emptyText: UnsafePointer<CChar> {
    let text: StaticString = ""
    return UnsafeRawPointer(text.utf8Start).assumingMemoryBound(to: CChar.self)
}
