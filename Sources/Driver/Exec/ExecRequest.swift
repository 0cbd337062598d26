import CMessages
import Glibc
import Messages
import Planning
import Shared

/// A command that is to run in a task.
package struct ExecRequest: Equatable, Sendable {
    /// In the form of `ByteText`.
    package let command: [String]
    package let hasTerminal: Bool

    package init(command: [String], hasTerminal: Bool) {
        self.command = command
        self.hasTerminal = hasTerminal
    }

    /// What its attendant gets: the task's launch request with the command in it, packed.
    ///
    /// The state directory is left out: an Executor that knows no commands finds nothing to start then, and
    /// ends without a word to the task's own pipes.
    func encoded(_ launch: MessageView<Exec2__Executor__LaunchRequest>) -> [UInt8] {
        let environment = launch.byteTexts(.environment)
        let (owner, pointer) = launch.parts
        return withExtendedLifetime(owner) {
            Exec2__Executor__LaunchRequest.encoded(byteText: true) { message, arena in
                // With what only other releases know of, which protobuf-c keeps.
                message = pointer.pointee
                message.task_state_dir = arena.string("")
                // The attendant of a command in a run's task has no such descriptors.
                message.attachment = nil
                message[.programs] = arena.strings(programs(environment))
                message[.arguments] = arena.strings(command)
                if hasTerminal, let more = TerminalAccess.variable(environment) {
                    message[.environment] = arena.strings(environment + [more])
                }
                if hasTerminal {
                    let added = TerminalAccess.paths.map { path in
                        arena.message(Exec2__Executor__UnveilPath.self) {
                            $0.path = arena.string(path)
                            $0.modes = UInt32(AccessModes([.read, .write]).rawValue)
                            $0.optional = true.wire
                            // In the task's view: before, 0 is a descriptor that another /proc shows.
                            $0.after_mounts = true.wire
                        }
                    }
                    message[.unveil] = arena.values(Array(message[.unveil]) + added)
                }
                message.exec = arena.message(Exec2__Executor__ExecSession.self) { $0.terminal = hasTerminal.wire }
            }
        }
    }

    /// A bare name is looked for in the task's PATH, anything else is a path, seen from the task's working
    /// directory.
    private func programs(_ environment: [String]) -> [String] {
        let name = command.first ?? ""
        if name.utf8.contains(UInt8(ascii: "/")) { return [name] }
        let path = environment.last { $0.hasPrefix("PATH=") }.map { String($0.dropFirst("PATH=".count)) }
        return LaunchPlanning.programs(.name(name), path: path)
    }
}

/// What a command needs for its own terminal.
package enum TerminalAccess {
    /// The names that programs open it by. To be opened in the task's view: before, 0 is a descriptor that another
    /// /proc shows.
    package static let paths = ["/dev/tty", "/proc/self/fd/0"]

    /// What TERM is where nothing is known of the terminal: without one no program can draw.
    package static let defaultKind = "xterm"

    /// The variable to add to an environment; nil where it is there.
    static func variable(_ environment: [String]) -> String? {
        environment.contains { $0.hasPrefix("TERM=") } ? nil : "TERM=" + defaultKind
    }
}

extension Exec2__Executor__ExecSession: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        exec2__executor__exec_session__init(message)
    }
}
