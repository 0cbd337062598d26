import CLinux
import SharedEmbedded

/// Tells the task's own stderr why its program did not run: that is where the job's author looks.
func explain(_ error: Errno, _ program: String, command: UnsafeMutablePointer<CChar>?, to log: Int32) {
    let name = command.map { String(cString: $0) } ?? ""
    let isPath = name.utf8.contains(UInt8(ascii: "/"))
    var line = "nomad-driver-exec2: cannot run " + name + ": "
    if error == .noSuchFile {
        line += "command not found (" + (isPath ? "the file or its interpreter is missing" : "not in PATH")
        line += ", or not unveiled with r and x)"
    } else {
        line += error.text
        if !isPath { line += " (" + program + ")" }
        if error == .permissionDenied {
            line += ": it must be executable for the task's user and unveiled with r and x"
        } else if error == .notExecutableFormat {
            line += ": neither a program nor a script that begins with #!"
        }
    }
    line += "\n"
    line.withUTF8 { bytes in _ = write(log, bytes.baseAddress, bytes.count) }
}
