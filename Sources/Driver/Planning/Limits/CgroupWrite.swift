/// A value for one file of the task's cgroup.
package struct CgroupWrite: Equatable, Sendable {
    /// The file's name in the cgroup's directory, such as `memory.max`.
    package let file: String
    package let value: String
    /// Whether the file may be missing, and the write is then left out. An error of any other kind counts.
    var mayBeMissing = false
    /// What was asked for, in the form of `value`, where the kernel takes no limit that low.
    package var raisedFrom: String?
}
