import CMessages
import Messages

// The launch request's repeated fields, each declared once.

extension RepeatedField where Message == Exec2__Executor__LaunchRequest {
    package static var programs: Text { Text(\.n_programs, \.programs) }
    package static var arguments: Text { Text(\.n_arguments, \.arguments) }
    package static var environment: Text { Text(\.n_environment, \.environment) }
    package static var groups: Values<UInt32> { Values(\.n_groups, \.groups) }
    package static var unveil: Messages<Exec2__Executor__UnveilPath> { Messages(\.n_unveil, \.unveil) }
    package static var cgroupWrites: Messages<Exec2__Executor__CgroupWrite> {
        Messages(\.n_cgroup_writes, \.cgroup_writes)
    }
    package static var generatedFiles: Messages<Exec2__Executor__GeneratedFile> {
        Messages(\.n_generated_files, \.generated_files)
    }
    package static var mounts: Messages<Exec2__Executor__Mount> { Messages(\.n_mounts, \.mounts) }
    package static var resourceLimits: Messages<Exec2__Executor__ResourceLimit> {
        Messages(\.n_resource_limits, \.resource_limits)
    }
    package static var tcpBind: Values<UInt32> { Values(\.n_tcp_bind, \.tcp_bind) }
    package static var tcpConnect: Values<UInt32> { Values(\.n_tcp_connect, \.tcp_connect) }
    package static var udpBind: Values<UInt32> { Values(\.n_udp_bind, \.udp_bind) }
    package static var udpConnect: Values<UInt32> { Values(\.n_udp_connect, \.udp_connect) }
    package static var quietPaths: Text { Text(\.n_quiet_paths, \.quiet_paths) }
}

extension RepeatedField where Message == Exec2__Executor__RootTemplate {
    package static var paths: Messages<Exec2__Executor__TemplatePath> { .init(\.n_paths, \.paths) }
    package static var directories: Text { .init(\.n_directories, \.directories) }
    package static var placeholders: Text { .init(\.n_placeholders, \.placeholders) }
    package static var symlinks: Text { .init(\.n_symlinks, \.symlinks) }
    package static var hidden: Text { .init(\.n_hidden, \.hidden) }
}

extension RepeatedField where Message == Exec2__Executor__TaskRoot {
    package static var paths: Messages<Exec2__Executor__TemplatePath> { .init(\.n_paths, \.paths) }
    package static var directories: Messages<Exec2__Executor__RootDirectory> { .init(\.n_directories, \.directories) }
    package static var replacements: Messages<Exec2__Executor__RootDirectory> {
        .init(\.n_replacements, \.replacements)
    }
    package static var masked: Text { .init(\.n_masked, \.masked) }
}
