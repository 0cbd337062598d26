/// A step of a launch that can fail. The numbers travel over the pipe protocol and are never reused;
/// those below 100 are the child's, `exec2_step_kind` of CLinux.
public enum LaunchStage: UInt32, Sendable, CaseIterable {
    // The child, between clone and execve.
    case session = 1
    case enterNetwork = 2
    case privateMounts = 3
    case mountProc = 4
    case readOnlyDirectory = 5
    case oomScoreAdj = 6
    case groups = 7
    case groupID = 8
    case boundingSet = 9
    case userID = 10
    case capabilities = 11
    case noNewPrivs = 12
    case workDir = 13
    case descriptors = 14
    case unveil = 15
    case restrict = 16
    case signals = 17
    case closeDescriptors = 18
    case umask = 19
    case resourceLimit = 20
    case generatedFile = 30
    case mount = 31
    case keepCapabilities = 40
    case ambientCapabilities = 41
    case seccomp = 42
    case joinNamespaces = 60
    case controllingTerminal = 61
    case parentDeath = 62

    // The Executor, before the clone.
    case request = 100
    case stateDirectory = 101
    case controlPipe = 102
    case eventsPipe = 103
    case exitRecord = 104
    case stdoutLog = 105
    case stderrLog = 106
    case stdoutIsNoPipe = 107
    case stderrIsNoPipe = 108
    case openNetwork = 109
    case openCgroup = 110
    case notACgroup = 111
    case limit = 112
    case ruleset = 113
    case clone = 114
    case supervision = 115
    case identity = 116
    case fileContent = 130
    case mountSource = 131
    case deviceSource = 132
    case notADevice = 133
    case volumeIsDevice = 134
    case mountAttributes = 135
    case mountRule = 136
    case taskDirectory = 137
    case ownDirectory = 138
    case networkRule = 150

    case rootMount = 170
    case rootEntry = 171
    case enterTemplate = 172
    case hiddenDirectory = 173

    // An attendant, before the clone.
    case enterProcesses = 160

    /// What was attempted, to stand between "cannot " and the subject.
    public var attempt: String {
        switch self {
        case .session: "make a session for the task"
        case .enterNetwork: "enter the network namespace"
        case .privateMounts: "make the task's mounts its own"
        case .mountProc: "mount /proc in the task's namespace"
        case .readOnlyDirectory: "make a directory read-only for the task:"
        case .oomScoreAdj: "set oom_score_adj to"
        case .groups: "set the supplementary groups of user"
        case .groupID: "change to group"
        case .boundingSet: "cut the capability bounding set"
        case .userID: "change to user"
        case .capabilities: "set the capabilities"
        case .noNewPrivs: "set no_new_privs"
        case .workDir: "change to the working directory"
        case .descriptors: "hand over the log streams"
        case .unveil: "unveil"
        case .restrict: "enter the Landlock ruleset"
        case .signals: "reset the signals"
        case .closeDescriptors: "close inherited descriptors"
        case .umask: "set the umask"
        case .resourceLimit: "set the resource limit"
        case .keepCapabilities: "keep capabilities over the change of user"
        case .ambientCapabilities: "hand on the added capabilities"
        case .seccomp: "install the seccomp filter"
        case .generatedFile: "give the task its own"
        case .mount: "mount at"
        case .joinNamespaces: "enter the task's namespaces"
        case .controllingTerminal: "make the terminal the session's own"
        case .parentDeath: "tie the command to its attendant"
        case .enterProcesses: "enter the task's PID namespace"
        case .request: "decode the launch request"
        case .stateDirectory: "open the task's state directory"
        case .controlPipe: "open the control pipe"
        case .eventsPipe: "open the events pipe"
        case .exitRecord: "reserve space for the exit record in"
        case .stdoutLog: "open the task's stdout"
        case .stderrLog: "open the task's stderr"
        case .stdoutIsNoPipe: "use as the task's stdout"
        case .stderrIsNoPipe: "use as the task's stderr"
        case .openNetwork: "open the network namespace"
        case .openCgroup: "open the task's cgroup"
        case .notACgroup: "use as the task's cgroup"
        case .limit: "write the limit"
        case .ruleset: "create a Landlock ruleset"
        case .clone: "clone the task's process"
        case .identity: "write the Executor's identity to"
        case .networkRule: "allow the port"
        case .rootMount: "mount in the task's root"
        case .rootEntry: "create in the task's root"
        case .hiddenDirectory: "show the task"
        case .enterTemplate: "enter the template of the task's root"
        case .supervision: "prepare the supervision of"
        case .fileContent: "write to memory what is to be the task's own"
        case .mountSource: "open the volume's source"
        case .deviceSource: "open the device"
        case .notADevice: "use as a device"
        case .volumeIsDevice: "use as a volume's source"
        case .mountAttributes: "set the mount options for the task of"
        case .mountRule: "unveil the mount of"
        case .ownDirectory: "show the task its directory"
        case .taskDirectory: "mount the task's directory"
        }
    }
}
