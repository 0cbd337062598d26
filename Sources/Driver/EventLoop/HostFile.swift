import CLinux
import Shared

/// Files of the kernel's (/proc, cgroups), whose size only reading tells.
package enum HostFile {
    /// The whole file; more than 64 MiB is an error (EFBIG).
    package static func read(_ path: String) throws(SystemError) -> [UInt8] {
        let file = try OwnedDescriptor.open(path, O_RDONLY)
        let descriptor = file.number
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = chunk.withUnsafeMutableBytes { buffer in
                retrying { CLinux.read(descriptor, buffer.baseAddress, buffer.count) }
            }
            if count < 0 { throw SystemError("read", path) }
            if count == 0 { return bytes }
            bytes += chunk[..<count]
            if bytes.count > 64 << 20 { throw SystemError("read", path, Errno(rawValue: EFBIG)) }
        }
    }
}
