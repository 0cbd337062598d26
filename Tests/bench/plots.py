#!/usr/bin/python3
"""The benchmark's results as plots (SVG).

  plots.py DIRECTORY     of DIRECTORY/results.json
"""

from __future__ import annotations

import json
import math
import pathlib
import sys
from typing import Any
from xml.sax.saxutils import escape

from table import BEFORE, KINDS, THIS, figure

WIDTH, LEFT, RIGHT, TOP, BAR, GAP = 760, 250, 90, 56, 18, 10
# Okabe and Ito's colours, which everybody can distinguish.
OWN, OTHER, LINE, GRID, TEXT = "#0072b2", "#b0b0b0", "#d55e00", "#dddddd", "#333333"


class Drawing:
    def __init__(self, height: int, title: str, subtitle: str, width: int = WIDTH):
        self._height, self._width = height, width
        self._parts: list[str] = []
        self.text(16, 24, title, size=16, weight="bold")
        self.text(16, 42, subtitle, size=12)

    def rectangle(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        self._parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>')

    def line(self, x: float, y: float, to_x: float, to_y: float, colour: str, width: float = 1) -> None:
        self._parts.append(
            f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}" stroke="{colour}" stroke-width="{width}"/>')

    def circle(self, x: float, y: float, colour: str) -> None:
        self._parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>')

    def text(self, x: float, y: float, text: str, *, size: int = 12, anchor: str = "start", weight: str = "normal") -> None:
        self._parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" font-weight="{weight}" '
            f'fill="{TEXT}">{escape(text)}</text>')

    def __str__(self) -> str:
        head = (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self._width} {self._height}" width="{self._width}" '
                f'height="{self._height}" font-family="Helvetica, Arial, sans-serif">')
        ground = f'<rect width="{self._width}" height="{self._height}" fill="#ffffff"/>'
        return "\n".join([head, ground, *self._parts, "</svg>"]) + "\n"


class Logarithmic:
    """A scale from a decade below the minimum to one above the maximum."""

    def __init__(self, values: list[float]):
        self.minimum = 10 ** math.floor(math.log10(min(values)))
        self.maximum = 10 ** math.ceil(math.log10(max(values) * 1.001))

    def __call__(self, value: float) -> float:
        share = math.log(max(value, self.minimum) / self.minimum) / math.log(self.maximum / self.minimum)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def decades(self) -> list[float]:
        first, last = round(math.log10(self.minimum)), round(math.log10(self.maximum))
        return [10.0 ** power for power in range(first, last + 1)]


def bars(title: str, subtitle: str, rows: list[dict[str, Any]], unit: str) -> str:
    """A bar for each median, and a line from the minimum to p99."""
    height = TOP + len(rows) * (BAR + GAP) + 34
    drawing = Drawing(height, title, subtitle)
    scale = Logarithmic([value for row in rows for value in (row["min"], row["p99"])])
    bottom = height - 30
    for value in scale.decades():
        drawing.line(scale(value), TOP, scale(value), bottom, GRID)
        drawing.text(scale(value), bottom + 16, f"{value:g} {unit}", size=11, anchor="middle")
    for index, row in enumerate(rows):
        y = TOP + 6 + index * (BAR + GAP)
        own = row["who"].startswith("this driver")
        drawing.text(LEFT - 10, y + BAR - 5, row["who"], anchor="end", weight="bold" if own else "normal")
        drawing.rectangle(LEFT, y, scale(row["median"]) - LEFT, BAR, OWN if own else OTHER)
        end = scale(row["median"])
        if row["samples"] > 1:
            drawing.line(scale(row["min"]), y + BAR / 2, scale(row["p99"]), y + BAR / 2, TEXT, 1.2)
            for value in (row["min"], row["p99"]):
                drawing.line(scale(value), y + 4, scale(value), y + BAR - 4, TEXT, 1.2)
            end = max(end, scale(row["p99"]))
        drawing.text(end + 6, y + BAR - 5, f"{figure(row['median'])} {unit}", weight="bold" if own else "normal")
    return str(drawing)


Points = list[tuple[int, dict[str, Any]]]


def curve(title: str, subtitle: str, points: Points, unit: str, other: Points | None = None) -> str:
    """Medians over a growing number, and lines from the minimum to p99. `other`: somebody else's, at the same numbers. The
    figures of two lines, which may be close to each other, are rows below the numbers."""
    top, right = 66 if other is None else 86, WIDTH - 40
    bottom = top + 184
    figures = [(points, OWN), (other, OTHER)] if other else []
    under = bottom + 18 + 17 * len(figures)
    drawing = Drawing(under + 32, title, subtitle)
    maximum = max(row["p99"] for _, row in points + (other or []))
    step = 10 ** math.floor(math.log10(maximum))
    while maximum / step < 4:
        step /= 2
    ceiling = math.ceil(maximum / step) * step

    def y(value: float) -> float:
        return bottom - value / ceiling * (bottom - top)

    def x(index: int) -> float:
        return 112 + index * (right - 112) / (len(points) - 1)

    def line(rows: Points, colour: str, aside: int) -> None:
        for index, (_, row) in enumerate(rows):
            at = x(index) + aside
            if index:
                drawing.line(x(index - 1) + aside, y(rows[index - 1][1]["median"]), at, y(row["median"]), colour, 2)
            drawing.line(at, y(row["min"]), at, y(row["p99"]), TEXT, 1.2)
            drawing.circle(at, y(row["median"]), colour)
            if other is None:
                drawing.text(at, y(row["p99"]) - 7, figure(row["median"]), size=11, anchor="middle", weight="bold")

    for number in range(round(ceiling / step) + 1):
        drawing.line(80, y(number * step), right, y(number * step), GRID)
        drawing.text(72, y(number * step) + 4, f"{number * step:g}", size=11, anchor="end")
    if other:
        line(other, OTHER, -3)
    line(points, OWN, 3 if other else 0)
    legend = 80.0
    for place, (rows, colour) in enumerate(figures):
        who = rows[0][1]["who"]
        drawing.circle(legend, 60, colour)
        drawing.text(legend + 10, 64, who, size=11)
        legend += 40 + 6 * len(who)
        base = bottom + 35 + 17 * place
        drawing.circle(40, base - 4, colour)
        for index, (_, row) in enumerate(rows):
            drawing.text(x(index), base, figure(row["median"]), size=11, anchor="middle", weight="bold")
    for index, (number, _) in enumerate(points):
        drawing.text(x(index), bottom + 18, str(number), size=11, anchor="middle")
    drawing.text((80 + right) / 2, under + 20, unit, anchor="middle")
    return str(drawing)


def write(results: dict[str, Any], directory: pathlib.Path) -> None:
    """Writes the plots of the results."""
    machine = results["machine"]
    on = f"{machine['processors']} processors, Linux {machine['kernel']}"
    rows = [row for row in results["rows"] if row["samples"]]

    def of(group: str, what: str) -> list[dict[str, Any]]:
        return sorted((row for row in rows if row["group"] == group and row["what"] == what), key=lambda row: row["median"])

    starts = of("start", "request → first instruction")
    (directory / "start.svg").write_text(bars(
        "From the request to the program's first instruction", f"median, line from minimum to p99; logarithmic; {on}",
        starts, "ms"))
    counts = [int(row["what"].split(" ")[-2]) for row in rows if row["what"].startswith("supervisor, private")]
    count = 100 if 100 in counts else max(counts)
    for kind, explained in (("PSS", "PSS: private memory, and a share of what processes have in common"),):
        memory = of("memory", f"supervisor, {kind}, {count} tasks")
        (directory / "memory.svg").write_text(bars(
            f"Memory of a sleeping task's supervisor, {count} tasks", f"{explained}; mean of all; logarithmic", memory, "KiB"))
    points = [(int(row["what"].split(", ")[1].split(" ")[0]), row) for row in rows if row["group"] == "throughput"]
    (directory / "throughput.svg").write_text(curve(
        "Tasks started and ended per second", f"median, line from minimum to maximum; {on}", sorted(points, key=lambda at: at[0]),
        "tasks at a time"))

    def while_others_run(what: str, who: str) -> Points:
        return sorted(
            ((int(row["what"].split(", ")[-1].split(" ")[0]), row) for row in rows
             if row["group"] == "growth" and row["what"].startswith(what) and row["who"] == who), key=lambda at: at[0])

    (directory / "growth.svg").write_text(curve(
        "From the request to the first instruction while others run", f"ms, median, line from minimum to p99; {on}",
        while_others_run(KINDS["starts"], THIS), "tasks that run, each with four mounts of the agent's",
        while_others_run(KINDS["starts"], BEFORE)))


if __name__ == "__main__":
    where = pathlib.Path(sys.argv[1])
    write(json.loads((where / "results.json").read_text()), where)
