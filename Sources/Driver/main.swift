import CStartup
import Commands
import EventLoop
import Glibc
import HCLog
import NomadPlugin
import Shared

/// The command line, in the form of `ByteText`. Not Swift's own, which is read from /proc and empty without it.
func commandLine() -> [String] {
    (0..<Int(exec2_argument_count())).compactMap { index in
        exec2_argument(Int32(index)).map { ByteText.text(cString: $0) }
    }
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
switch PluginHandshake.decide(environment: variables, hasArguments: exec2_argument_count() > 1) {
case .runByPerson:
    CommandLineTool.main(commandLine(), environment: variables)
case .refuse(let reason):
    Logger(name: "exec2").error("cannot serve this agent", ["error": reason])
    exit(1)
case .serve(let socketPlace, let announcesMultiplexing):
    let log = Logger(name: "exec2")
    do throws(PluginError) {
        // A host whose boot is not known would take every task for one of an earlier boot.
        guard !Boot.id.isEmpty else { throw PluginError("cannot read this boot's id from \(Boot.path)") }
        try PluginProcess(
            log: log, sweptPlaces: SocketSweep.places(environment: variables),
            registerServices: NomadServices.register(on:reactor:)
        ).serve(socketPlace: socketPlace, announcesMultiplexing: announcesMultiplexing)
    } catch {
        log.error("cannot serve as a plugin", ["error": error.description])
        _exit(1)
    }
    // Not exit: gRPC's threads still run and must not see the destructors of its own library.
    _exit(0)
}
