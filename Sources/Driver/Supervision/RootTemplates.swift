import EventLoop
import HCLog
import Planning
import Shared

/// The templates of tasks' roots. Each is a mount namespace. It is made for the first task that needs it, and replaced
/// when what it shows of the host has changed. Running tasks keep their copies of the old one.
///
/// A few are kept, since the tasks of one configuration may have their directories in different places. Simultaneous
/// starts that need the same template share one.
final class RootTemplates: Sendable {
    /// A template: a mount namespace, which exists as long as this object holds its descriptor.
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

    /// A template that is being made.
    private final class PendingTemplate: Sendable {
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
        var pending: [PendingTemplate] = []
    }

    private enum Source {
        case kept(Template)
        case pending(PendingTemplate)
        case new(PendingTemplate, reason: String)
    }

    typealias Make =
        @Sendable (_ specification: TemplateSpecification, _ program: String) async -> Result<
            TemplateNamespace, TemplateError
        >

    /// How many times a template or a task's root is made anew if files of the host are replaced meanwhile.
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

    /// - Parameter make: Makes a template's namespace; tests pass a substitute.
    init(_ facts: TemplateFacts, log: Logger, make: @escaping Make) {
        self.facts = facts
        self.log = log
        self.make = make
    }

    /// Begins to read what a template of these paths would show of the host now, and returns at once.
    func read(_ paths: [TemplateSpecification.Path]) -> TemplateFacts.Reading { facts.begin(paths) }

    /// Requests a template that shows what the host has now. Returns at once.
    /// - Parameter reading: A reading that was begun for the same start. It is used if it has the same paths.
    func request(_ specification: TemplateSpecification, _ reading: TemplateFacts.Reading? = nil) -> Request {
        if let reading, reading.paths == specification.paths {
            return Request(specification: specification, reading: reading)
        }
        return Request(specification: specification, reading: facts.begin(specification.paths))
    }

    /// The requested template, which shows what the host had when it was requested, or later.
    ///
    /// - Parameter program: The path of the Executor, which makes templates.
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
        // Read before it is made: if something changes meanwhile, the next start replaces it.
        let contents = try await facts.contents(of: request.reading)
        let pending: PendingTemplate
        switch source(request.specification, contents) {
        case .kept(let template): return template
        case .pending(let other): pending = other
        case .new(let new, let reason):
            pending = new
            log.debug("a template of tasks' roots is made", ["reason": reason])
            // Other starts may wait for it, so that it continues if this one is cancelled.
            Task(executorPreference: BlockingPool.starts) { [self] in await make(new, program: program) }
        }
        guard let result = await pending.result.wait() else { throw .givenUp }
        return try result.get()
    }

    private func source(_ specification: TemplateSpecification, _ contents: TemplateContents) -> Source {
        state.withLock { state in
            let before = state.kept.use(specification)
            let hasOtherMounts = before?.hasOtherMounts ?? false
            if let before, before.contents == contents, !hasOtherMounts { return .kept(before) }
            if let pending = state.pending.first(where: {
                $0.specification == specification && $0.contents == contents
            }) {
                return .pending(pending)
            }
            let pending = PendingTemplate(specification, contents)
            state.pending.append(pending)
            let changes = before.map { contents.changes(since: $0.contents, specification.paths) }
            let reasons = (changes ?? []) + (hasOtherMounts ? ["the host's mounts have changed there"] : [])
            return .new(
                pending, reason: before == nil ? "these paths have no template yet" : reasons.joined(separator: ", "))
        }
    }

    private func make(_ pending: PendingTemplate, program: String) async {
        let result: Result<Template, TemplateError>
        switch await make(pending.specification, program) {
        case .success(let namespace):
            result = .success(Template(namespace: namespace, pending.specification, pending.contents))
        case .failure(let error): result = .failure(error)
        }
        let unused = state.withLock { state -> [Template] in
            state.pending.removeAll { $0 === pending }
            guard case .success(let template) = result else { return [] }
            return state.kept.keep(template)
        }
        pending.result.set(result)
        // Not under the lock: the kernel takes a while to destroy a namespace.
        _ = consume unused
    }
}

/// The most recently used templates. The namespace of a template that is dropped is destroyed once no start uses it;
/// tasks keep their copies.
struct KeptTemplates {
    static let maximum = 4

    /// The most recently used first.
    private(set) var templates: [RootTemplates.Template] = []

    /// The template of a specification, which becomes the most recently used.
    mutating func use(_ specification: TemplateSpecification) -> RootTemplates.Template? {
        guard let index = templates.firstIndex(where: { $0.specification == specification }) else { return nil }
        let template = templates.remove(at: index)
        templates.insert(template, at: 0)
        return template
    }

    /// Keeps a new one, and drops the one of the same specification.
    ///
    /// - Returns: The dropped ones.
    mutating func keep(_ template: RootTemplates.Template) -> [RootTemplates.Template] {
        var unused = templates.filter { $0.specification == template.specification }
        templates.removeAll { $0.specification == template.specification }
        templates.insert(template, at: 0)
        while templates.count > Self.maximum { unused.append(templates.removeLast()) }
        return unused
    }
}
