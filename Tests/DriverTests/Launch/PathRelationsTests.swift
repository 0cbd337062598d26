import Testing

@testable import Planning

@Suite struct PathRelationsTests {
    @Test func aDirectoryAndWhatIsBelowItAreWithinIt() {
        #expect("/a".isWithin("/a") && "/a/b".isWithin("/a") && "/a/b/c".isWithin("/a") && "/a".isWithin("/"))
        #expect(!"/ab".isWithin("/a") && !"/a".isWithin("/a/b") && !"/b/a".isWithin("/a"))
    }

    @Test func onlyWhatIsDirectlyInADirectoryIsItsChild() {
        #expect("/a/b".isChild(of: "/a") && "/a".isChild(of: "/"))
        for path in ["/a", "/a/", "/a/b/c", "/ab", "/ab/c", "/"] { #expect(!path.isChild(of: "/a"), "\(path)") }
        #expect(!"/".isChild(of: "/"))
    }

    /// To Swift the slash and the accent are one character.
    @Test func pathsAreComparedByBytes() {
        #expect("/a/\u{301}".isWithin("/a") && "/a/\u{301}".isChild(of: "/a"))
        #expect(!"/a/b/\u{301}".isChild(of: "/a"))
        #expect(!"/\u{E9}/b".isWithin("/e\u{301}"))
    }
}
