import CLinux
import Glibc
import Shared

/// /dev/null, as it is handed to other processes.
package enum NullDevice {
    /// Opens it for reading and writing, on a read-only mount: a task of root's that has it as its stdin can change neither
    /// its mode nor its owner, which every program of the host depends on.
    package static func open() throws(SystemError) -> OwnedDescriptor {
        let device = try OwnedDescriptor.open("/dev/null", O_RDWR)
        let number = exec2_reopen_read_only(device.number, O_RDWR)
        // Whoever may not mount anything cannot start a task, but is to say so at the step that needs it.
        if number < 0 { return device }
        return OwnedDescriptor(owning: number)
    }
}
