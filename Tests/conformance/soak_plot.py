"""Measures over time as a picture: one small chart for each, all with the same time below, as SVG."""

from __future__ import annotations

from typing import Mapping, Sequence

WIDTH, HEIGHT = 900, 110  # of one chart
LEFT, RIGHT, TOP, GAP = 110, 20, 40, 34
STYLE = """
text { font: 12px sans-serif; fill: #333 } .title { font-weight: bold } .small { font-size: 10px; fill: #777 }
.line { fill: none; stroke: #1f5fa8; stroke-width: 1.5 } .axis { stroke: #bbb } .phase { stroke: #c77; stroke-dasharray: 3 3 }
"""


def draw(
    samples: Sequence[tuple[float, Mapping[str, int]]], phases: Sequence[tuple[float, str]], measures: Mapping[str, str]
) -> str:
    """`samples` are seconds and values, `phases` seconds and names, `measures` names and units."""
    end = max([at for at, _ in samples] or [1.0])
    height = TOP + len(measures) * (HEIGHT + GAP) + 20

    def across(at: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * at / end

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}">',
        f"<style>{STYLE}</style>", f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
    ]
    for index, (at, name) in enumerate(phases):
        x = across(min(at, end))
        parts.append(f'<line class="phase" x1="{x:.1f}" y1="{TOP - 8}" x2="{x:.1f}" y2="{height - 24}"/>')
        # Neighbours may be close: every other name stands higher.
        anchor = "end" if x > WIDTH - 100 else "start"
        parts.append(f'<text class="small" x="{x + (-3 if anchor == "end" else 3):.1f}" y="{12 + index % 2 * 13}" text-anchor="{anchor}">{name}</text>')
    for index, (name, unit) in enumerate(measures.items()):
        top = TOP + index * (HEIGHT + GAP)
        values = [(at, sample[name]) for at, sample in samples]
        maximum = max([value for _, value in values] or [0]) or 1

        def down(value: float) -> float:
            return top + HEIGHT - HEIGHT * value / maximum

        points = " ".join(f"{across(at):.1f},{down(value):.1f}" for at, value in values)
        parts += [
            f'<text class="title" x="{LEFT}" y="{top - 4}">{name}{f" ({unit})" if unit else ""}</text>',
            f'<line class="axis" x1="{LEFT}" y1="{top + HEIGHT}" x2="{WIDTH - RIGHT}" y2="{top + HEIGHT}"/>',
            f'<text class="small" x="{LEFT - 6}" y="{top + 9}" text-anchor="end">{maximum}</text>',
            f'<text class="small" x="{LEFT - 6}" y="{top + HEIGHT}" text-anchor="end">0</text>',
            f'<polyline class="line" points="{points}"/>',
        ]
    for part in range(6):
        parts.append(f'<text class="small" x="{across(end * part / 5):.1f}" y="{height - 8}" text-anchor="middle">{end * part / 5:.0f} s</text>')
    return "\n".join([*parts, "</svg>", ""])
