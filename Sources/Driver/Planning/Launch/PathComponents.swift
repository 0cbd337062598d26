extension StringProtocol {
    /// The parts of a path between its slashes; none is empty.
    ///
    /// By bytes, as the kernel parts a path: to Swift a slash and a combining mark behind it are one character, which
    /// is no slash, and a rule about the parts of a path would not see these.
    package var pathComponents: [Substring] {
        Substring(self).utf8.split(separator: UInt8(ascii: "/")).map { Substring($0) }
    }
}

/// The path of `inside`, which is below the directory `root`.
func joinedPath(_ root: String, _ inside: String) -> String { (root == "/" ? "" : root) + "/" + inside }
