import CMessages
import Messages

/// The client's processor cores as the host describes them with the configuration.
package struct ClientTopology: Equatable, Sendable {
    /// One core; speeds in MHz, 0 where unknown.
    package struct Core: Equatable, Sendable {
        package var baseSpeed: UInt64 = 0
        package var maxSpeed: UInt64 = 0
        package var guessSpeed: UInt64 = 0

        package init(baseSpeed: UInt64 = 0, maxSpeed: UInt64 = 0, guessSpeed: UInt64 = 0) {
            self.baseSpeed = baseSpeed
            self.maxSpeed = maxSpeed
            self.guessSpeed = guessSpeed
        }

        /// The first speed that is known, in the order that the host's scheduler counts by.
        var speed: UInt64 {
            if baseSpeed != 0 { return baseSpeed }
            return maxSpeed != 0 ? maxSpeed : guessSpeed
        }
    }

    package var cores: [Core] = []
    /// What the operator says that all cores have together, in MHz; 0 to count.
    var overrideTotalCompute: UInt64 = 0

    package init(cores: [Core] = [], overrideTotalCompute: UInt64 = 0) {
        self.cores = cores
        self.overrideTotalCompute = overrideTotalCompute
    }

    /// MHz of all cores; sums beyond UInt64 are its largest value.
    var totalCompute: UInt64 {
        if overrideTotalCompute != 0 { return overrideTotalCompute }
        return cores.reduce(0) { total, core in
            let (sum, overflow) = total.addingReportingOverflow(core.speed)
            return overflow ? .max : sum
        }
    }

    /// What one core counts for, in MHz; nil where there are no cores or no speed is known.
    package var megahertzPerCore: UInt64? {
        guard !cores.isEmpty else { return nil }
        let speed = totalCompute / UInt64(cores.count)
        return speed == 0 ? nil : speed
    }
}

extension ClientTopology {
    package init(_ topology: MessageView<Wire.ClientTopology>?) {
        guard let topology else {
            self.init()
            return
        }
        self.init(
            cores: topology.messages(.cores).map {
                Core(baseSpeed: $0.base_speed, maxSpeed: $0.max_speed, guessSpeed: $0.guess_speed)
            },
            overrideTotalCompute: topology.override_total_compute)
    }
}
