import CLinux

/// Exit statuses of an Executor, by which the Driver that spawned it knows why it left without a word.
public enum ExecutorExit {
    /// The task has ended, and its end is recorded.
    public static let finished: Int32 = 0
    /// The task was not started. Where no event says why, the pipes could not be opened.
    public static let launchFailed: Int32 = 1
    /// No launch request arrived: run by hand, or the Driver left before it had one.
    public static let noRequest: Int32 = 2
    /// The task has ended, and the exit record could not be written.
    public static let notRecorded: Int32 = 3
    /// An allocation failed: before the task was started, or the kernel has ended the task with its Executor.
    public static let outOfMemory = Int32(EXEC2_OUT_OF_MEMORY_STATUS)
}
