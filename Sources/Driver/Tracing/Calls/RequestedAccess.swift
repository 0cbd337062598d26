import CLinux
import Glibc
import Shared

/// The access to a path that a system call needs.
struct RequestedAccess: Equatable, Sendable {
    enum Place: Sendable {
        /// What the path names.
        case object
        /// What the path names, or a new entry if that does not exist.
        case objectOrEntry
        /// The path's entry in its parent directory.
        case entry
    }

    /// The modes that a rule needs to allow it. With any mode, a rule lets a program look up a path.
    var modes: AccessModes
    /// What the file permissions of the object, or of the parent directory, must allow as well.
    var permission: AccessModes
    var place = Place.object
    var followsLink = true

    /// The access that a call needs to its path; nil for a call without a path.
    /// - Parameter flags: The argument whose index the table of calls has as `flags`.
    init?(_ kind: TracedCall.Kind, flags: UInt64) {
        let flags = Int32(truncatingIfNeeded: flags)
        switch kind {
        case .open, .openAt2: self.init(opening: flags)
        case .create: self.init(opening: O_WRONLY | O_CREAT | O_TRUNC)
        case .execute: self.init([.read, .execute], permission: .execute)
        case .look: self.init(.read, permission: [])
        case .lookAtLink: self.init(.read, permission: [], followsLink: false)
        case .lookByFlags: self.init(.read, permission: [], followsLink: flags & Self.noFollowAt == 0)
        case .access:
            var modes: AccessModes = []
            if flags & R_OK != 0 { modes.insert(.read) }
            if flags & W_OK != 0 { modes.insert(.write) }
            if flags & X_OK != 0 { modes.insert(.execute) }
            self.init(modes.isEmpty ? .read : modes, permission: modes)
        // Most changes need the file's owner rather than permissions, and an open file was checked when it was opened.
        case .change, .descriptor, .control: self.init(.write, permission: [])
        case .changeLink: self.init(.write, permission: [], followsLink: false)
        case .make, .symlink, .remove, .rename, .link, .bind:
            self.init(.create, place: .entry, followsLink: false)
        case .connect, .sendTo, .sendMessage: self.init(.write)
        case .map: self.init([.read, .execute], permission: [])
        case .socket, .privilege, .trace: return nil
        }
    }

    init(
        _ modes: AccessModes, permission: AccessModes? = nil, place: Place = .object, followsLink: Bool = true
    ) {
        self.modes = modes
        self.permission = permission ?? modes
        self.place = place
        self.followsLink = followsLink
    }

    private init(opening flags: Int32) {
        var modes: AccessModes
        switch flags & O_ACCMODE {
        case O_RDONLY: modes = .read
        case O_WRONLY: modes = .write
        default: modes = [.read, .write]
        }
        if flags & EXEC2_O_PATH != 0 {
            self.init(.read, permission: [], followsLink: flags & O_NOFOLLOW == 0)
            return
        }
        if flags & O_TRUNC != 0 { modes.insert(.write) }
        // O_TMPFILE has the bit of O_DIRECTORY too (open(2)).
        if flags & Self.temporary != 0 {
            self.init(modes.union(.create))
            return
        }
        self.init(
            modes, place: flags & O_CREAT != 0 ? .objectOrEntry : .object, followsLink: flags & O_NOFOLLOW == 0)
    }

    /// __O_TMPFILE and AT_SYMLINK_NOFOLLOW: macros behind _GNU_SOURCE, the same on both architectures.
    private static let temporary: Int32 = 0o20000000
    private static let noFollowAt: Int32 = 0x100
}
