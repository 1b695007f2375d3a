"""The outcome of a run with a fault: what differs from an undisturbed run, and for how long."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import NamedTuple

from exporter.alerting.mutes import ONE_OUTAGE
from tests.reliability.observed import Observed, Page, Scrape
from tests.reliability.world import BYSTANDER

Samples = Mapping[str, str]

PLURALS = {
    "page": "pages",
    "end of a page": "ends of pages",
    "span": "spans",
    "span with two contents": "spans with two contents",
}


class Outcome(NamedTuple):
    """What a fault cost. Times are in seconds.

    `served`: share of the scrapes that were answered with all series of the healthy workload. `delivered`: number of
    the `expected` notifications about workloads that arrived; `late`: how much later than without the fault pages
    arrived, at most, and `tickets_late` those that wake no one.
    `lost` and `doubled`: what there was less, or more, of than without it, in words. `recovered`: seconds from the end
    of the fault until nothing but late tickets differed any more.
    """

    served: float
    delivered: int
    expected: int
    late: float
    tickets_late: float
    lost: tuple[str, ...]
    doubled: tuple[str, ...]
    recovered: float


def outcome(calm: Observed, run: Observed, tolerance: float) -> Outcome:
    """Compare a run with an undisturbed one. Times may differ by `tolerance` seconds, the interval of polls."""
    differs = _Differs(calm.scrapes, tolerance)
    served = [each.samples is not None and not any(map(_of_bystander, differs.of(each))) for each in run.scrapes]
    until = max((each.at for each in run.scrapes if differs.of(each)), default=0.0)
    late, pages_lost, pages_doubled = _pages(calm.pages, run.pages)
    spans_late, spans_lost, spans_doubled = _spans(calm, run)
    counts_lost, counts_doubled = _counts(calm, run)
    # Ends are later if the page was about a consequence, which is kept for longer than its cause.
    firing = [each for each in late if each[2].status == "firing"]
    pages_late = [(at, by) for at, by, page in firing if page.severity == "critical"]
    late_ends = (at for at, by in chain(pages_late, spans_late) if by > tolerance)
    return Outcome(
        served=sum(served) / len(served),
        delivered=len(late),
        expected=len(late) + sum(pages_lost.values()),
        late=max((by for _, by in pages_late), default=0.0),
        tickets_late=max(
            (by for _, by, page in late if page.severity != "critical" and page.status == "firing"), default=0.0
        ),
        lost=(*counts_lost, *_words(pages_lost), *spans_lost),
        doubled=(*counts_doubled, *_words(pages_doubled), *spans_doubled),
        recovered=max(0.0, until - run.ended, *(at - run.ended for at in late_ends)),
    )


class _Differs:
    """Which series of a scrape differ from all scrapes of an undisturbed run at about the same time."""

    def __init__(self, calm: Iterable[Scrape], tolerance: float) -> None:
        self._calm = [(each.at, each.samples or {}) for each in calm]
        self._tolerance = tolerance

    def of(self, scrape: Scrape) -> list[str]:
        """The series. A scrape that was not answered differs in one, without name."""
        if scrape.samples is None:
            return [""]
        near = [samples for at, samples in self._calm if abs(at - scrape.at) <= self._tolerance]
        if scrape.samples in near:
            return []
        known = {name for samples in near for name in samples} | scrape.samples.keys()
        return [name for name in known if all(samples.get(name) != scrape.samples.get(name) for samples in near)]


def _of_bystander(series: str) -> bool:
    """Whether a series is about the healthy workload itself, not about what of it could be read."""
    about_reading = "datarobot_workload_fresh", "datarobot_workload_detail_failing"
    return f'workload="{BYSTANDER}"' in series and not series.startswith(about_reading)


def _key(page: Page) -> tuple[str, str, str, str]:
    """What a notification says. An outage is one page, about its cause or its consequence, whichever is read first."""
    outage = page.alert in ONE_OUTAGE and page.severity == "critical"
    return page.receiver, "outage" if outage else page.alert, page.workload, page.status


def _about_workloads(pages: Iterable[Page]) -> dict[tuple[str, str, str, str], list[Page]]:
    """Notifications about workloads by what they say; one that was repeated under the same identity counts once."""
    found: dict[tuple[str, str, str, str], dict[tuple[str, str], Page]] = defaultdict(dict)
    for page in pages:
        if page.workload:
            found[_key(page)].setdefault(page.identity, page)
    return {key: [*each.values()] for key, each in found.items()}


def _pages(
    calm: Iterable[Page], run: Iterable[Page]
) -> tuple[list[tuple[float, float, Page]], Counter[str], Counter[str]]:
    """When each expected one arrived and by how much too late; those that are missing; those that are too many."""
    wanted, came = _about_workloads(calm), _about_workloads(run)
    late: list[tuple[float, float, Page]] = []
    lost, doubled = Counter[str](), Counter[str]()
    for key in wanted.keys() | came.keys():
        expected, found = wanted.get(key, []), came.get(key, [])
        late += [(got.at, max(0.0, got.at - each.at), each) for each, got in zip(expected, found, strict=False)]
        what = "page" if key[3] == "firing" else "end of a page"
        lost[what] += max(0, len(expected) - len(found))
        doubled[what] += max(0, len(found) - len(expected))
    return late, lost, doubled


def _spans(calm: Observed, run: Observed) -> tuple[list[tuple[float, float]], tuple[str, ...], tuple[str, ...]]:
    wanted = {(each.trace, each.span): each.at for each in reversed(calm.spans)}
    came: dict[tuple[bytes, bytes], float] = {}
    contents: dict[tuple[bytes, bytes], set[bytes]] = defaultdict(set)
    for each in run.spans:
        came.setdefault((each.trace, each.span), each.at)
        contents[each.trace, each.span].add(each.content)
    late = [(at, max(0.0, at - wanted[name])) for name, at in came.items() if name in wanted]
    more = len(came.keys() - wanted.keys())
    versions = sum(len(each) > 1 for each in contents.values())
    lost = Counter({"span": len(wanted.keys() - came.keys())})
    return late, _words(lost), _words(Counter({"span": more, "span with two contents": versions}))


def _counts(calm: Observed, run: Observed) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Counters at the end that are less, or more, than without the fault."""
    before, after = _last(calm), _last(run)
    lost, doubled = Counter[str](), Counter[str]()
    for series in before.keys() | after.keys():
        name = series.partition("{")[0]
        if name.endswith("_total"):
            more = round(float(after.get(series, 0)) - float(before.get(series, 0)))
            (doubled if more > 0 else lost)[name.removeprefix("datarobot_").removesuffix("_total")] += abs(more)
    return _words(lost), _words(doubled)


def _last(run: Observed) -> Samples:
    return next((each.samples for each in reversed(run.scrapes) if each.samples), {})


def _words(counted: Counter[str]) -> tuple[str, ...]:
    return tuple(
        f"{count} {what if count == 1 else PLURALS.get(what, what)}" for what, count in sorted(counted.items()) if count
    )
