# nomad-driver-exec2: 'make' builds, 'make run' shows it at work, 'make test' runs every test.
# On a fresh Debian 12 with Swift 6, 'make run' and 'make test' install what is missing.

PYTHON = PYTHONDONTWRITEBYTECODE=1 .build/venv/bin/python

.PHONY: build run test unit conformance mutants faults fuzz sanitize soak chaos arm64 bench timeline bench-recovery bench-stats release reproducible protos lint format clean deps run-deps test-deps release-deps

build:
	@.ci/install-dependencies --check build
	swift build -c release

run: run-deps build
	examples/http/run.sh

test: test-deps
	@Tests/run-all

# The unit tests, without root; T=Suite or T=Suite/test runs a part of them.
unit:
	@.ci/install-dependencies --check build
	swift test $(if $(T),--filter $(T))

# As root: conformance tests against the release build, with T=test_stop.py or T=test_stop.py::test_name. See pytest's
# -m and -k in T too: T="-k standby".
conformance: test-deps build
	cd Tests/conformance && $(subst .build,../../.build,$(PYTHON)) -m pytest $(T)

# As root: every call of the Driver's and the Executor's own fails once, with every error that it may have,
# in a build for that alone. 'make test' has the short form.
faults: test-deps build
	FAULTS=1 swift build -c release --scratch-path .build/faults
	EXEC2_FAULTS_LONG=1 $(PYTHON) -m pytest Tests/conformance/fault_sweep_*.py

# libFuzzer looks for bytes that no parser can take, a minute for each; 'make test' replays the corpus.
fuzz: test-deps
	Tests/fuzz-run 60

# The unit tests under AddressSanitizer and under ThreadSanitizer; stages of 'make test' too.
sanitize: test-deps
	SANITIZE=address ASAN_OPTIONS=detect_leaks=0 swift test --sanitize=address --scratch-path .build/asan
	SANITIZE=thread TSAN_OPTIONS=suppressions=Tests/thread-sanitizer.txt \
		swift test --sanitize=thread --scratch-path .build/tsan

# As root: EXEC2_CHAOS_KILLS (1000) kills of the Driver while tasks of every kind run. EXEC2_CHAOS_SEED
# repeats the choices of a run, EXEC2_CHAOS_TASKS changes the number of tasks.
chaos: test-deps build
	$(PYTHON) Tests/conformance/chaos.py

# As root, on x86_64, an hour or two: both programs and the unit tests built for arm64 with Debian's compiler, and run with the core
# of the conformance tests in an emulated machine, with pages of 4 and of 16 KiB. T="unit tests on arm64" runs one stage.
arm64:
	@.ci/install-dependencies build test arm64 || { echo; echo "0 passed, 1 failed"; exit 1; }
	@Tests/run-all --arm64 $(if $(T),"$(T)")

# As root, on a machine that does nothing else, more than ten minutes: everything that is fast or small about the
# driver, beside other ways to do it; one table, bench/results.json and the plots in bench/.
bench: test-deps build
	@.ci/install-dependencies bench
	$(PYTHON) Tests/bench/bench.py

# As root: what the Driver, the Executor and the task do between StartTask and the end of a task, drawn by threads.
timeline: test-deps build
	$(PYTHON) Tests/bench/timeline.py

# As root: how long a fresh Driver takes to recover 1000 running tasks.
bench-recovery: test-deps build
	$(PYTHON) Tests/bench/recovery.py

# As root: what a thousand TaskStats streams at one second cost the Driver.
bench-stats: test-deps build
	$(PYTHON) Tests/bench/stats.py

# As root: takes each protection out of the sources, one at a time, and fails where no test notices (half an hour);
# T="word" tries those whose name contains it.
mutants: test-deps build
	$(PYTHON) Tests/mutants/run.py $(T)

# What is published, in .build/release-files: archives and packages, what is in the programs (SPDX), and checksums, which
# RELEASE_SIGNING_KEY=FILE signs.
release: release-deps
	.ci/release

# Builds the release of the last commit twice, at different paths, and fails where a byte differs (five minutes).
reproducible: release-deps
	.ci/check-reproducible

# As root: EXEC2_SOAK_ALIVE (1000) tasks at once while EXEC2_SOAK_ROW (10000) more come and go; what is left of
# them in the Driver, as a table and drawn over time.
soak: test-deps build
	$(PYTHON) Tests/conformance/soak.py

# The messages of Protos/ as C, committed in Sources/CMessages.
protos:
	.ci/generate-messages

lint: test-deps
	.ci/lint

format:
	swift format --in-place --parallel --recursive Sources Tests Package.swift
	gofmt -w Tests/goplugin Tests/hcl

deps: test-deps
	.ci/install-dependencies vm

run-deps:
	@.ci/install-dependencies build run

release-deps:
	@.ci/install-dependencies build release

# A test run that cannot even begin ends like any other that fails.
test-deps:
	@.ci/install-dependencies build run test || { echo; echo "0 passed, 1 failed"; exit 1; }

# Tests that ran through sudo leave files of root's.
clean:
	rm -rf .build || sudo rm -rf .build
