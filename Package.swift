// swift-tools-version: 6.1
import PackageDescription

/// Sanitizer builds leave the Executor out: an Embedded, static program does not link under them.
let sanitizing = Context.environment["SANITIZE"] != nil

/// A build under ThreadSanitizer has locks that the sanitizer sees (Sources/Shared/System/Mutex.swift).
let watchingThreads = Context.environment["SANITIZE"] == "thread"

/// A build for tests in which any call can be made to fail (Sources/CFaults): the linker diverts the calls
/// of the programs' own objects, and what they use of others comes in as shared libraries, undiverted.
let faulty = Context.environment["FAULTS"] != nil

let divertedCalls: [String] = [
    "accept4", "access", "bind", "calloc", "chdir", "chmod", "chown", "close", "dup2", "epoll_create1", "epoll_ctl",
    "epoll_wait", "eventfd", "faccessat", "fallocate", "fchdir", "fchmod", "fchmodat", "fchown", "fchownat", "fcntl",
    "fdopendir", "flock", "fstat", "fstatfs", "fsync", "ftruncate", "getgrouplist", "getpwnam_r", "getpwuid_r",
    "getsockopt", "inotify_add_watch", "inotify_init1", "ioctl", "kill", "listen", "lseek", "lstat", "malloc",
    "memfd_create", "mkdir", "mkdirat", "mkdtemp", "mkfifo", "mknodat", "mmap", "mount", "open", "openat", "opendir",
    "pipe2", "poll", "posix_memalign", "prctl", "pread", "pthread_create", "pwrite", "read", "readdir", "readlink",
    "readlinkat", "realpath", "recvmsg", "rename", "renameat", "rmdir", "sendmsg", "setns", "setresgid", "setrlimit",
    "sigaction", "signalfd", "socket", "socketpair", "stat", "statx", "symlink", "symlinkat", "syscall",
    "timerfd_create", "timerfd_settime", "umount2", "uname", "unlink", "unlinkat", "unshare", "wait4", "waitid",
    "waitpid", "write",
]
let diversions: [LinkerSetting] = faulty ? [.unsafeFlags(divertedCalls.flatMap { ["-Xlinker", "--wrap=\($0)"] })] : []

/// libFuzzer's library, in a build for `make fuzz`: the compiler then notes which ways the code takes.
let fuzzer = Context.environment["FUZZ"]

let strict: [SwiftSetting] =
    [.unsafeFlags(["-warnings-as-errors"])]
    + (fuzzer == nil
        ? []
        : [.define("FUZZ"), .unsafeFlags(["-sanitize-coverage=edge,inline-8bit-counters,pc-table,trace-cmp"])])

/// Neither programs nor their symbols depend on where they were built: assertions and debuggers name a source by its path
/// below the package's directory.
let placeless = ["-fdebug-prefix-map=\(Context.packageDirectory)=.", "-ffile-prefix-map=\(Context.packageDirectory)/="]
let placelessSwift = SwiftSetting.unsafeFlags(
    [
        "-file-prefix-map", "\(Context.packageDirectory)=.",
        // Neither the places of modules that were compiled from headers, nor a hash over everything that the compiler was told.
        "-Xfrontend", "-no-clang-module-breadcrumbs", "-Xfrontend", "-disable-incremental-llvm-codegen",
    ],
    .when(configuration: .release))

/// Embedded Swift: no runtime, no reflection, one static program of a few hundred KiB.
let embedded: [SwiftSetting] =
    strict + [
        placelessSwift,
        .enableExperimentalFeature("Embedded"),
        .define("EMBEDDED"),
        // One section a function, so that the linker drops what a program of Shared's does not use.
        .unsafeFlags(["-Xfrontend", "-function-sections"]),
        .unsafeFlags(["-wmo", "-Osize"], .when(configuration: .release)),
        .unsafeFlags(["-wmo"], .when(configuration: .debug)),
    ]

/// gRPC's C core and protobuf-c come in as Debian's static archives: one file to install, a start in
/// 5 ms instead of 20, and libc stays dynamic so that NSS users still resolve.
let grpcArchives: [String] =
    ["-Xlinker", "--start-group"]
    + [
        "grpc_unsecure", "gpr", "address_sorting", "re2", "upb", "cares", "z",
        "absl_bad_optional_access", "absl_bad_variant_access", "absl_base", "absl_city", "absl_civil_time",
        "absl_cord", "absl_cord_internal", "absl_cordz_functions", "absl_cordz_handle", "absl_cordz_info",
        "absl_debugging_internal", "absl_demangle_internal", "absl_exponential_biased",
        "absl_graphcycles_internal", "absl_hash", "absl_hashtablez_sampler", "absl_int128",
        "absl_log_severity", "absl_low_level_hash", "absl_malloc_internal", "absl_random_distributions",
        "absl_random_internal_platform", "absl_random_internal_pool_urbg", "absl_random_internal_randen",
        "absl_random_internal_randen_hwaes", "absl_random_internal_randen_hwaes_impl",
        "absl_random_internal_randen_slow", "absl_random_internal_seed_material",
        "absl_random_seed_gen_exception", "absl_random_seed_sequences", "absl_raw_hash_set",
        "absl_raw_logging_internal", "absl_spinlock_wait", "absl_stacktrace", "absl_status", "absl_statusor",
        "absl_str_format_internal", "absl_strerror", "absl_strings", "absl_strings_internal", "absl_symbolize",
        "absl_synchronization", "absl_throw_delegate", "absl_time", "absl_time_zone",
    ].flatMap { ["-Xlinker", "-l:lib\($0).a"] }
    + ["-Xlinker", "--end-group"]

/// As shared libraries where calls can be made to fail: what they call is not diverted.
let grpc: [LinkerSetting] =
    faulty
    ? [.linkedLibrary("grpc_unsecure"), .linkedLibrary("gpr"), .linkedLibrary("absl_synchronization")]
    : [.unsafeFlags(grpcArchives)]
let protobuf: [LinkerSetting] =
    faulty ? [.linkedLibrary("protobuf-c")] : [.unsafeFlags(["-Xlinker", "-l:libprotobuf-c.a"])]

/// Small before fast, and smaller by 1 %: what takes a call's time is the kernel's work (docs/performance.md). One section
/// a function, so that the linker drops what no other module calls: within a module the compiler does that. Nothing looks at
/// its own types at run time: without the names of fields and cases the Driver is smaller by 160 KB.
let small: [SwiftSetting] = [
    .unsafeFlags(
        ["-Osize", "-Xfrontend", "-function-sections", "-Xfrontend", "-disable-reflection-metadata"],
        .when(configuration: .release)),
    placelessSwift,
]

/// A layer of the Driver, which has a directory of its name in Sources/Driver.
func layer(_ name: String, _ dependencies: [Target.Dependency], linkerSettings: [LinkerSetting] = []) -> Target {
    .target(
        name: name, dependencies: dependencies, path: "Sources/Driver/\(name)", swiftSettings: strict + small,
        linkerSettings: linkerSettings)
}

let layers = [
    "EventLoop", "HCLog", "MessagePack", "Messages", "GRPCServer", "Planning", "Host", "Supervision", "Exec",
    "NomadPlugin", "Tracing", "Commands",
]

var targets: [Target] = [
    .target(
        name: "CLinux", dependencies: faulty ? ["CFaults"] : [],
        cSettings: [.unsafeFlags(["-Wall", "-Wextra", "-Werror"] + placeless)]
            + (faulty ? [.define("EXEC2_FAULTS")] : [])),
    // Of protobuf-c's functions for each message, most are called nowhere.
    .target(name: "CMessages", cSettings: [.unsafeFlags(placeless + ["-ffunction-sections"])]),
    .systemLibrary(name: "CGRPC"),
    .target(
        name: "CAbseil", cxxSettings: [.unsafeFlags(["-Wall", "-Wextra", "-Werror", "-fno-exceptions"] + placeless)]),
    .target(name: "CStartup", cSettings: [.unsafeFlags(["-Wall", "-Wextra", "-Werror"] + placeless)]),
    .target(
        name: "Shared", dependencies: ["CLinux", "CMessages"],
        swiftSettings: strict + small + (watchingThreads ? [.define("THREAD_SANITIZER")] : [])),
    // The Driver, layer by layer: a target may import what stands above it here, where it names it, and nothing else.
    // docs/design.md has the picture, and TargetGraphTests compares the two.
    // The loop, threads, waiting, and files of the kernel's: knows nothing of tasks.
    layer("EventLoop", ["Shared", "CLinux"], linkerSettings: diversions),
    // The log: hclog's lines on stderr.
    layer("HCLog", ["Shared"]),
    // A bounded decoder of MessagePack.
    layer("MessagePack", ["Shared"]),
    // The messages of the wire as Swift values, validated before protobuf-c unpacks them.
    layer("Messages", ["Shared", "CMessages"], linkerSettings: protobuf),
    // A gRPC server on libgrpc's C core: knows no service.
    layer(
        "GRPCServer", ["EventLoop", "HCLog", "Shared", "CAbseil", "CGRPC", "CLinux"],
        linkerSettings: grpc + [.linkedLibrary("stdc++"), .linkedLibrary("m")]),
    // Every decision about a task, from its configuration to its launch request: no effect, no gRPC.
    layer("Planning", ["MessagePack", "Messages", "Shared", "CMessages"]),
    // What the host is and has: fingerprint, statistics, users.
    layer("Host", ["EventLoop", "Planning", "Shared", "CLinux"]),
    // Executors and the tasks that they supervise, from spawn to end, and what is told of them.
    layer("Supervision", ["EventLoop", "HCLog", "Messages", "Planning", "Host", "Shared", "CLinux", "CMessages"]),
    // Commands in running tasks.
    layer("Exec", ["EventLoop", "Messages", "Planning", "Supervision", "Shared", "CLinux", "CMessages"]),
    // The services that the agent calls, and go-plugin: the one place where errors become gRPC's.
    layer(
        "NomadPlugin",
        [
            "EventLoop", "HCLog", "Messages", "GRPCServer", "Planning", "Host", "Supervision", "Exec", "Shared",
            "CLinux", "CMessages",
        ]),
    // What a task's sandbox refuses, seen by ptrace, and which rule would allow it: knows no task, only processes.
    layer("Tracing", ["EventLoop", "Planning", "Shared", "CLinux"]),
    // The command line: never gRPC.
    layer(
        "Commands",
        ["EventLoop", "HCLog", "Planning", "Host", "Supervision", "Exec", "Tracing", "Shared", "CLinux"]),
    // Plugin or tool, as the environment says.
    .executableTarget(
        name: "Driver",
        dependencies: ["EventLoop", "HCLog", "NomadPlugin", "Commands", "Shared", "CStartup"],
        path: "Sources/Driver", exclude: layers, sources: ["main.swift"], swiftSettings: strict + small,
        linkerSettings: faulty
            ? []
            : [
                .unsafeFlags(
                    [
                        "-static-stdlib", "-Xlinker", "--gc-sections",
                        // Nobody looks for the program's symbols at run time; equal functions are kept once: 3 % of it.
                        "-Xlinker", "--no-export-dynamic", "-Xlinker", "--icf=safe",
                        // Addresses of shared libraries' functions are filled in at start and read-only from then on.
                        "-Xlinker", "-z", "-Xlinker", "now",
                    ],
                    .when(configuration: .release))
            ]),
    .testTarget(
        name: "SharedTests", dependencies: ["Shared"], swiftSettings: strict,
        linkerSettings: [.linkedLibrary("protobuf-c")]),
    .testTarget(
        name: "DriverTests",
        dependencies: layers.map { .byName(name: $0) } + ["Shared", "CGRPC", "CLinux", "CMessages", "CStartup"],
        swiftSettings: strict),
    .testTarget(
        name: "FuzzTests", dependencies: layers.map { .byName(name: $0) } + ["Shared", "CMessages"],
        swiftSettings: strict,
        linkerSettings: fuzzer.map { [.unsafeFlags([$0])] } ?? []),
]

var products: [Product] = [.executable(name: "nomad-driver-exec2", targets: ["Driver"])]

if faulty { targets.append(.target(name: "CFaults", cSettings: [.unsafeFlags(["-Wall", "-Wextra", "-Werror"])])) }

if !sanitizing {
    targets += [
        .target(name: "SharedEmbedded", dependencies: ["CLinux", "CMessages"], swiftSettings: embedded),
        .executableTarget(
            name: "Executor",
            dependencies: ["SharedEmbedded", "CLinux", "CMessages"],
            swiftSettings: embedded,
            linkerSettings: [
                .unsafeFlags([
                    "-Xclang-linker", "-static", "-Xlinker", "--gc-sections", "-Xlinker",
                    "-l:libprotobuf-c.a", "-Xlinker", "--wrap=posix_memalign",
                    // The compiler asks for -pie, which a static program is not.
                    "-Xclang-linker", "-Wno-unused-command-line-argument",
                ]),
                .linkedLibrary("m"),
            ] + diversions),
    ]
    products += [.executable(name: "nomad-driver-exec2-executor", targets: ["Executor"])]
}

let package = Package(
    name: "nomad-driver-exec2",
    products: products,
    targets: targets,
    swiftLanguageModes: [.v6]
)
