"""The page of /metrics as OTLP requests: the same names, labels, types and values, whatever is on the page.

OTLP has no summary without a count and no gauge histogram: their samples are gauges, named as on the page.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Literal, NamedTuple

from exporter import __version__
from exporter.fleet.workload_state import WorkloadState
from exporter.metrics.account_families import AccountFacts
from exporter.metrics.exposition import Body, label
from exporter.metrics.objective_families import OBJECTIVES
from exporter.otlp import metric_points as points
from exporter.otlp.metric_points import HISTOGRAM, NUMBER, Histogram, Line, Owner, lines
from exporter.otlp.wire import attribute, message, tag, text, varint

SCOPE = "datarobot_exporter.metrics"
EMPTY = b""
"""A request without data points."""
MAX_BYTES = 2_000_000
"""Size of a request before compression; collectors accept 4 MiB over gRPC. A larger piece of the page is sent alone."""
MAX_ENDED = 100_000
"""Number of ended series that wait to be reported, while the collector does not accept them."""
Temporality = Literal["cumulative", "delta"]
_TEMPORALITIES = {"delta": 1, "cumulative": 2}
_OBJECTIVES = frozenset(family.name for family in OBJECTIVES)
_HEADER = re.compile(rb"# (HELP|TYPE|UNIT) (\S+) (.*)")
_UNITS = {"seconds": "s", "bytes": "By", "ratio": "1"}
"""The units of OpenMetrics that are in UCUM, too."""
_CONTAINERS = {"counter": 7, "histogram": 9}
"""The field of a Metric by type; all others are gauges."""
_GAUGE = 5
_NO_OWNER = b"", b""


class ServedPage(NamedTuple):
    """What /metrics serves: the families of workloads and accounts, and the exporter's `own` metrics in OpenMetrics.

    `workloads`, `accounts`: what they were rendered from. `started`: start of this process, in seconds since the epoch.
    """

    bodies: Sequence[Body]
    own: bytes
    workloads: Sequence[WorkloadState]
    accounts: Sequence[tuple[str, AccountFacts]]
    started: float


class Starts(NamedTuple):
    """When counting began, in nanoseconds since the epoch: by workload, also of its objectives, and by account.

    These survive restarts, as the totals do. Everything else is counted since this process started.
    """

    process: int
    owners: Mapping[Owner, int]
    objectives: Mapping[Owner, int]

    def of(self, family: str, owner: Owner) -> int:
        """The start of a series."""
        started = self.owners.get(owner, self.process)
        return self.objectives.get(owner, started) if family in _OBJECTIVES else started


def starts(page: ServedPage, now: int) -> Starts:
    """The starts of everything on a page; none is in the future."""

    def at(seconds: float) -> int:
        return min(int(seconds * 1e9), now)

    owners: dict[Owner, int] = {}
    objectives: dict[Owner, int] = {}
    for name, facts in page.accounts:
        if facts.tally.since is not None:
            owners[label(name).encode(), b""] = at(facts.tally.since)
    for state in page.workloads:
        owner = label(state.account).encode(), label(state.workload.id).encode()
        owners[owner] = at(state.ledger.first)
        if state.ledger.objectives is not None:
            objectives[owner] = at(state.ledger.objectives.since)
    return Starts(at(page.started), owners, objectives)


class MetricFields(NamedTuple):
    """A metric without its data points. `head`, `tail`: its fields; `end`: the fields after the data points."""

    field: int
    head: bytes
    tail: bytes
    end: bytes = b""

    def with_points(self, content: bytes) -> bytes:
        """The metric as a field of its scope."""
        return message(2, self.head + message(self.field, content + self.end) + self.tail)


class Chunk(NamedTuple):
    """Data points of one metric. Once a collector has them: `ended` series are over, `counted` is what was sent."""

    metric: MetricFields
    content: bytes
    size: int
    ended: tuple[str, frozenset[bytes]] | None = None
    counted: Mapping[bytes, Counted] | None = None


class Counted(NamedTuple):
    """The value of a series that was sent last, and when, in nanoseconds since the epoch."""

    value: float | Histogram
    at: int
    owner: Owner


class Request(NamedTuple):
    """Chunks that are sent together."""

    chunks: tuple[Chunk, ...]

    @property
    def points(self) -> int:
        """The number of data points."""
        return sum(chunk.size for chunk in self.chunks)

    def halves(self) -> tuple[Request, Request]:
        """Two requests with the same chunks."""
        at = len(self.chunks) // 2
        return Request(self.chunks[:at]), Request(self.chunks[at:])

    def body(self, resource: bytes) -> bytes:
        """The serialised ExportMetricsServiceRequest."""
        scope = message(1, text(1, SCOPE) + text(2, __version__))
        metrics = [
            metric.with_points(b"".join(chunk.content for chunk in chunks))
            for metric, chunks in groupby(self.chunks, key=lambda chunk: chunk.metric)
        ]
        return message(1, resource + message(2, scope + b"".join(metrics)))


def resource(attributes: Mapping[str, object]) -> bytes:
    """The field of a resource with these attributes, all as texts."""
    given = sorted(attributes.items())
    return message(1, b"".join(attribute(1, key.encode(), str(value).encode()) for key, value in given))


def requests(chunks: Iterable[Chunk], limit: int = MAX_BYTES) -> Iterator[Request]:
    """The chunks in requests of at most `limit` bytes."""
    there: list[Chunk] = []
    size = 0
    for chunk in chunks:
        if there and size + len(chunk.content) > limit:
            yield Request(tuple(there))
            there, size = [], 0
        there.append(chunk)
        size += len(chunk.content)
    if there:
        yield Request(tuple(there))


class _Family(NamedTuple):
    """A family on the page; `own`: it belongs to the exporter itself."""

    name: str
    kind: str
    help: str
    unit: str
    samples: tuple[bytes, ...]
    own: bool

    def owner(self, labels: bytes) -> Owner:
        """Whose total a series is."""
        return _NO_OWNER if self.own else points.owner(labels)

    def series(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """What identifies the metrics in these pieces: for a histogram, its name and labels."""
        for piece in pieces:
            if self.kind == "histogram":
                for labels in points.histograms(lines(piece)):
                    yield self.name.encode() + b"{" + labels
            else:
                for line in lines(piece):
                    yield line.series

    def metric(self, name: str, temporality: Temporality) -> MetricFields:
        field = _CONTAINERS.get(self.kind, _GAUGE)
        end = b"" if field == _GAUGE else tag(2, 0) + varint(_TEMPORALITIES[temporality])
        if self.kind == "counter":
            end += tag(3, 0) + varint(1)
        head = text(1, name) + text(2, self.help) + text(3, _UNITS.get(self.unit, self.unit))
        return MetricFields(field, head, attribute(12, b"prometheus.type", self.kind.encode()), end)


def _family(header: bytes, samples: tuple[bytes, ...], *, own: bool) -> _Family:
    """A family from its lines in OpenMetrics."""
    given = {what: (name, value) for what, name, value in _HEADER.findall(header)}
    name, kind = given[b"TYPE"]
    _, explanation = given.get(b"HELP", (b"", b""))
    _, unit = given.get(b"UNIT", (b"", b""))
    total = b"_total" if kind == b"counter" else b""
    meaning = points.unescaped(explanation).decode()
    return _Family((name + total).decode(), kind.decode(), meaning, unit.decode(), samples, own)


def _families(page: ServedPage) -> Iterator[_Family]:
    for body in page.bodies:
        yield _family(body.openmetrics_header, body.samples, own=False)
    for part in page.own.split(b"# HELP ")[1:]:
        header, samples = list[bytes](), list[bytes]()
        for line in (b"# HELP " + part).splitlines(keepends=True):
            (header if line.startswith(b"# ") else samples).append(line)
        yield _family(b"".join(header), tuple(filter(None, [b"".join(samples)])), own=True)


class Encoder:
    """Encodes one page after another. Series that are no longer on the page are marked as ended, once.

    With the temporality ``delta``, a total is sent as what was added since a collector last accepted it. The first
    time, it is what was added since the start if that is known to be later than anything that was sent before: in this
    process. Otherwise the first total is only the base of the next one.
    """

    def __init__(self, temporality: Temporality = "cumulative") -> None:
        self.temporality = temporality
        self._before: dict[str, _Family] = {}
        self._ended: dict[str, set[bytes]] = {}
        self._counted: dict[bytes, Counted] = {}
        self._known: dict[str | Owner, int] = {}
        """When a family or an owner was on a page for the first time."""
        self._encoding = threading.Lock()
        """After a reload, the thread of the push that was replaced may still encode."""

    def chunks(self, page: ServedPage, now: int) -> list[Chunk]:
        """The data points of a page, at `now` in nanoseconds since the epoch, by piece of the page."""
        with self._encoding:
            return self._chunks_of(page, now)

    def _chunks_of(self, page: ServedPage, now: int) -> list[Chunk]:
        began = starts(page, now)
        there = {family.name: family for family in _families(page)}
        chunks: list[Chunk] = []
        for family in there.values():
            metric = family.metric(family.name, self.temporality)
            for piece in family.samples:
                chunks += self._chunks(family, metric, piece, began, now)
                time.sleep(0)  # other threads wait for the interpreter
        for name in {**there, **self._before, **self._ended}:
            chunks += self._ends(name, self._before.get(name), there.get(name), now)
        self._remember(there, began, now)
        return chunks

    def accepted(self, request: Request) -> None:
        """A collector has these data points."""
        for chunk in request.chunks:
            if chunk.counted is not None:
                self._counted.update(chunk.counted)
            if chunk.ended is not None:
                name, series = chunk.ended
                left = self._ended.get(name, set()) - series
                self._ended[name] = left
                if not left:
                    del self._ended[name]

    def _chunks(self, family: _Family, metric: MetricFields, piece: bytes, began: Starts, now: int) -> Iterator[Chunk]:
        if family.kind == "counter":
            yield from self._totals(metric, family, _numbers(piece), began, now)
        elif family.kind == "histogram":
            yield from self._totals(metric, family, points.histograms(lines(piece)).items(), began, now)
        elif family.kind in ("summary", "gaugehistogram"):
            for name, samples in groupby(lines(piece), key=lambda line: line.name):
                content = [points.number(line, float(line.value), 0, now) for line in samples]
                own = family.metric(name.decode(), self.temporality)
                yield Chunk(own, b"".join(content), len(content))
        else:
            content = points.gauges(piece, family.name.encode(), now)
            yield Chunk(metric, b"".join(content), len(content))

    def _totals(
        self,
        metric: MetricFields,
        family: _Family,
        samples: Iterable[tuple[Line | bytes, float | Histogram]],
        began: Starts,
        now: int,
    ) -> Iterator[Chunk]:
        content, counted = [], dict[bytes, Counted]()
        for sample, total in samples:
            labels = sample.labels if isinstance(sample, Line) else sample
            owner = family.owner(labels)
            start, value = began.of(family.name, owner), total
            if self.temporality == "delta":
                series = family.name.encode() + b"{" + labels
                counted[series] = Counted(total, now, owner)
                increase = self._increase(series, family.name, total, start, owner, began.process)
                if increase is None:
                    self._counted[series] = counted.pop(series)
                    continue
                value, start = increase
            if isinstance(value, Histogram):
                content.append(points.histogram(labels, value, start, now))
            elif isinstance(sample, Line):
                content.append(points.number(sample, value, start, now))
        if content:
            yield Chunk(metric, b"".join(content), len(content), counted=counted)

    def _increase(
        self, series: bytes, family: str, total: float | Histogram, start: int, owner: Owner, process: int
    ) -> tuple[float | Histogram, int] | None:
        """What was added, and since when; None if that is not known."""
        last = self._counted.get(series)
        if last is None:
            if start >= process:
                return total, start
            if family in self._known and owner in self._known:  # nothing was counted when the others were sent
                return total, max(self._known[family], self._known[owner])
            return None
        if isinstance(total, Histogram):
            increase = total.since(last.value) if isinstance(last.value, Histogram) else None
            return (total if increase is None else increase), last.at
        before = last.value if isinstance(last.value, float) else 0.0
        return (total - before if total >= before else total), last.at

    def _ends(self, name: str, before: _Family | None, there: _Family | None, now: int) -> Iterator[Chunk]:
        """The series of a family that were on the page before, or whose end was not accepted yet."""
        old, new = (set(family.samples) if family is not None else set() for family in (before, there))
        ended = self._ended.pop(name, set())
        if old != new:
            ended |= set(before.series(old - new)) if before is not None else set()
            ended -= set(there.series(new - old)) if there is not None else set()
        family = there or before
        if not ended or family is None or len(ended) > MAX_ENDED:
            return
        self._ended[name] = ended
        for sample, some in groupby(sorted(ended), key=lambda series: series.partition(b"{")[0]):
            flags, attributes = (10, HISTOGRAM) if family.kind == "histogram" else (8, NUMBER)
            group = frozenset(some)
            content = [points.absent(flags, attributes, each.partition(b"{")[2], now) for each in sorted(group)]
            yield Chunk(
                family.metric(sample.decode(), self.temporality), b"".join(content), len(content), (name, group)
            )

    def _remember(self, there: dict[str, _Family], began: Starts, now: int) -> None:
        self._before = there | {
            name: self._before[name]._replace(samples=()) for name in self._ended if name not in there
        }
        accounts = {(account, b"") for account, _ in began.owners}
        keys: set[str | Owner] = {*there, *began.owners, *accounts, _NO_OWNER}
        self._known = {key: self._known.get(key, now) for key in keys}
        if self._counted:
            self._counted = {series: last for series, last in self._counted.items() if last.owner in self._known}


def _numbers(piece: bytes) -> Iterator[tuple[Line, float]]:
    return ((line, float(line.value)) for line in lines(piece))
