import CLinux
import Glibc
import Shared

/// Opens /dev/null for other processes.
package enum NullDevice {
    /// A read-only mount of it, for as long as this process lives; −1: not made yet, or without the right to mount.
    ///
    /// Closing a detached mount waits for a grace period of RCU, and a start of a task would wait with it.
    private static let mount = Mutex<Int32>(-1)

    /// Opens it for reading and writing, on a read-only mount: a root task that has it as stdin cannot change its mode
    /// or owner, on which every program of the host depends. Each call returns an open file of its own, so that tasks do not
    /// share flags and locks.
    package static func open() throws(SystemError) -> OwnedDescriptor {
        let known = mount.withLock { $0 }
        if known >= 0 {
            let number = exec2_open("/proc/self/fd/\(known)", O_RDWR | O_CLOEXEC, 0)
            guard number >= 0 else { throw SystemError("open", "/dev/null") }
            return OwnedDescriptor(owning: number)
        }
        let device = try OwnedDescriptor.open("/dev/null", O_RDWR)
        var made: Int32 = -1
        let number = exec2_reopen_read_only(device.number, O_RDWR, &made)
        // Without the right to mount, the start fails at a later step, whose error says so.
        if number < 0 { return device }
        let isFirst = mount.withLock { mount in
            if mount < 0 { mount = made }
            return mount == made
        }
        if !isFirst { close(made) }
        return OwnedDescriptor(owning: number)
    }
}
