import CStartup
import Glibc
import Testing

/// The Driver's own definition of hypotf, against the C library's for doubles.
@Suite struct HypotenuseTests {
    @Test func isTheRoundedResultOfDoubles() {
        let values: [Float] = [
            0, -0.0, 1, 3, 4, -5, 0.1, 1e-20, 1e20, .leastNonzeroMagnitude, .leastNormalMagnitude,
            .greatestFiniteMagnitude, .pi,
        ]
        for x in values {
            for y in values {
                #expect(exec2_hypotf(x, y) == Float(hypot(Double(x), Double(y))), "of \(x) and \(y)")
            }
        }
    }

    @Test func isInfiniteWhereEitherIs() {
        for other: Float in [0, -1, .infinity, .nan] {
            #expect(exec2_hypotf(-.infinity, other) == .infinity)
            #expect(exec2_hypotf(other, .infinity) == .infinity)
        }
        #expect(exec2_hypotf(.nan, 1).isNaN)
        #expect(exec2_hypotf(.greatestFiniteMagnitude, .greatestFiniteMagnitude) == .infinity)
    }
}
