import EventLoop
import Glibc
import Planning
import Shared

/// The user of a run that names none: a uid without an account, above those that a client hands out (80000 to 89999),
/// that no other run has.
///
/// A run claims its uid by making it the owner of its task's directory, and then looks at those of the others. Where
/// two claim the same one at the same time, at least one of the two sees the other and claims another. The directory is
/// there as long as anything of the run is, files of that user among it, also of a run that was killed.
enum RunUser {
    /// The uids.
    static let uids: ClosedRange<uid_t> = 90_000...99_999

    /// Makes a user the owner of a task's directory.
    /// - Parameters:
    ///   - user: Nil: one that no other run has.
    ///   - uid: The one to take then, if no other run has it.
    ///   - directory: The task's, in the directory of its run.
    ///   - parent: Where the directories of all runs are.
    static func claim(
        _ user: TaskUser?, preferring uid: uid_t?, of directory: String, among parent: String
    ) throws(SystemError) -> TaskUser {
        if let user {
            try give(directory, to: user)
            return user
        }
        var preferred = uid
        while let uid = free(owners(in: parent, except: directory), preferred),
            let user = (try? TaskUser.withoutLookUp("nomad-\(uid)")) ?? nil
        {
            try give(directory, to: user)
            if !owners(in: parent, except: directory).contains(uid) { return user }
            preferred = nil
        }
        throw SystemError(
            "find a free user for the command: other runs have every one from",
            "nomad-\(uids.lowerBound) to "
                + "nomad-\(uids.upperBound) (what killed runs have left in \(parent) counts; remove it, or use --user)",
            .fileExists)
    }

    /// One of the uids that is not among those that are taken; nil where all are.
    static func free(_ taken: Set<uid_t>, _ preferred: uid_t? = nil) -> uid_t? {
        if let preferred, !taken.contains(preferred) { return preferred }
        return uids.filter { !taken.contains($0) }.randomElement()
    }

    private static func give(_ directory: String, to user: TaskUser) throws(SystemError) {
        guard chown(directory, user.uid, user.gid) == 0 else { throw SystemError("change the owner of", directory) }
    }

    /// Who has the directories of the other runs' tasks.
    private static func owners(in parent: String, except own: String) -> Set<uid_t> {
        var owners: Set<uid_t> = []
        for name in DirectoryListing.names(in: parent) ?? [] where name.hasPrefix(RunDirectories.namePrefix) {
            let run = parent + "/" + name
            let directory = run + "/" + RunDirectories.taskDirectoryName
            var facts = stat()
            // What others than root have made in /var/tmp is no run's.
            guard directory != own, lstat(run, &facts) == 0, facts.st_uid == 0, lstat(directory, &facts) == 0 else {
                continue
            }
            owners.insert(facts.st_uid)
        }
        return owners
    }
}
