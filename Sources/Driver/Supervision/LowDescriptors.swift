import CLinux
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
    init(_ numbers: Range<Int32> = 16..<56) { self.numbers = numbers }

    deinit {
        let (placeholder, free) = state.withLock { ($0.placeholder, $0.free) }
        for number in free + [placeholder] where number >= 0 { close(number) }
    }

    /// Takes the numbers that are not in use, once. To be called while few descriptors are open.
    package func reserve() {
        state.withLock { state in
            guard state.placeholder < 0 else { return }
            state.placeholder = exec2_open("/", EXEC2_O_PATH | O_CLOEXEC, 0)
            guard state.placeholder >= 0 else { return }
            while true {
                let number = exec2_duplicate(state.placeholder, numbers.lowerBound)
                guard number >= 0 else { return }
                guard numbers.contains(number) else {
                    close(number)
                    return
                }
                state.free.append(number)
            }
        }
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
