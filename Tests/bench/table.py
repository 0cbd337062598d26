"""The benchmark's results as one table."""

from __future__ import annotations

from typing import Any

THIS = "this driver"
BARE = "the same confinement, bare"
BEFORE = "before, with the host's root"
# Samples (subject.py) and what they are called.
KINDS = {
    "starts": "request → first instruction",
    "exits": "last process gone → WaitTask answered",
    "stops": "last process gone → StopTask answered",
}
TITLES = {
    "start": "Start of one task",
    "bare": "Beside the same confinement, bare",
    "before": "With one task, and before tasks had roots of their own",
    "growth": "While others run, each with four mounts of the agent's",
    "throughput": "Many starts at a time",
    "driver": "Driver",
    "thousands": "Five thousand tasks at once",
    "memory": "Supervisor of a sleeping task",
}
MISSED = "MISSED"


def figure(value: float) -> str:
    """Three significant digits."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def cells(row: dict[str, Any]) -> list[str]:
    """A row's cells: what, who, median, minimum, p99, unit, goal, remark."""
    if not row["samples"]:
        return [row["what"], row["who"], "–", "–", "–", "", "", row["note"]]
    spread = [figure(row["min"]), figure(row["p99"])] if row["samples"] > 1 else ["", ""]
    goal = ("≥ " if row.get("goal_is") == "minimum" else "") + figure(row["goal"]) if "goal" in row else ""
    remark = (MISSED if row["missed"] else "met") if "goal" in row else ""
    return [row["what"], row["who"], figure(row["median"]), *spread, row["unit"], goal,
            "; ".join(part for part in (remark, row["note"]) if part)]


def text(results: dict[str, Any]) -> str:
    """The whole table."""
    machine = results["machine"]
    head = ["what", "who", "median", "min", "p99", "unit", "goal", ""]
    groups = {group: [cells(row) for row in results["rows"] if row["group"] == group] for group in TITLES}
    widths = [max(len(line[column]) for lines in [[head], *groups.values()] for line in lines) for column in range(len(head))]
    lines = [f"{machine['processors']} × {machine['processor'] or machine['machine']}, Linux {machine['kernel']}"]

    def add(line: list[str]) -> None:
        parts = [text.ljust(width) if column in (0, 1, 5, 7) else text.rjust(width)
                 for column, (text, width) in enumerate(zip(line, widths))]
        lines.append("  ".join(parts).rstrip())

    for group, title in TITLES.items():
        if groups[group]:
            lines += ["", title]
            add(head)
            lines.append("  ".join("-" * width for width in widths))
            for line in groups[group]:
                add(line)
    missed = sum(bool(row.get("missed")) for row in results["rows"])
    goals = sum("goal" in row for row in results["rows"])
    lines += ["", f"{goals - missed} of {goals} goals are met."]
    return "\n".join(lines)
