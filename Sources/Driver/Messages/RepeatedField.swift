import CMessages

/// A repeated field of a message: protobuf-c's two fields of it, the count and the list, as a pair.
///
/// A pair is declared once, as a static property, and named at each use: `task.messages(.mounts)`. A list with another
/// list's count would be read beyond its end.
package struct RepeatedField<Message: WireMessage, Element> {
    /// A list of text.
    package typealias Text = RepeatedField<Message, UnsafeMutablePointer<CChar>?>
    /// A list of messages, or a map with its entries as messages.
    package typealias Messages<Submessage: WireMessage> = RepeatedField<Message, UnsafeMutablePointer<Submessage>?>
    /// A list of numbers or enums.
    package typealias Values<Value> = RepeatedField<Message, Value>

    @usableFromInline
    let count: WritableKeyPath<Message, Int>
    @usableFromInline
    let list: WritableKeyPath<Message, UnsafeMutablePointer<Element>?>

    /// For declarations alone, of the pair that `RepeatedFieldTests` compares with the message's descriptor.
    @inlinable
    package init(
        _ count: WritableKeyPath<Message, Int>, _ list: WritableKeyPath<Message, UnsafeMutablePointer<Element>?>
    ) {
        self.count = count
        self.list = list
    }
}

extension WireMessage {
    /// The elements of a repeated field, in memory that `MessageArena` or protobuf-c holds.
    @inlinable
    package subscript<Element>(_ field: RepeatedField<Self, Element>) -> UnsafeMutableBufferPointer<Element> {
        get {
            let start = self[keyPath: field.list]
            return UnsafeMutableBufferPointer(start: start, count: start == nil ? 0 : self[keyPath: field.count])
        }
        set {
            self[keyPath: field.count] = newValue.count
            self[keyPath: field.list] = newValue.baseAddress
        }
    }
}
