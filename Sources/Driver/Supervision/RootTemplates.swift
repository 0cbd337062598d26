import EventLoop
import HCLog
import Planning
import Shared

/// The templates of tasks' roots: each a mount namespace, made with the first task that needs it, and made anew when what
/// it shows of the host has changed. Tasks that run keep theirs.
///
/// A few are kept, since tasks of one configuration may need several: their directories may stand in different places.
/// Starts that need the same template at the same time have it made once.
final class RootTemplates: Sendable {
    /// A template, held by its namespace.
    final class Template: Sendable {
        private let held: TemplateNamespace
        let specification: TemplateSpecification
        let contents: TemplateContents

        /// A descriptor of the mount namespace.
        var namespaceNumber: Int32 { held.namespace.number }
        /// See `TemplateNamespace`.
        var hasOtherMounts: Bool { held.hasOtherMounts }

        init(
            namespace: consuming TemplateNamespace, _ specification: TemplateSpecification, _ contents: TemplateContents
        ) {
            held = namespace
            self.specification = specification
            self.contents = contents
        }
    }

    /// What a start has asked for.
    struct Request: Sendable {
        fileprivate let specification: TemplateSpecification
        fileprivate let reading: TemplateFacts.Reading
    }

    private final class Making: Sendable {
        let specification: TemplateSpecification
        let contents: TemplateContents
        let result = OneShot<Result<Template, TemplateError>>()

        init(_ specification: TemplateSpecification, _ contents: TemplateContents) {
            self.specification = specification
            self.contents = contents
        }
    }

    private struct State {
        var kept = KeptTemplates()
        var underWay: [Making] = []
    }

    private enum Source {
        case kept(Template)
        case underWay(Making)
        case new(Making, reason: String)
    }

    typealias Make =
        @Sendable (_ specification: TemplateSpecification, _ program: String) async -> Result<
            TemplateNamespace, TemplateError
        >

    /// How often a template or a task's root is made where a file of the host is replaced meanwhile.
    static let attempts = 20

    private let state = Mutex(State())
    private let facts: TemplateFacts
    private let make: Make
    private let log: Logger

    convenience init(reactor: Reactor, log: Logger) {
        self.init(TemplateFacts(reactor: reactor), log: log) { specification, program in
            await TemplateProcess.make(specification, program: program, reactor)
        }
    }

    /// - Parameter make: Another way to make a template's namespace, for tests.
    init(_ facts: TemplateFacts, log: Logger, make: @escaping Make) {
        self.facts = facts
        self.log = log
        self.make = make
    }

    /// Has it read what a template would show of the host from now on, and does not wait for that.
    func request(_ specification: TemplateSpecification) -> Request {
        Request(specification: specification, reading: facts.begin(specification.paths))
    }

    /// The template that was asked for, as the host is now.
    ///
    /// - Parameter program: The Executor's file, which makes it.
    func template(_ request: Request, program: String) async throws(TemplateError) -> Template {
        var request = request
        for _ in 1..<Self.attempts {
            do throws(TemplateError) {
                return try await attempt(request, program: program)
            } catch {
                guard error.isReplacement else { throw error }
                request = self.request(request.specification)
            }
        }
        return try await attempt(request, program: program)
    }

    private func attempt(_ request: Request, program: String) async throws(TemplateError) -> Template {
        // Read before it is made: what changes meanwhile makes the next start renew it.
        let contents = try await facts.contents(of: request.reading)
        let making: Making
        switch source(request.specification, contents) {
        case .kept(let template): return template
        case .underWay(let other): making = other
        case .new(let new, let reason):
            making = new
            log.debug("a template of tasks' roots is made", ["reason": reason])
            // It goes on for other starts where this one is cancelled.
            Task(executorPreference: BlockingPool.starts) { [self] in await make(new, program: program) }
        }
        guard let result = await making.result.wait() else { throw .givenUp }
        return try result.get()
    }

    private func source(_ specification: TemplateSpecification, _ contents: TemplateContents) -> Source {
        state.withLock { state in
            let before = state.kept.use(specification)
            let hasOtherMounts = before?.hasOtherMounts ?? false
            if let before, before.contents == contents, !hasOtherMounts { return .kept(before) }
            if let making = state.underWay.first(where: {
                $0.specification == specification && $0.contents == contents
            }) {
                return .underWay(making)
            }
            let making = Making(specification, contents)
            state.underWay.append(making)
            let changes = before.map { contents.changes(since: $0.contents, specification.paths) }
            let reasons = (changes ?? []) + (hasOtherMounts ? ["the host's mounts have changed there"] : [])
            return .new(
                making, reason: before == nil ? "none is kept for these paths" : reasons.joined(separator: ", "))
        }
    }

    private func make(_ making: Making, program: String) async {
        let result: Result<Template, TemplateError>
        switch await make(making.specification, program) {
        case .success(let namespace):
            result = .success(Template(namespace: namespace, making.specification, making.contents))
        case .failure(let error): result = .failure(error)
        }
        let unused = state.withLock { state -> [Template] in
            state.underWay.removeAll { $0 === making }
            guard case .success(let template) = result else { return [] }
            return state.kept.keep(template)
        }
        making.result.set(result)
        // Taking a namespace apart takes a while: not under the lock.
        _ = consume unused
    }
}

/// The templates that were used last. A template that nobody uses any more is closed, and with it goes its namespace,
/// unless a task has a copy of it.
struct KeptTemplates {
    static let maximum = 4

    /// The last used first.
    private(set) var templates: [RootTemplates.Template] = []

    /// The template of a specification, which is now the last used.
    mutating func use(_ specification: TemplateSpecification) -> RootTemplates.Template? {
        guard let index = templates.firstIndex(where: { $0.specification == specification }) else { return nil }
        let template = templates.remove(at: index)
        templates.insert(template, at: 0)
        return template
    }

    /// Keeps a new one, in place of the one of the same specification.
    ///
    /// - Returns: Those that are not kept any more.
    mutating func keep(_ template: RootTemplates.Template) -> [RootTemplates.Template] {
        var unused = templates.filter { $0.specification == template.specification }
        templates.removeAll { $0.specification == template.specification }
        templates.insert(template, at: 0)
        while templates.count > Self.maximum { unused.append(templates.removeLast()) }
        return unused
    }
}
