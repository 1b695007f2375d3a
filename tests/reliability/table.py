"""docs/reliability.md: what each fault costs, from measured outcomes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tests.reliability.day import FILE, TITLE
from tests.reliability.fault import Fault
from tests.reliability.faults import FAULTS
from tests.reliability.outcome import Outcome

TIMES = (30, 60, 90, 120, 180, 300, 420, 600, 900, 1200)
"""Seconds to which times are rounded up, so that the file does not change from run to run."""
MARGIN = 1.15
"""Factor for times before they are rounded."""


class Row(NamedTuple):
    """One row of the file, as it is written."""

    fault: str
    served: str
    delivered: str
    lost: str
    doubled: str
    recovered: str

    @property
    def verdicts(self) -> tuple[str, ...]:
        """All cells, without times and numbers."""
        lost, doubled = (cell.partition(":")[0] for cell in (self.lost, self.doubled))
        return self.fault, self.served, self.delivered.partition(",")[0], lost, doubled


HEAD = Row("Fault", "Metrics served", "Pages delivered", "Nothing lost", "Nothing doubled", "Recovered within")
INTRODUCTION = """# Reliability

What each of {count} faults costs. The table is measured: `python -m tests.reliability --write` runs a daemon for each
row and writes this file, and `make test-all` compares it with new measurements.

Each run lasts 28 minutes of virtual time, with real sockets, threads and files. The API reports seven workloads: one
is healthy throughout, one fails during the fault and one after it, one restarts during it, the replacement of one
completes during it and that of another one after it, and one is started after it. There are two receivers, a
collector, and a scrape every 30 seconds. The list and all details are polled every minute. Unless the row says
otherwise, the fault lasts four minutes. Everything is compared with a run without a fault:

- **Metrics served**: whether all scrapes were answered with all series of the healthy workload, else the share of them.
  Pods that could not be read for five minutes are withdrawn until they are read again.
- **Pages delivered**: whether all notifications about workloads reached both receivers, and how much later than
  without the fault pages arrived. While the API cannot be read, nothing is known: what fails meanwhile is paged once
  it is over. Tickets may be later, since they are not sent while `DataRobotApiUnreachable` fires.
- **Nothing lost**: counters at the end (restarts, terminations, transitions, events, replacements), notifications,
  and spans that the collector received.
- **Nothing doubled**: the same, and whether an incident or a span had two identities. What was sent twice under one
  identity is once there.
- **Recovered within**: time from the end of the fault until all series, pages and spans are as without it.

Times are rounded up. A process that is killed is abandoned in the same process, with the files as they are at that
moment; `tests/e2e/test_kill.py` and `tests/e2e/test_signals.py` kill and signal real ones. Those of the last table are
real, and so is their time, of which each minute of the world takes ten seconds: they are compared with another real
process that runs at the same time."""


def within(seconds: float) -> str:
    """A time, rounded up."""
    bound = next((each for each in TIMES if seconds * MARGIN <= each), None)
    if seconds <= 0:
        return "at once"
    if bound is None:
        return "not within 20 min"
    return f"{bound} s" if bound < 120 else f"{bound // 60} min"


def _served(fault: Fault, share: float) -> str:
    """The share of the scrapes that were answered: the bound of the fault, if it is kept."""
    if share == fault.served == 1:
        return "yes"
    return f"at least {fault.served:.0%}" if 1 > fault.served <= share else f"{share:.0%}"


def row(fault: Fault, measured: Outcome) -> Row:
    """The row of a fault and its outcome."""
    late = "on time" if measured.late <= 0 else f"{within(measured.late)} late at most"
    all_delivered = measured.delivered == measured.expected
    count = "all" if all_delivered else f"{measured.delivered} of {measured.expected}"
    return Row(
        fault.name,
        _served(fault, measured.served),
        f"{count}, {late}",
        "yes" if not measured.lost else f"no: {', '.join(measured.lost)}",
        "yes" if not measured.doubled else f"no: {', '.join(measured.doubled)}",
        within(measured.recovered),
    )


def short_of(fault: Fault, measured: Outcome) -> list[str]:
    """In what a fault costs more than its row says; empty: nothing."""
    problems = []
    if measured.served < fault.served:
        problems.append(f"metrics served in {measured.served:.0%} of the scrapes, not {fault.served:.0%}")
    if measured.delivered < measured.expected and not fault.lost:
        problems.append(f"{measured.delivered} of {measured.expected} pages delivered")
    if measured.late > fault.late:
        problems.append(f"pages {measured.late:.0f} s late, not {fault.late:.0f} s at most")
    if {*measured.lost} - {*fault.lost}:
        problems.append(f"lost: {', '.join(measured.lost)}")
    if {*measured.doubled} - {*fault.doubled}:
        problems.append(f"doubled: {', '.join(measured.doubled)}")
    if measured.recovered > fault.recovered:
        problems.append(f"recovered after {measured.recovered:.0f} s, not {fault.recovered:.0f} s")
    return problems


def line(row: Row) -> str:
    """A row as it is written."""
    return f"| {' | '.join(row)} |"


def document(rows: Mapping[str, Row]) -> str:
    """The part of the file about faults, from the row of each by its name."""
    sections = []
    for title, faults in FAULTS.items():
        head = [line(HEAD), f"|{'---|' * len(HEAD)}"]
        reasons: dict[str, list[str]] = {}
        for fault in faults:
            if fault.reason:
                reasons.setdefault(fault.reason, []).append(f"  - {fault.name}")
        sections.append("\n".join([f"## {title}", "", *head, *(line(rows[fault.name]) for fault in faults)]))
        if reasons:
            listed = (line for reason, names in reasons.items() for line in (f"- {reason}", *names))
            sections.append("\n".join(["Why these cost more than a delay:", "", *listed]))
    count = sum(map(len, FAULTS.values()))
    return "\n\n".join([INTRODUCTION.format(count=count), *sections]) + "\n"


def part() -> str:
    """The part of the file about faults."""
    return FILE.read_text().partition(TITLE)[0]


def write(rows: Mapping[str, Row]) -> None:
    """Write the part of the file about faults; the other one stays."""
    FILE.write_text(FILE.read_text().replace(part(), document(rows)))


def written() -> dict[str, Row]:
    """The rows of the file, by the name of the fault."""
    cells = (
        [cell.strip() for cell in text.strip("|").split(" | ")] for text in part().splitlines() if text.startswith("| ")
    )
    return {each[0]: Row(*each) for each in cells if each[0] != HEAD.fault}
