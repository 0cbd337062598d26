import Shared
import Testing

@testable import EventLoop

/// The layers of the Driver: what Package.swift declares, what docs/design.md shows, and what the sources import.
@Suite struct TargetGraphTests {
    /// A target and the targets that it names, in their order.
    private struct Layer: Equatable {
        let name: String
        let dependencies: [String]
    }

    private static let root = String(#filePath.dropLast("/Tests/DriverTests/TargetGraphTests.swift".count))
    /// Modules of the toolchain's, which need no declaration.
    private static let system: Set = ["Glibc", "Synchronization"]

    static func text(of name: String) throws -> String {
        String(decoding: try HostFile.read(root + "/" + name), as: UTF8.self)
    }

    private static func quotedNames(_ text: some StringProtocol) -> [String] {
        text.split(separator: "\"", omittingEmptySubsequences: false).enumerated().filter { $0.offset % 2 == 1 }.map {
            String($0.element)
        }
    }

    /// The targets below Sources/Driver as Package.swift has them, the lowest first. The last is the executable.
    private static func declared() throws -> [Layer] {
        let text = try text(of: "Package.swift")
        var layers: [Layer] = []
        for part in text.split(separator: "    layer(").dropFirst() {
            let end = try #require(part.firstIndex(of: "]"))
            let names = quotedNames(part[..<end])
            layers.append(Layer(name: try #require(names.first), dependencies: Array(names.dropFirst())))
        }
        let executable = try #require(text.firstRange(of: "name: \"Driver\","))
        let rest = text[executable.upperBound...]
        let end = try #require(rest.firstIndex(of: "]"))
        layers.append(Layer(name: "Driver", dependencies: quotedNames(rest[..<end])))
        return layers
    }

    /// The picture, the lowest first.
    private static func pictured() throws -> [Layer] {
        let text = try text(of: "docs/design.md")
        let heading = try #require(text.firstRange(of: "## Layers\n"))
        let parts = text[heading.upperBound...].split(separator: "```\n", maxSplits: 2)
        try #require(parts.count == 3)
        return parts[1].split(separator: "\n").reversed().map { line in
            let words = line.split(separator: " ").map(String.init)
            return Layer(name: words[0], dependencies: Array(words.dropFirst(2)))
        }
    }

    static func sources(below directory: String) throws -> [String] {
        try DirectoryListing.read(root + "/" + directory).flatMap { name -> [String] in
            let path = directory + "/" + name
            return name.hasSuffix(".swift") ? [path] : try sources(below: path)
        }
    }

    private static func imports(of source: String) throws -> Set<String> {
        Set(
            try text(of: source).split(separator: "\n").compactMap { line in
                let words = line.split(separator: " ").filter { !$0.hasPrefix("@") && !accessLevels.contains($0) }
                return words.first == "import" ? words.last.map { String($0.prefix { $0 != "." }) } : nil
            })
    }

    private static let accessLevels: Set<Substring> = ["public", "package", "internal", "private", "fileprivate"]

    @Test func thePictureIsThePackages() throws {
        let declared = try Self.declared()
        let layers = Set(declared.map(\.name))
        let pictured = try Self.pictured()
        #expect(declared.count == 13)
        #expect(Set(pictured.map(\.name)) == layers)
        for layer in declared {
            let drawn = pictured.first { $0.name == layer.name }?.dependencies ?? []
            #expect(Set(drawn) == layers.intersection(layer.dependencies), "the arrow of \(layer.name)")
        }
    }

    @Test func noArrowLeadsUp() throws {
        for layers in [try Self.declared(), try Self.pictured()] {
            let all = Set(layers.map(\.name))
            var below: Set<String> = []
            for layer in layers {
                #expect(
                    all.intersection(layer.dependencies).isSubset(of: below), "\(layer.name) imports what is above it")
                below.insert(layer.name)
            }
        }
    }

    /// SwiftPM would let a file import whatever happens to be built already.
    @Test func everyImportIsDeclared() throws {
        for layer in try Self.declared() {
            let isExecutable = layer.name == "Driver"
            let sources =
                isExecutable ? ["Sources/Driver/main.swift"] : try Self.sources(below: "Sources/Driver/" + layer.name)
            var used: Set<String> = []
            for source in sources {
                let imports = try Self.imports(of: source).subtracting(Self.system)
                #expect(imports.isSubset(of: layer.dependencies), "\(source)")
                used.formUnion(imports)
            }
            #expect(!sources.isEmpty)
            // CStartup has nothing to import: it runs before main.
            #expect(
                used.union(["CStartup"]).isSuperset(of: layer.dependencies), "declared by \(layer.name) for nothing")
        }
    }

    @Test func everySourceIsInALayer() throws {
        let names = Set(try Self.declared().map(\.name)).subtracting(["Driver"])
        #expect(Set(try DirectoryListing.read(Self.root + "/Sources/Driver")) == names.union(["main.swift"]))
    }

    /// Nor does the command line by any way: it starts no server.
    @Test func gRPCIsTheServersAndThePlugins() throws {
        let layers = try Self.declared()
        let users = layers.filter { $0.dependencies.contains("GRPCServer") }.map(\.name)
        #expect(users == ["NomadPlugin"])
        #expect(layers.filter { $0.dependencies.contains("CGRPC") }.map(\.name) == ["GRPCServer"])
        #expect(layers.filter { $0.dependencies.contains("NomadPlugin") }.map(\.name) == ["Driver"])
    }
}
