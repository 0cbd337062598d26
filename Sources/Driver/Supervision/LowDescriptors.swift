import CLinux
import EventLoop
import Glibc
import Shared

/// Low numbers for the descriptors that a child is to have, so that it copies none of the others.
///
/// A child begins with a copy of its parent's descriptors, which close_range(2) and execve(2) then close one by one: with
/// those of 5000 tasks, 2 ms for each process that is spawned. A child that shares them (CLONE_FILES) and leaves them with
/// CLOSE_RANGE_UNSHARE copies only what is below a number. Descriptors that were opened last have the highest numbers, so a
/// few low ones are taken at the start of the process, and lent for the moment of a spawn.
package final class LowDescriptors: Sendable {
    /// Those of this process; none until `reserve`.
    package static let shared = LowDescriptors()

    private let numbers: Range<Int32>
    private let isKernelSound: @Sendable (_ placeholder: Int32, _ end: Int32) -> Bool

    /// The first number behind the lent ones.
    var end: Int32 { numbers.upperBound }

    private struct State {
        /// What stands at a number that is not lent, so that nothing else takes it.
        var placeholder: Int32 = -1
        var free: [Int32] = []
    }

    private let state = Mutex(State())

    /// - Parameter numbers: Above those that a child finds open; below 64, up to which a table of descriptors takes no
    ///   memory of its own.
    ///   - isKernelSound: See `copiesRight`; another answer for tests.
    init(
        _ numbers: Range<Int32> = 16..<56,
        isKernelSound: @escaping @Sendable (_ placeholder: Int32, _ end: Int32) -> Bool = LowDescriptors.copiesRight
    ) {
        self.numbers = numbers
        self.isKernelSound = isKernelSound
    }

    deinit {
        let (placeholder, free) = state.withLock { ($0.placeholder, $0.free) }
        for number in free + [placeholder] where number >= 0 { close(number) }
    }

    /// Takes the numbers that are not in use, once. To be called while few descriptors are open.
    package func reserve() {
        state.withLock { state in
            guard state.placeholder < 0 else { return }
            state.placeholder = exec2_open("/dev/null", EXEC2_O_PATH | O_CLOEXEC, 0)
            guard state.placeholder >= 0, isKernelSound(state.placeholder, end) else { return }
            state.free = Self.duplicates(of: state.placeholder, in: numbers)
        }
    }

    /// Duplicates at all numbers of a range that are free.
    private static func duplicates(of descriptor: Int32, in numbers: Range<Int32>) -> [Int32] {
        var made: [Int32] = []
        while true {
            let number = exec2_duplicate(descriptor, numbers.lowerBound)
            guard numbers.contains(number) else {
                if number >= 0 { close(number) }
                return made
            }
            made.append(number)
        }
    }

    /// Whether this kernel gives a process that leaves its parent's descriptors from `end` on a table in which they are free.
    ///
    /// Kernels before August 2024 (6.10.7, 6.6.48, 6.1.107, 5.15.166) took some numbers for used, since their parent's are: a
    /// task's 65th file would have the number that follows the Driver's last one, or there would be none for it
    /// (CVE-2024-45025). Distributions mend such faults without a new version number, so that it is tried: with 64 descriptors
    /// open behind `end`, by a thread that leaves them.
    private static func copiesRight(_ placeholder: Int32, _ end: Int32) -> Bool {
        let first = (end + 63) / 64 * 64
        let opened = duplicates(of: placeholder, in: first..<first + 64)
        defer { for number in opened { close(number) } }
        let answer = OneShot<Bool>()
        let hasAnswer = ThreadSignal()
        do throws(SystemError) {
            try DetachedThread.start("a thread that leaves the descriptors", stackSize: 512 << 10) {
                // They are those of this thread alone from here on, and closed at its end.
                let isUnshared = exec2_unshare_descriptors(UInt32(end)) == 0
                answer.set(isUnshared && exec2_duplicate(placeholder, first) == first)
                hasAnswer.raise()
            }
        } catch {
            return false
        }
        _ = hasAnswer.wait(atMost: 1_000_000_000)
        return answer.current == true
    }

    /// How many are not lent.
    var freeCount: Int { state.withLock { $0.free.count } }

    /// Copies of descriptors at low numbers, until the loan ends; nil where too few are free.
    func lend(_ descriptors: Set<Int32>) -> Loan? {
        let numbers = state.withLock { state -> [Int32]? in
            guard !state.free.isEmpty, state.free.count >= descriptors.count else { return nil }
            defer { state.free.removeLast(descriptors.count) }
            return Array(state.free.suffix(descriptors.count))
        }
        guard let numbers else { return nil }
        let loan = Loan(Dictionary(uniqueKeysWithValues: zip(descriptors, numbers)), self)
        for (descriptor, number) in loan.numbers where exec2_replace_descriptor(descriptor, number) < 0 { return nil }
        return loan
    }

    /// Low numbers that are in use.
    struct Loan: ~Copyable {
        /// By the descriptor that each is a copy of.
        let numbers: [Int32: Int32]
        private let lender: LowDescriptors

        fileprivate init(_ numbers: [Int32: Int32], _ lender: LowDescriptors) {
            self.numbers = numbers
            self.lender = lender
        }

        deinit { lender.takeBack(numbers.values) }
    }

    /// Closes the copies, so that a pipe's other end sees it when the original is closed too.
    private func takeBack(_ numbers: Dictionary<Int32, Int32>.Values) {
        let placeholder = state.withLock { $0.placeholder }
        let free = numbers.filter { exec2_replace_descriptor(placeholder, $0) >= 0 }
        state.withLock { $0.free += free }
    }
}
