import CLinux
import Glibc
import Shared

/// Opens /dev/null for other processes.
package enum NullDevice {
    /// Opens it for reading and writing, on a read-only mount: a root task that has it as stdin cannot change its mode
    /// or owner, on which every program of the host depends.
    package static func open() throws(SystemError) -> OwnedDescriptor {
        let device = try OwnedDescriptor.open("/dev/null", O_RDWR)
        let number = exec2_reopen_read_only(device.number, O_RDWR, nil)
        // Without the right to mount, the start fails at a later step, whose error says so.
        if number < 0 { return device }
        return OwnedDescriptor(owning: number)
    }
}
