import Glibc
import Shared

/// A standard stream of the tool's that remembers why it did not take something.
final class RememberingStream: Sendable {
    private let descriptor: Int32
    private let firstFailure = Mutex<Errno?>(nil)

    init(_ descriptor: Int32) { self.descriptor = descriptor }

    /// Writes text, paths in it as their bytes (`ByteText`), however long the reader takes.
    func write(_ text: String) {
        let error = ByteText.bytes(text).withUnsafeBytes { Console.writeAll($0, to: descriptor) }
        if let error { firstFailure.withLock { $0 = $0 ?? error } }
    }

    /// Whether it takes no more, as when its reader has closed it.
    var hasFailed: Bool { firstFailure.withLock { $0 } != nil }

    /// Why something could not be written, unless its reader has closed it and so wants no more.
    var failure: Errno? { firstFailure.withLock { $0 == .brokenPipe ? nil : $0 } }
}
