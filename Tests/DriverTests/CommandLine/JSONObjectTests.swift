import Testing

@testable import Commands
@testable import Planning

@Suite struct JSONObjectTests {
    @Test func jsonIsEscaped() {
        var object = JSONObject()
        object.add("text", "a\"\\\n\u{1}ü")
        object.add("none", nil as String?)
        object.add("number", 7)
        object.add("yes", true)
        #expect(object.text == #"{"text": "a\"\\\u000a\u0001ü", "none": null, "number": 7, "yes": true}"#)
    }
}
