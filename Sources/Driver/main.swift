import Glibc
import Shared

/// Adds the services of the plugin proper; go-plugin's own are there already. What is returned is to be
/// called when the server has ended.
func registerServices(on server: RPCServer, reactor: Reactor) throws(SystemError) -> @Sendable () -> Void {
    let log = Logger(name: "exec2")
    let settings = DriverSettings()
    let table = TaskTable(reactor: reactor, log: log)
    let sweep = StateSweep(settings: settings, table: table, log: log)
    let configured: @Sendable () -> Void = {
        // What it was made by may be another now.
        table.dismissStandby()
        sweep.begin()
    }
    BasePluginService(settings: settings, configured: configured, log: log).register(on: server)
    let stats = try StatsService(settings: settings)
    DriverService(settings: settings, table: table, stats: stats, log: log).register(on: server)
    // With it goes the cgroup of the Executors, where no task needs that any more.
    return table.dismissStandby
}

/// The command line, in the form of `ByteText`.
func commandLine() -> [String] {
    (0..<Int(CommandLine.argc)).compactMap { index in CommandLine.unsafeArgv[index].map { ByteText.text(cString: $0) } }
}

/// The environment, in the form of `ByteText`; a variable given twice counts once, as for getenv(3).
func environment() -> [String: String] {
    var variables: [String: String] = [:]
    var entry = environ
    while let text = entry.pointee {
        // By bytes: to Swift, = and a combining mark behind it are one character.
        let pair = ByteText.text(cString: text).utf8.split(
            separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false
        ).map { String(Substring($0)) }
        if pair.count == 2, variables[pair[0]] == nil { variables[pair[0]] = pair[1] }
        entry += 1
    }
    return variables
}

let variables = environment()
switch PluginHandshake.decide(environment: variables, hasArguments: CommandLine.argc > 1) {
case .runByPerson:
    CommandLineTool.main(commandLine(), environment: variables)
case .refuse(let reason):
    Logger(name: "exec2").error("cannot serve this agent", ["error": reason])
    exit(1)
case .serve(let socketDirectory, let announcesMultiplexing):
    let log = Logger(name: "exec2")
    do throws(PluginError) {
        // A host whose boot is not known would take every task for one of an earlier boot.
        guard !Boot.id.isEmpty else { throw PluginError("cannot read this boot's id from \(Boot.path)") }
        try PluginProcess(
            log: log, sweptPlaces: SocketSweep.places(environment: variables),
            registerServices: registerServices(on:reactor:)
        ).serve(socketDirectory: socketDirectory, announcesMultiplexing: announcesMultiplexing)
    } catch {
        log.error("cannot serve as a plugin", ["error": error.description])
        _exit(1)
    }
    // Not exit: gRPC's threads still run and must not see the destructors of its own library.
    _exit(0)
}
