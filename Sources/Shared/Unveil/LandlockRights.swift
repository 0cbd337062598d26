/// The version of the kernel's Landlock interface that rules are made for.
///
/// The kernel's answer is clamped to the newest version whose rights are known here: a ruleset that leaves a
/// newer right unhandled is valid on every newer kernel.
public struct LandlockABI: Equatable, Sendable {
    /// The newest version known here (Linux 7.2).
    public static let newestKnown = 10

    /// From 1 to `newestKnown`.
    public let version: Int

    /// - Parameter kernelVersion: What `landlock_create_ruleset(NULL, 0, LANDLOCK_CREATE_RULESET_VERSION)`
    ///   answered. Nil when it is under 1, that is, no Landlock.
    public init?(kernelVersion: Int) {
        guard kernelVersion >= 1 else { return nil }
        version = kernelVersion < Self.newestKnown ? kernelVersion : Self.newestKnown
    }

    /// The bits for `landlock_ruleset_attr.scoped` that close the host's abstract unix sockets to the task:
    /// LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET, from version 6 on; 0 where the kernel has no scopes.
    public var abstractSocketScope: UInt64 { version >= 6 ? 1 << 0 : 0 }

    /// The flag for landlock_restrict_self(2) that logs what is denied after execve to the kernel's audit log:
    /// LANDLOCK_RESTRICT_SELF_LOG_NEW_EXEC_ON, from version 7 on; 0 below it, where nothing is logged.
    public var logsNewProgramsFlag: UInt64 { version >= 7 ? 1 << 1 : 0 }

    /// Whether landlock_add_rule(2) takes LANDLOCK_ADD_RULE_QUIET: denials on an object are then not logged.
    public var hasQuietRules: Bool { version >= 10 }
}

/// Rights over files and directories as the kernel's `landlock_ruleset_attr.handled_access_fs` and
/// `landlock_path_beneath_attr.allowed_access` bear them (LANDLOCK_ACCESS_FS_*, landlock(7)).
///
/// The values are the kernel's interface, written out because libc's headers are older than the kernels.
public struct LandlockRights: OptionSet, Sendable {
    /// The kernel's bits, LANDLOCK_ACCESS_FS_*.
    public let rawValue: UInt64

    /// The rights of the kernel's bits.
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// Execute a file.
    public static let execute = LandlockRights(rawValue: 1 << 0)
    /// Open a file for writing.
    public static let writeFile = LandlockRights(rawValue: 1 << 1)
    /// Open a file for reading.
    public static let readFile = LandlockRights(rawValue: 1 << 2)
    /// List a directory.
    public static let readDir = LandlockRights(rawValue: 1 << 3)
    /// Remove or rename an empty directory.
    public static let removeDir = LandlockRights(rawValue: 1 << 4)
    /// Remove or rename a file.
    public static let removeFile = LandlockRights(rawValue: 1 << 5)
    /// Make a character device.
    public static let makeChar = LandlockRights(rawValue: 1 << 6)
    /// Make a directory.
    public static let makeDir = LandlockRights(rawValue: 1 << 7)
    /// Make a regular file.
    public static let makeReg = LandlockRights(rawValue: 1 << 8)
    /// Make a unix socket.
    public static let makeSock = LandlockRights(rawValue: 1 << 9)
    /// Make a FIFO.
    public static let makeFifo = LandlockRights(rawValue: 1 << 10)
    /// Make a block device.
    public static let makeBlock = LandlockRights(rawValue: 1 << 11)
    /// Make a symlink.
    public static let makeSym = LandlockRights(rawValue: 1 << 12)
    /// Rename and link from one directory to another; version 2. Below it, and where it is not handled, the kernel
    /// refuses both with EXDEV.
    public static let refer = LandlockRights(rawValue: 1 << 13)
    /// Version 3. Below it truncation is open to everyone.
    public static let truncate = LandlockRights(rawValue: 1 << 14)
    /// ioctl on device files; version 5. Below it they are open to everyone.
    public static let ioctlDev = LandlockRights(rawValue: 1 << 15)
    /// Connect or send to a unix socket by its path, unless the sandbox's own processes bound it; version 9. Below it
    /// every socket is open whose file permissions allow it.
    public static let resolveUnix = LandlockRights(rawValue: 1 << 16)

    /// What a rule's path turned out to be. The kernel refuses a rule with a directory's rights on anything else.
    public enum PathKind: Sendable {
        case directory
        /// Whatever is no directory: regular files, devices, FIFOs, sockets.
        case file
    }

    /// The rights that the kernel of version `abi` knows: everything a ruleset can deny.
    public static func known(to abi: LandlockABI) -> LandlockRights {
        var rights: LandlockRights = [
            .execute, .writeFile, .readFile, .readDir, .removeDir, .removeFile, .makeChar, .makeDir, .makeReg,
            .makeSock, .makeFifo, .makeBlock, .makeSym,
        ]
        if abi.version >= 2 { rights.insert(.refer) }
        if abi.version >= 3 { rights.insert(.truncate) }
        if abi.version >= 5 { rights.insert(.ioctlDev) }
        if abi.version >= 9 { rights.insert(.resolveUnix) }
        return rights
    }

    /// What a task's ruleset handles, and so denies wherever no rule grants it: all that is known.
    /// Making device nodes is among it and is granted by no mode.
    /// - Parameter opensSockets: Unix sockets stay open to the task by path, whatever the rules are.
    public static func handled(by abi: LandlockABI, opensSockets: Bool = false) -> LandlockRights {
        opensSockets ? known(to: abi).subtracting(.resolveUnix) : known(to: abi)
    }

    /// The rights that `modes` grant on a path of `kind`.
    ///
    /// Empty for `c` alone on a file, where there is nothing to create: the kernel refuses such a rule (ENOMSG),
    /// it is to be left out.
    public static func granted(by modes: AccessModes, on kind: PathKind, abi: LandlockABI) -> LandlockRights {
        var rights: LandlockRights = []
        if modes.contains(.read) { rights.formUnion([.readFile, .readDir]) }
        if modes.contains(.write) { rights.formUnion([.writeFile, .truncate, .ioctlDev, .resolveUnix]) }
        if modes.contains(.execute) { rights.insert(.execute) }
        if modes.contains(.create) {
            rights.formUnion([
                .makeReg, .makeDir, .makeSym, .makeSock, .makeFifo, .removeFile, .removeDir, .refer,
            ])
        }
        switch kind {
        case .directory: break
        case .file: rights.formIntersection([.execute, .writeFile, .readFile, .truncate, .ioctlDev, .resolveUnix])
        }
        return rights.intersection(known(to: abi))
    }
}

/// Rights over ports as `landlock_ruleset_attr.handled_access_net` and `landlock_net_port_attr.allowed_access`
/// bear them (LANDLOCK_ACCESS_NET_*, landlock(7)).
public struct LandlockNetworkRights: OptionSet, Sendable {
    /// The kernel's bits, LANDLOCK_ACCESS_NET_*.
    public let rawValue: UInt64

    /// The rights of the kernel's bits.
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// The version that brought the rights over TCP ports (Linux 6.7).
    public static let minimumABIForTCP = 4
    /// The version that brought the rights over UDP ports (Linux 7.2).
    public static let minimumABIForUDP = 10

    /// Bind a TCP socket to the port.
    public static let bindTCP = LandlockNetworkRights(rawValue: 1 << 0)
    /// Connect a TCP socket to the port.
    public static let connectTCP = LandlockNetworkRights(rawValue: 1 << 1)
    /// Bind a UDP socket to the port. A first datagram of a socket without a port takes an ephemeral one, as binding to
    /// port 0 does, and needs this right on port 0.
    public static let bindUDP = LandlockNetworkRights(rawValue: 1 << 2)
    /// Connect a UDP socket to the port, or send a datagram to it.
    public static let connectUDP = LandlockNetworkRights(rawValue: 1 << 3)
}
