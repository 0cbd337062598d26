import CMessages

/// The client's processor cores as the host describes them with the configuration.
struct ClientTopology: Equatable, Sendable {
    /// One core; speeds in MHz, 0 where unknown.
    struct Core: Equatable, Sendable {
        var baseSpeed: UInt64 = 0
        var maxSpeed: UInt64 = 0
        var guessSpeed: UInt64 = 0

        /// The first speed that is known, in the order that the host's scheduler counts by.
        var speed: UInt64 {
            if baseSpeed != 0 { return baseSpeed }
            return maxSpeed != 0 ? maxSpeed : guessSpeed
        }
    }

    var cores: [Core] = []
    /// What the operator says that all cores have together, in MHz; 0 to count.
    var overrideTotalCompute: UInt64 = 0

    /// MHz of all cores; sums beyond UInt64 are its greatest value.
    var totalCompute: UInt64 {
        if overrideTotalCompute != 0 { return overrideTotalCompute }
        return cores.reduce(0) { total, core in
            let (sum, overflow) = total.addingReportingOverflow(core.speed)
            return overflow ? .max : sum
        }
    }

    /// What one core counts for, in MHz; nil where there are no cores or no speed is known.
    var megahertzPerCore: UInt64? {
        guard !cores.isEmpty else { return nil }
        let speed = totalCompute / UInt64(cores.count)
        return speed == 0 ? nil : speed
    }
}

extension ClientTopology {
    init(_ topology: MessageView<Wire.ClientTopology>?) {
        guard let topology else {
            self.init()
            return
        }
        self.init(
            cores: topology.messages(\.n_cores, \.cores).map {
                Core(baseSpeed: $0.base_speed, maxSpeed: $0.max_speed, guessSpeed: $0.guess_speed)
            },
            overrideTotalCompute: topology.override_total_compute)
    }
}
