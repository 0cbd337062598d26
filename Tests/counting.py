"""How many tests passed and failed, from the output or the reports of the test programs."""

from __future__ import annotations

import pathlib
import re
from dataclasses import dataclass
from xml.etree import ElementTree


@dataclass
class Count:
    """Tests that passed and tests that failed. A skipped test has not passed: it counts as failed."""

    passed: int = 0
    failed: int = 0


def xunit(report: pathlib.Path) -> Count:
    """The test cases of a report in JUnit's XML, as `swift test --xunit-output` writes it; none if the report is
    missing or incomplete."""
    count = Count()
    try:
        root = ElementTree.parse(report).getroot()
    except (OSError, ElementTree.ParseError):
        return count
    for case in root.iter("testcase"):
        has_passed = all(case.find(outcome) is None for outcome in ("failure", "error", "skipped"))
        _add(count, "passed" if has_passed else "failed")
    return count


def pytest(output: str) -> Count:
    """The summary at the end of pytest's output, such as `== 3 passed, 1 failed, 2 deselected in 1.00s ==`."""
    summaries = re.findall(r"^=* ?(\d+ [a-z]+.*) in \d[\d.]*s", output, re.MULTILINE)
    count = Count()
    if summaries:
        for number, outcome in re.findall(r"(\d+) (passed|failed|errors?|skipped|xfailed|xpassed)", summaries[-1]):
            _add(count, outcome, int(number))
    return count


def go_test(output: str) -> Count:
    """The lines of `go test -v`, one for each test; subtests are indented and left out."""
    count = Count()
    for outcome in re.findall(r"^--- (PASS|FAIL|SKIP): ", output, re.MULTILINE):
        _add(count, outcome)
    return count


def model(output: str) -> Count:
    """The last line of Tests/model/check.py, such as `23 passed, 0 failed`."""
    found = re.findall(r"^(\d+) passed, (\d+) failed$", output, re.MULTILINE)
    return Count(int(found[-1][0]), int(found[-1][1])) if found else Count()


def _add(count: Count, outcome: str, number: int = 1) -> None:
    if outcome.lower() in ("passed", "pass"):
        count.passed += number
    else:
        count.failed += number
