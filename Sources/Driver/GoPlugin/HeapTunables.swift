import Glibc
import Shared

/// Takes from malloc the small stock that it keeps for each thread.
///
/// What is in these stocks counts as used. After a busy hour they hold pieces from all over the heap, one of which is
/// enough that a page is never given back: 1000 tasks that had run at once left 1 MiB in this way. glibc reads
/// the setting from the environment alone, when a program starts (the glibc manual, "Memory Allocation Tunables"),
/// so that the program starts itself once more with it.
enum HeapTunables {
    static let variable = "GLIBC_TUNABLES"
    static let setting = "glibc.malloc.tcache_count=0"
    /// Set at the second start: whatever glibc makes of the other variable, there is no third.
    static let mark = "NOMAD_DRIVER_EXEC2_STARTED_AGAIN"

    /// What the variable is to be, or nil where it says so already. Of settings given twice the last counts.
    static func completed(_ value: String?) -> String? {
        guard let value, !value.isEmpty else { return setting }
        let last = value.split(separator: ":").last { $0.hasPrefix("glibc.malloc.tcache_count=") }
        return last.map(String.init) == setting ? nil : "\(value):\(setting)"
    }

    /// Returns where the setting is in force, or cannot be had. Before anything is opened and any thread made.
    static func apply(environment: [String: String], log: Logger) {
        guard environment[mark] == nil, let value = completed(environment[variable]) else { return }
        do throws(SystemError) {
            // By its name: started as /proc/self/exe, "exe" would be what ps shows.
            guard let program = ExecutorSearch.driverPath() else { throw SystemError("read", "/proc/self/exe") }
            guard setenv(variable, value, 1) == 0, setenv(mark, "1", 1) == 0 else { throw SystemError("set", variable) }
            execv(program, CommandLine.unsafeArgv)
            throw SystemError("execute", program)
        } catch {
            log.warn(
                "cannot start again without malloc's stock for each thread: some memory that many tasks need is not "
                    + "given back when they are gone", ["error": error.text])
        }
    }
}
