import CLinux
import CMessages
import Messages
import Shared

/// What a running task was launched with, as its Executor keeps it.
package struct LaunchedTask: Sendable {
    /// `SeccompFilter.bytes`; empty: none.
    package let seccompFilter: [UInt8]
    /// The task's directory and that of its allocation, as far as its environment names them.
    package let directories: [String]

    /// - Parameter executorPidfd: Vouches for the Executor.
    package init(_ id: String, executor: Int32, executorPidfd: Int32) throws(ExecError) {
        let request = try TaskEntrance.request(id, executor: executor, executorPidfd)
        seccompFilter = request.seccomp_filter
        var directories: [String] = []
        for variable in request.byteTexts(.environment) {
            if variable.hasPrefix("NOMAD_TASK_DIR=/"), variable.hasSuffix("/local") {
                directories.append(String(variable.dropFirst(15).dropLast(6)))
            } else if variable.hasPrefix("NOMAD_ALLOC_DIR=/") {
                directories.append(String(variable.dropFirst(16)))
            }
        }
        self.directories = directories
    }
}
