/// Where the plugins of a host have their sockets, unless the environment names another directory.
///
/// Every plugin makes a directory of its own there. It is below the default of `state_dir`, so that one directory of /run
/// belongs to the driver. No task's state directory has its name, which begins with a dot.
package enum PluginSockets {
    /// No task reaches it, whatever is unveiled above it.
    package static let parent = "/run/nomad-driver-exec2"
    package static let name = ".sockets"
    package static let path = parent + "/" + name
}
