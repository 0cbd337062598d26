/// The version of Driver and Executor, as SemVer: answered by PluginInfo, the node attribute and `--version`.
public let driverVersion = "0.1.0"
