"""What threads did during one start, as a table and as a picture (timeline.py)."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterable

from lanes import Lane, Window
from plots import GRID, LINE, OTHER, OWN, Drawing

WAITING, SLEEPING, CALL = "#f0c040", "#cc79a7", "#56b4e9"
WIDTH, LEFT, RIGHT = 1200, 190, 24
LANE, PANEL = 46, 84


def summary(lanes: list[Lane], window: Window, windows: list[Window]) -> str:
    """Processor time, and the system calls that took most, before and after the program's first instruction."""
    lines = [
        f"median of {len(windows)} starts: request → first instruction "
        f"{statistics.median(each.begun - each.sent for each in windows):.0f} µs, first instruction → WaitTask answered "
        f"{statistics.median(each.answered - each.begun for each in windows):.0f} µs",
        f"the one drawn: {window.begun - window.sent:.0f} and {window.answered - window.begun:.0f} µs; of these, µs of processor time, "
        "and of system calls:"]
    for part, begin, end in (("until the first instruction", window.sent, window.begun), ("after it", window.begun, window.answered)):
        lines.append(f"{part}:")
        for lane in lanes:
            ran = lane.within(begin, end)
            if ran < 1:
                continue
            asleep: Counter[str] = Counter()
            for since, to, name in lane.sleeping():
                asleep[name] += round(max(0.0, min(to, end) - max(since, begin)))
            calls: Counter[str] = Counter()
            for since, to, name in lane.calls:
                if begin <= since < end:
                    calls[name] += round(sum(max(0.0, min(to, until) - max(since, began)) for began, until in lane.running))
            most = ", ".join(f"{name} {spent}" for name, spent in calls.most_common(8) if spent)
            slept = "".join(f", asleep in {name} {spent}" for name, spent in asleep.most_common() if spent)
            lines.append(f"  {lane.name:28} {ran:5.0f}, waiting for a processor {lane.waited(begin, end):4.0f}{slept}: {most}")
    return "\n".join(lines)


def draw(lanes: list[Lane], window: Window, subtitle: str) -> str:
    """Two panels of the same scale: until the first instruction, and from there to the answer."""
    parts = ((window.sent, window.begun, "from the request of StartTask to the program's first instruction"),
             (window.begun, window.answered, "from there until WaitTask is answered; the program ends at once"))
    scale = (WIDTH - LEFT - RIGHT) / max(end - begin for begin, end, _ in parts)
    shown = [[lane for lane in lanes if lane.within(begin, end) >= 1] for begin, end, _ in parts]
    heights = [PANEL + LANE * len(each) for each in shown]
    drawing = Drawing(70 + sum(heights), "A start and an end, by threads", subtitle, WIDTH)
    _legend(drawing)
    top = 70.0
    for (begin, end, title), each, height in zip(parts, shown, heights):
        _panel(drawing, top, title, each, window, (begin, end, scale))
        top += height
    return str(drawing)


def _legend(drawing: Drawing) -> None:
    x = 450.0
    for colour, text in ((OWN, "system call"), (CALL, "own code, page faults"), (WAITING, "waits for a processor"),
                         (SLEEPING, "sleeps in a call")):
        drawing.rectangle(x, 14, 14, 12, colour)
        drawing.text(x + 20, 24, text)
        x += 185


def _panel(
    drawing: Drawing, top: float, title: str, lanes: list[Lane], window: Window, span: tuple[float, float, float],
) -> None:
    begin, end, scale = span
    bottom = top + 34 + LANE * len(lanes)

    def x(at: float) -> float:
        return LEFT + (at - begin) * scale

    drawing.text(16, top + 16, f"{title}: {end - begin:.0f} µs", size=13, weight="bold")
    step = 200 if end - begin > 1000 else 100
    for number in range(int((end - begin) / step) + 1):
        drawing.line(x(begin + number * step), top + 28, x(begin + number * step), bottom, GRID)
        drawing.text(x(begin + number * step), bottom + 14, str(number * step), size=10, anchor="middle")
    drawing.line(x(end), top + 28, x(end), bottom, LINE, 1.5)
    if begin < window.started < end:
        drawing.line(x(window.started), top + 28, x(window.started), bottom, OTHER, 1.5)
        is_late = x(window.started) > WIDTH - 200
        drawing.text(
            x(window.started) + (-4 if is_late else 4), bottom + 28, "StartTask is answered", size=10, anchor="end" if is_late else "start")
    for index, lane in enumerate(lanes):
        _lane(drawing, top + 32 + index * LANE, lane, begin, end, x)


def _lane(drawing: Drawing, y: float, lane: Lane, begin: float, end: float, x: Callable[[float], float]) -> None:
    drawing.text(LEFT - 10, y + 13, lane.name, anchor="end")
    drawing.line(LEFT, y + 18, x(end), y + 18, GRID)

    def spans(of: Iterable[tuple[float, float]], colour: str, height: float) -> None:
        drawn: list[list[float]] = []
        for since, to in of:
            left, right = x(max(since, begin)), x(min(to, end))
            if right <= left:
                continue
            # What cannot be told apart is drawn at once.
            if drawn and left - drawn[-1][1] < 0.2:
                drawn[-1][1] = right
            else:
                drawn.append([left, right])
        for left, right in drawn:
            drawing.rectangle(left, y + 18 - height, max(right - left, 0.3), height, colour)

    sleeping = lane.sleeping()
    spans(((since, to) for since, to, _ in sleeping), SLEEPING, 6)
    spans(lane.waiting, WAITING, 6)
    spans(lane.running, CALL, 16)
    calls = [(max(since, began), min(to, until), name) for since, to, name in lane.calls for began, until in lane.running
             if min(to, until) > max(since, began)]
    spans(((since, to) for since, to, _ in calls), OWN, 16)
    _name_calls(drawing, y, [call for call in calls + sleeping if begin <= call[0] < end], x)


def _name_calls(drawing: Drawing, y: float, calls: list[tuple[float, float, str]], x: Callable[[float], float]) -> None:
    """The longest calls' names below the lane, in two rows, where there is room."""
    free: list[list[tuple[float, float]]] = [[], []]
    for since, to, name in sorted(calls, key=lambda call: call[0] - call[1])[:24]:
        if to - since < 12:
            break
        left, right = x(since), x(since) + 5.2 * len(name) + 5
        for row, taken in enumerate(free):
            if all(right < start or left > stop for start, stop in taken):
                taken.append((left, right))
                drawing.text(left, y + 27 + 10 * row, name, size=9)
                break
