import Testing

@testable import Planning

@Suite struct CapabilitiesTests {
    /// Numbers of uapi linux/capability.h.
    @Test func rootKeepsTheseAndNoOthers() {
        let kept: [UInt64] = [
            0,  // chown
            1,  // dac_override
            3,  // fowner
            4,  // fsetid
            5,  // kill
            6,  // setgid
            7,  // setuid
            8,  // setpcap
            10,  // net_bind_service
            18,  // sys_chroot
            31,  // setfcap
        ]
        #expect((0..<64).filter { Capability.forRoot >> $0 & 1 == 1 } == kept)
    }

    /// Each of these would open the host from inside the sandbox.
    @Test(arguments: [
        2,  // dac_read_search: open_by_handle_at passes by every path
        12,  // net_admin
        13,  // net_raw
        16,  // sys_module
        17,  // sys_rawio
        19,  // sys_ptrace
        21,  // sys_admin
        22,  // sys_boot
        25,  // sys_time
        27,  // mknod
        32,  // mac_override
        33,  // mac_admin
        38,  // perfmon
        39,  // bpf
        40,  // checkpoint_restore
    ])
    func rootHasNoneThatAdministersTheHost(number: UInt64) {
        #expect(Capability.forRoot >> number & 1 == 0)
    }
}
