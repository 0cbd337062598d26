import CLinux
import Glibc
import Shared
import Testing

@testable import EventLoop
@testable import Planning
@testable import Tracing

@Suite struct TracedCallTests {
    /// Each number is the headers', where this machine has them and they know the call.
    @Test(arguments: [
        (SyscallArchitecture.amd64, "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
        (.arm64, "/usr/include/asm-generic/unistd.h"),
    ])
    func theNumbersAreTheKernels(architecture: SyscallArchitecture, header: String) throws {
        guard let bytes = try? HostFile.read(header) else { return }
        let table = CallTable(of: architecture)
        var found = 0
        for match in String(decoding: bytes, as: UTF8.self).matches(of: #/#define __NR(?:3264)?_(\w+) (\d+)/#) {
            let name = String(match.1)
            let number = try #require(UInt64(match.2))
            // The generic header has another name for this one, and the 64-bit numbers of others under their old names.
            let names = ["fstatat": "newfstatat"]
            if let call = table[number] {
                #expect(call.name.description == names[name] ?? name)
                found += 1
            }
        }
        #expect(found > (architecture == .amd64 ? 80 : 50))
    }

    @Test func whatNoKernelHasIsInNoTable() {
        for architecture in SyscallArchitecture.allCases {
            let table = CallTable(of: architecture)
            #expect(table[511] == nil && table[512] == nil && table[.max] == nil)
        }
        #expect(CallTable(of: .amd64)[257]?.kind == .open && CallTable(of: .arm64)[56]?.kind == .open)
        #expect(CallTable(of: .arm64)[257] == nil)
    }

    /// The capability of a call stood once where the index of its flags stands, and was read as one: beyond the arguments.
    @Test(arguments: SyscallArchitecture.allCases)
    func everyIndexIsOfAnArgument(architecture: SyscallArchitecture) {
        let table = CallTable(of: architecture)
        for number in UInt64(0)..<512 {
            guard let call = table[number] else { continue }
            for index in [call.directory, call.path, call.flags, call.directory2, call.path2] {
                #expect((-1..<6).contains(index), "\(call.name)")
            }
            #expect((call.needed != nil) == (call.kind == .privilege), "\(call.name)")
        }
    }

    @Test func everyCallIsRead() {
        for number in UInt64(0)..<512 {
            var info = exec2_call()
            info.architecture = SyscallArchitecture.native.auditToken
            info.number = number
            info.arguments = (10, 11, 12, 13, 14, 15)
            // Paths are read from the memory of a thread that cannot be read.
            guard let pending = CallReader().pending(info, -1), let call = pending.call else { continue }
            let isInMemory = call.kind == .openAt2
            #expect(pending.flags == (call.flags < 0 || isInMemory ? 0 : 10 + UInt64(call.flags)), "\(call.name)")
            #expect(pending.paths.allSatisfy { $0 == nil })
        }
    }
}

@Suite struct WishTests {
    private func opening(_ flags: Int32) -> RequestedAccess? {
        RequestedAccess(.open, flags: UInt64(UInt32(bitPattern: flags)))
    }

    @Test func flagsOfAnOpeningAreModes() {
        #expect(opening(O_RDONLY)?.modes == .read)
        #expect(opening(O_WRONLY)?.modes == .write)
        #expect(opening(O_RDWR)?.modes == [.read, .write])
        #expect(opening(O_RDONLY | O_TRUNC)?.modes == [.read, .write])
        #expect(opening(O_RDONLY)?.place == .object)
        #expect(opening(O_WRONLY | O_CREAT)?.place == .objectOrEntry)
        #expect(opening(O_RDONLY | O_NOFOLLOW)?.followsLink == false)
        // O_TMPFILE makes a file in the directory that it names.
        #expect(opening(O_RDWR | 0o20000000 | O_DIRECTORY) == RequestedAccess([.read, .write, .create]))
        #expect(opening(EXEC2_O_PATH | O_RDWR) == RequestedAccess(.read, permission: []))
        #expect(RequestedAccess(.create, flags: 0)?.modes == .write)
    }

    @Test func otherCalls() {
        #expect(RequestedAccess(.execute, flags: 0)?.modes == [.read, .execute])
        #expect(RequestedAccess(.access, flags: UInt64(W_OK | R_OK))?.modes == [.read, .write])
        #expect(RequestedAccess(.access, flags: UInt64(F_OK)) == RequestedAccess(.read, permission: []))
        #expect(RequestedAccess(.lookByFlags, flags: 0x100)?.followsLink == false)
        #expect(RequestedAccess(.lookByFlags, flags: 0)?.followsLink == true)
        for kind: TracedCall.Kind in [.make, .symlink, .remove, .rename, .link, .bind] {
            #expect(RequestedAccess(kind, flags: 0) == RequestedAccess(.create, place: .entry, followsLink: false))
        }
        #expect(
            RequestedAccess(.connect, flags: 0)?.modes == .write && RequestedAccess(.change, flags: 0)?.modes == .write)
        #expect(RequestedAccess(.socket, flags: 0) == nil && RequestedAccess(.privilege, flags: 0) == nil)
    }
}

@Suite struct SocketAddressTests {
    @Test func families() {
        #expect(SocketAddress([2, 0, 0x12, 0x26, 127, 0, 0, 1]) == .port(4646))
        #expect(SocketAddress([10, 0, 0, 80] + [UInt8](repeating: 0, count: 24)) == .port(80))
        #expect(SocketAddress([1, 0] + Array("/run/x".utf8) + [0, 7, 7]) == .path(Array("/run/x".utf8)))
        #expect(SocketAddress([1, 0, 0] + Array("name".utf8)) == .abstract(Array("name".utf8)))
        #expect(SocketAddress([1, 0]) == nil && SocketAddress([]) == nil && SocketAddress([16, 0, 1, 2]) == nil)
        #expect(SocketAddress([2, 0, 1]) == nil)
    }
}

@Suite struct ProgramHeadTests {
    @Test func interpretersOfScripts() {
        func interpreter(_ text: String) -> String? { ProgramHead.interpreter(in: Array(text.utf8)) }
        #expect(interpreter("#!/bin/sh\n") == "/bin/sh")
        #expect(interpreter("#! \t/usr/bin/env -S python3\nrest") == "/usr/bin/env")
        #expect(interpreter("#!sh\n") == nil && interpreter("#!") == nil && interpreter("text") == nil)
    }

    @Test func loadersOfPrograms() throws {
        let bytes = try HostFile.read("/bin/true")
        let loader = try #require(ProgramHead.interpreter(in: Array(bytes.prefix(4096))))
        #expect(loader.hasPrefix("/lib") && access(loader, F_OK) == 0)
    }

    /// Whatever it says, nothing is read beyond the end.
    @Test func hostileHeads() throws {
        let bytes = Array(try HostFile.read("/bin/true").prefix(4096))
        for index in 32..<400 {
            for value: UInt8 in [0, 0x7F, 0xFF] {
                var head = bytes
                head[index] = value
                _ = ProgramHead.interpreter(in: head)
                _ = ProgramHead.interpreter(in: Array(head.prefix(index)))
            }
        }
        #expect(ProgramHead.interpreter(in: [0x7F, 0x45, 0x4C, 0x46, 2] + [UInt8](repeating: 0xFF, count: 59)) == nil)
    }
}

@Suite struct TracedProcessTests {
    private static let status = """
        Name:\ta b)\\n
        Umask:\t0022
        Tgid:\t77
        Uid:\t1\t2\t3\t4
        Gid:\t5\t6\t7\t8
        Groups:\t10 20 30\u{20}
        CapEff:\t00000000a80425fb

        """

    @Test func theStatusFile() {
        let process = TracedProcess(thread: 78, status: Array(Self.status.utf8))
        #expect(process.pid == 77 && process.name == "a b)\\n" && process.uid == 4 && process.gid == 8)
        #expect(process.groups == [10, 20, 30] && process.capabilities == 0xA804_25FB)
        #expect(process.has(.chown) && !process.has(.dacReadSearch))
        #expect(TracedProcess(thread: 78, status: []).pid == 78)
    }

    @Test func permissions() {
        let file = FileFacts(mode: 0o640, owner: 4, group: 20)
        func may(_ modes: AccessModes, _ uid: UInt32, _ groups: [UInt32] = [], capabilities: UInt64 = 0) -> Bool {
            TracedProcess(pid: 1, uid: uid, gid: 9, groups: groups, capabilities: capabilities).may(modes, file)
        }
        #expect(may([.read, .write], 4) && !may(.execute, 4))
        #expect(may(.read, 5, [20]) && !may(.write, 5, [20]) && !may(.read, 5))
        // CAP_DAC_OVERRIDE executes only what somebody may execute; CAP_DAC_READ_SEARCH only reads.
        #expect(may([.read, .write], 5, capabilities: 2) && !may(.execute, 5, capabilities: 2))
        #expect(may(.read, 5, capabilities: 4) && !may(.write, 5, capabilities: 4))
        let directory = FileFacts(isDirectory: true, mode: 0o755, owner: 0, group: 0)
        let user = TracedProcess(pid: 1, uid: 5)
        #expect(user.may(.read, directory) && !user.may(.create, directory))
        #expect(TracedProcess(pid: 1, capabilities: 2).may(.create, directory))
    }
}
