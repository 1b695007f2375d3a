"""The section of docs/reliability.md about a day, whose rows `python -m tests.endurance --write` measures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

FILE = Path(__file__).parent.parent.parent / "docs" / "reliability.md"
TITLE = "\n## Memory and file descriptors over a day\n"
HEAD = (
    "| Mode | Hours | RSS in the first hour, MB | RSS in the last hour, MB | Growth "
    "| File descriptors in the first hour | in the last hour |"
)
INTRODUCTION = """
`python -m tests.endurance --write` runs a daemon for 24 hours of virtual time in each mode, with details, direct
paging, traces, a state file and four kinds of scrapes every 30 seconds. It writes this section, and `make test-all`
compares growth with its limit: {limit:.0%} and what is remembered of deleted workloads. The aim is {aim:.0%}, which
most modes miss. RSS is the memory of the
process, with its simulated peers in it, as the system reports it every ten minutes; nothing is freed for the
measurement. The hour after a warm-up of an hour is the first. What fails does so from the 15th minute to the end, in
another way every ten minutes: refused connections, status 500, no response, responses that are cut."""
GROWTH = """
Two things grow by design, and stop:

- A deleted workload is remembered for seven days, in about {each:.0f} kB, so that its counters continue if it comes
  back. No more than the last {most:,} are remembered, in {total:.0f} MB. With short-lived workloads, {churning} at a
  time, each of which is replaced by another one after five minutes, that is reached after a day; in the other modes
  {deleted} are deleted in a day.
- Each workload has counters by reason and a history: its last episodes, the ids of its last events, its past statuses.
  Each of these is limited in length. The simulated workloads change all the time, and fill them. In the healthy mode,
  they and the rendered series are what grows from the second to the sixth hour, by tracemalloc.

With a reload every minute, memory grows without end, but slowly: about 4 kB remain of each reload that changes the
settings of traces, because functions that the OpenTelemetry SDK registers for a fork of the process stay registered."""


class Day(NamedTuple):
    """One row, as it is written."""

    mode: str
    hours: str
    memory_first: str
    memory_last: str
    growth: str
    descriptors_first: str
    descriptors_last: str


def line(row: Day) -> str:
    """A row as it is written."""
    return f"| {' | '.join(row)} |"


def section(
    rows: Mapping[str, Day],
    *,
    limit: float,
    aim: float,
    remembered_bytes: float,
    most: int,
    churning: int,
    deleted: int,
) -> str:
    """The section, with its rows in their order."""
    table = "\n".join([HEAD, f"|{'---|' * len(Day._fields)}", *map(line, rows.values())])
    each, total = remembered_bytes / 1e3, most * remembered_bytes / 1e6
    growth = GROWTH.format(each=each, most=most, total=total, churning=churning, deleted=deleted)
    return "\n".join([TITLE + INTRODUCTION.format(limit=limit, aim=aim), "", table, growth, ""])


def rows_of(text: str) -> dict[str, Day]:
    """The rows of the section in a text, by mode."""
    lines = (each for each in text.partition(TITLE)[2].splitlines() if each.startswith("| ") and each != HEAD)
    cells = ([cell.strip() for cell in each.strip("|").split(" | ")] for each in lines)
    return {each[0]: Day(*each) for each in cells}
