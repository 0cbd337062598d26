import CLinux

/// An error number of the kernel's (errno(3)).
public struct Errno: RawRepresentable, Equatable, Sendable {
    /// The number, as in errno(3).
    public let rawValue: Int32

    /// The error of a number.
    public init(rawValue: Int32) { self.rawValue = rawValue }

    /// EPERM
    public static let notPermitted = Errno(rawValue: EPERM)
    /// ENOENT
    public static let noSuchFile = Errno(rawValue: ENOENT)
    /// ESRCH
    public static let noSuchProcess = Errno(rawValue: ESRCH)
    /// EINTR
    public static let interrupted = Errno(rawValue: EINTR)
    /// EAGAIN
    public static let wouldBlock = Errno(rawValue: EAGAIN)
    /// ENOMEM
    public static let outOfMemory = Errno(rawValue: ENOMEM)
    /// EACCES
    public static let permissionDenied = Errno(rawValue: EACCES)
    /// EEXIST
    public static let fileExists = Errno(rawValue: EEXIST)
    /// ENOTDIR
    public static let notDirectory = Errno(rawValue: ENOTDIR)
    /// EISDIR
    public static let isDirectory = Errno(rawValue: EISDIR)
    /// EINVAL
    public static let invalidArgument = Errno(rawValue: EINVAL)
    /// EPIPE
    public static let brokenPipe = Errno(rawValue: EPIPE)
    /// ELOOP
    public static let tooManySymlinks = Errno(rawValue: ELOOP)
    /// ENOEXEC
    public static let notExecutableFormat = Errno(rawValue: ENOEXEC)
    /// ETXTBSY
    public static let textFileBusy = Errno(rawValue: ETXTBSY)
    /// EBUSY
    public static let busy = Errno(rawValue: EBUSY)
    /// EROFS
    public static let readOnlyFileSystem = Errno(rawValue: EROFS)
    /// EXDEV
    public static let crossDeviceLink = Errno(rawValue: EXDEV)
    /// ENOSPC
    public static let noSpace = Errno(rawValue: ENOSPC)

    /// The error number that the last failed libc call of this thread left.
    public static var last: Errno { Errno(rawValue: exec2_errno()) }

    /// The C library's text, "No such file or directory".
    public var text: String {
        guard let text = strerror(rawValue) else { return "unknown error" }
        return String(cString: text)
    }
}

/// A system call that failed: which one, on what, and why.
public struct SystemError: Error, Sendable {
    /// What was attempted, as a verb phrase: "open", "make the directory".
    public let attempt: String
    /// The path, id or name that it was attempted on.
    public let subject: String
    /// Why the kernel refused.
    public let errno: Errno

    /// The failure of a call; by default with the error number that it left.
    public init(_ attempt: String, _ subject: String, _ errno: Errno = .last) {
        self.attempt = attempt
        self.subject = subject
        self.errno = errno
    }

    /// "cannot open /run/x: No such file or directory".
    public var text: String { "cannot " + attempt + " " + subject + ": " + errno.text }
}

// Comparing strings takes the Unicode tables, 90 KiB that an Executor has no use for.
#if !EMBEDDED
    extension SystemError: Equatable {}
#endif

/// Calls again while the call is interrupted by a signal (EINTR).
public func retrying<Result: SignedInteger>(_ call: () -> Result) -> Result {
    while true {
        let result = call()
        if result >= 0 || Errno.last != .interrupted { return result }
    }
}
