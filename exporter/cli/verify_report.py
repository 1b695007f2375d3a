"""What ``verify`` prints: a table for the terminal, JSON, and a report without anything that identifies anyone.

The report contains only what is on a list: templates of routes, reasons, names of fields, numbers, and texts of the
exporter's own. Messages and values of the server are left out, and so are hosts, names and ids.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from exporter import __revision__, __version__
from exporter.api.assumptions import Assumption, Decision
from exporter.cli.verification import Verified

_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}(?:\[\]|\{\})*(?:\.[A-Za-z_][A-Za-z0-9_]{0,39}(?:\[\]|\{\})*)*")
_NUMBERS = re.compile(r"\d{1,6}(?:\.\d{1,6}){0,3}")
MARKS = {"confirmed": "ok", "contradicted": "NO", "unknown": "?"}
RESULTS = {"ok": "ok", "refused": "NO", "untested": "?"}


def text(name: str, endpoint: str, found: Verified) -> Iterator[str]:
    """The lines for the terminal, about one account."""
    yield f"account {name}: {endpoint}"
    yield f"  release {found.release or 'unknown'}, API {found.api_version or 'unknown'}, {_clock(found)}"
    yield f"  {found.workloads} workloads, {found.sampled} of them read with all details"
    yield ""
    yield "Routes"
    for finding in found.findings:
        timing = found.times.get(finding.route)
        seconds = f" ({timing.median * 1000:.0f} ms)" if timing is not None and finding.result == "ok" else ""
        yield f"{finding.text}{seconds}"
    if found.failure:
        return
    yield ""
    yield "Assumptions"
    for row, verdict, decision in found.verdicts():
        reading = f": {decision.reading}" if verdict == "contradicted" else ""
        shown = f" ({each})" if (each := _evidence(row, decision)) else ""
        yield f"  {MARKS[verdict]:<5} {row.id}: {verdict}{reading}{shown}"
    yield ""
    yield "Unknown fields"
    yield from _or_none(f"  {route}: {', '.join(fields)}" for route, fields in found.unknown.items())
    yield "Unknown values"
    yield from _or_none(
        f"  {field}: {', '.join(f'{value[:64]!r} ({number})' for value, number in values.most_common(10))}"
        for field, values in found.values.items()
    )
    yield "Rejected"
    yield from _or_none(f"  {path}: {reason} ({number})" for (path, reason), number in found.rejects.items())


def _evidence(row: Assumption, decision: Decision) -> str:
    """The evidence for a verdict; without one, how much there is."""
    if decision.reading or not decision.run:
        return decision.text
    return f"{len(decision.subjects)} of {row.needed} for {decision.run}"


def _or_none(lines: Iterator[str], none: str = "  none") -> Iterator[str]:
    first = next(lines, None)
    yield none if first is None else first
    yield from lines


def _clock(found: Verified) -> str:
    if found.offset is None:
        return "clock unknown"
    return f"clock {abs(found.offset):.1f} s {'ahead' if found.offset >= 0 else 'behind'}"


def as_json(found: Verified) -> dict[str, Any]:
    """One account as JSON with stable keys. Times are in seconds."""
    return {
        "failure": found.failure or None,
        "release": found.release or None,
        "apiVersion": found.api_version or None,
        "clockOffsetSeconds": found.offset,
        "workloads": found.workloads,
        "sampled": found.sampled,
        "routes": [
            {"route": each.route, "result": each.result, "reason": each.reason or None, **_timing(found, each.route)}
            for each in found.routes
        ],
        "assumptions": [
            {
                "assumption": row.id,
                "verdict": verdict,
                "reading": decision.reading or None,
                "evidence": _evidence(row, decision) or None,
            }
            for row, verdict, decision in found.verdicts()
        ],
        "unknownFields": {route: list(fields) for route, fields in found.unknown.items()},
        "unknownValues": {field: dict(values) for field, values in found.values.items()},
        "rejects": [{"path": p, "reason": reason, "number": n} for (p, reason), n in found.rejects.items()],
        "asExpected": found.as_expected and not found.failure,
    }


def _timing(found: Verified, route: str) -> dict[str, Any]:
    timing = found.times.get(route)
    if timing is None:
        return {"requests": 0}
    return {"requests": timing.requests, "medianSeconds": timing.median, "longestSeconds": timing.longest}


def report(accounts: Mapping[str, Verified]) -> Iterator[str]:
    """The lines of the report about all accounts; their names are replaced by numbers."""
    yield "# workload-exporter verify\n"
    yield f"Version {__version__} ({__revision__}), Python {platform.python_version()}.\n"
    yield "Names, ids, hosts, messages and values of the server are left out.\n"
    for number, found in enumerate(accounts.values(), 1):
        yield f"## Account {number}\n"
        yield f"- Release {_version(found.release)}, API {_version(found.api_version)}, {_clock(found)}"
        yield f"- {found.workloads} workloads, {found.sampled} of them read with all details"
        if found.failure:
            yield f"- The list of workloads could not be read: {found.failure}"
        yield ""
        yield "| Route | Result | Reason | Requests | Median, ms | Longest, ms |"
        yield "|---|---|---|---|---|---|"
        for each in found.routes:
            timing = found.times.get(each.route)
            times = ["0", "", ""]
            if timing is not None:
                times = [str(timing.requests), f"{timing.median * 1000:.0f}", f"{timing.longest * 1000:.0f}"]
            yield f"| {' | '.join((f'`{each.route}`', RESULTS[each.result], each.reason, *times))} |"
        yield ""
        yield "| Assumption | Verdict | Reading | Evidence |"
        yield "|---|---|---|---|"
        for row, verdict, decision in found.verdicts():
            yield f"| {row.id} | {verdict} | {decision.reading} | {_evidence(row, decision)} |"
        yield ""
        yield "Unknown fields:\n"
        yield from _or_none((f"- `{route}`: {_fields(fields)}" for route, fields in found.unknown.items()), "none")
        yield ""
        yield "Unknown values, which `verify` shows on the terminal:\n"
        yield from _or_none((f"- {field}: {len(values)} of them" for field, values in found.values.items()), "none")
        yield ""
        yield "Rejected:\n"
        rejects = (f"- {path}: {reason} ({times})" for (path, reason), times in found.rejects.items())
        yield from _or_none(rejects, "none")
        yield ""


def _version(reported: str) -> str:
    """The numbers of a version, without anything that follows them."""
    match = _NUMBERS.match(reported)
    return match[0] if match else "unknown"


def _fields(paths: Sequence[str]) -> str:
    """Names of fields, and how many may be something else: a map has keys that users choose."""
    names = [path for path in paths if _FIELD.fullmatch(path)]
    others = len(paths) - len(names)
    return ", ".join([*(f"`{name}`" for name in names), *([f"{others} others"] if others else [])])
