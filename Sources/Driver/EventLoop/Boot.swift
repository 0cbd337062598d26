/// This boot of the host.
package enum Boot {
    package static let path = "/proc/sys/kernel/random/boot_id"
    /// A random id that the kernel makes at each boot (random(4)).
    package static let id: String = {
        let bytes = (try? HostFile.read(path)) ?? []
        return String(decoding: bytes.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
    }()
}
