import Shared

/// Which processes of a task get the signals of SignalTask and the stop signal. The last SIGKILL is for all of them in
/// any case.
package enum SignalTarget: String, CaseIterable, Sendable {
    /// The main process and every other process in its process group.
    case group
    /// The main process alone.
    case process

    /// What an unknown value must be.
    package static let requirement =
        "must be group (the main process and its process group) or process (the main process alone)"
}

extension OptionReader {
    func signalTarget(_ option: String) throws(ConfigurationError) -> SignalTarget? {
        guard let text = try text(option, requirement: SignalTarget.requirement) else { return nil }
        guard let target = SignalTarget(rawValue: text) else {
            throw invalid(option, quoted(text), SignalTarget.requirement)
        }
        return target
    }
}
