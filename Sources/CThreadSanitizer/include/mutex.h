// ThreadSanitizer's view of Swift's Mutex, in a build for that alone (SANITIZE=thread in Package.swift).
