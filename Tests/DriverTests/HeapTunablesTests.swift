import Testing

@testable import Driver

@Suite struct HeapTunablesTests {
    @Test func theSettingIsAddedToWhatThereIs() {
        #expect(HeapTunables.completed(nil) == "glibc.malloc.tcache_count=0")
        #expect(HeapTunables.completed("") == "glibc.malloc.tcache_count=0")
        #expect(
            HeapTunables.completed("glibc.malloc.arena_max=2")
                == "glibc.malloc.arena_max=2:glibc.malloc.tcache_count=0")
        #expect(
            HeapTunables.completed("glibc.malloc.tcache_count=0:glibc.malloc.tcache_count=3")
                == "glibc.malloc.tcache_count=0:glibc.malloc.tcache_count=3:glibc.malloc.tcache_count=0")
    }

    @Test func whatIsSetIsLeftAlone() {
        #expect(HeapTunables.completed("glibc.malloc.tcache_count=0") == nil)
        #expect(HeapTunables.completed("glibc.malloc.arena_max=2:glibc.malloc.tcache_count=0") == nil)
        for value in [nil, "", "a", ":", "glibc.malloc.tcache_count=00"] {
            let completed = HeapTunables.completed(value)
            #expect(completed != nil && HeapTunables.completed(completed) == nil)
        }
    }
}
