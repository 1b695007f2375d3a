"""Sample lines of /metrics as data points of OTLP.

Source: OTLP 1.x, `opentelemetry/proto/metrics/v1/metrics.proto`, and the OpenTelemetry specification, "Prometheus and
OpenMetrics Compatibility".
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from exporter.otlp.wire import FIXED64, attribute, double, fixed64, message, tag, varint

Owner = tuple[bytes, bytes]
"""Account and workload id of a sample, as on the page; empty: none."""
MAX_ATTRIBUTES = 200_000
"""Number of encoded attributes that are kept for the next lines."""
_PAIR = re.compile(rb'([^=,]+)="((?:[^"\\]|\\.)*)"')
_SAMPLE = re.compile(
    rb'(?P<name>[^{ ]+)(?:\{(?P<labels>(?:[^"}]|"(?:[^"\\]|\\.)*")*)\})? (?P<value>\S+)'
    rb'(?: # \{(?P<exemplar>(?:[^"}]|"(?:[^"\\]|\\.)*")*)\} (?P<of>\S+)(?: (?P<at>\S+))?)?'
)
_NO_VALUE = 1
"""DataPointFlags: NO_RECORDED_VALUE_MASK."""
_START, _TIME = tag(2, FIXED64), tag(3, FIXED64)
_VALUE = tag(4, FIXED64)


class Exemplar(NamedTuple):
    """An exemplar as on the page: labels, value and time, empty if there is none."""

    labels: bytes
    value: bytes
    at: bytes


class Line(NamedTuple):
    """One sample line. `labels`: the text between the braces."""

    name: bytes
    labels: bytes
    value: bytes
    exemplar: Exemplar | None = None

    @property
    def series(self) -> bytes:
        """What identifies the series."""
        return self.name + b"{" + self.labels


def lines(text: bytes) -> Iterator[Line]:
    """The sample lines of a piece of the page, without timestamps of samples, which it does not contain."""
    for line in text.split(b"\n"):
        if b" # {" in line:
            found = _SAMPLE.fullmatch(line)
            if found is None:
                raise ValueError(f"not a sample: {line!r}")
            name, labels, value, *exemplar = found.group("name", "labels", "value", "exemplar", "of", "at")
            yield Line(
                name, labels or b"", value, Exemplar(*(each or b"" for each in exemplar)) if exemplar[1] else None
            )
        elif line:
            series, _, value = line.rpartition(b" ")
            name, _, labels = series.partition(b"{")
            yield Line(name, labels[:-1], value)


def pairs(labels: bytes) -> list[tuple[bytes, bytes]]:
    """Names and escaped values of labels."""
    return _PAIR.findall(labels)


def owner(labels: bytes) -> Owner:
    """The account and the workload of a sample."""
    if b"\\" in labels:
        found = dict(pairs(labels))
        return found.get(b"account", b""), found.get(b"workload_id", b"")
    return _between(labels, b'account="'), _between(labels, b'workload_id="')


def _between(labels: bytes, name: bytes) -> bytes:
    begin = labels.find(name)
    return b"" if begin < 0 else labels[begin + len(name) : labels.index(b'"', begin + len(name))]


_ESCAPED = {rb"\n": b"\n", rb"\"": b'"', rb"\\": b"\\"}


@lru_cache(maxsize=4096)
def unescaped(value: bytes) -> bytes:
    """The value of a label."""
    return re.sub(rb"\\.", lambda found: _ESCAPED.get(found[0], found[0]), value) if b"\\" in value else value


class Attributes(dict[bytes, bytes]):
    """Encoded attributes by label; `of` joins those of a sample. A label without value is the same as none."""

    def __init__(self, field: int) -> None:
        super().__init__()
        self._field = field

    def __missing__(self, label: bytes) -> bytes:
        key, _, value = label.partition(b'="')
        encoded = attribute(self._field, key, unescaped(value)) if value else b""
        if len(self) >= MAX_ATTRIBUTES:
            self.clear()
        self[label] = encoded
        return encoded

    def of(self, labels: bytes) -> bytes:
        """The attributes of a sample."""
        if b"\\" in labels or b'=",' in labels:  # a value may contain what is between two labels
            return b"".join([self[key + b'="' + value] for key, value in pairs(labels)])
        return b"".join(map(self.__getitem__, labels[:-1].split(b'",')))


NUMBER, HISTOGRAM = Attributes(7), Attributes(9)
"""Attributes of a NumberDataPoint and of a HistogramDataPoint."""
_HEADS = [b"\x0a" + varint(size) for size in range(1 << 12)]
"""The beginnings of data points, as fields of their metric, by size."""


def point(content: bytes) -> bytes:
    """A data point as a field of its metric."""
    size = len(content)
    return (_HEADS[size] if size < len(_HEADS) else b"\x0a" + varint(size)) + content


def times(start: int, now: int) -> bytes:
    """The time of a data point, and its start unless that is 0, in nanoseconds since the epoch."""
    return (_START + fixed64(start) if start else b"") + _TIME + fixed64(now)


def gauges(text: bytes, name: bytes, now: int) -> list[bytes]:
    """The data points of a piece of a gauge's samples. They are most of the page: no object is made for a line."""
    end, of, skip = times(0, now) + _VALUE, NUMBER.of, len(name) + 1
    content = []
    for line in text.split(b"\n"):
        if line:
            series, _, value = line.rpartition(b" ")
            content.append(point(of(series[skip:-1]) + end + double(float(value))))
    return content


def number(line: Line, value: float, start: int, now: int) -> bytes:
    """The data point of a counter."""
    exemplars = _exemplars(5, [line])
    return point(NUMBER.of(line.labels) + times(start, now) + _VALUE + double(value) + exemplars)


def absent(field: int, attributes: Attributes, labels: bytes, now: int) -> bytes:
    """A data point that marks the end of a series; `field`: that of its flags."""
    return point(attributes.of(labels) + times(0, now) + tag(field, 0) + varint(_NO_VALUE))


class Histogram(NamedTuple):
    """One histogram: upper bounds, observations up to each of them, their sum and number. `lines`: its buckets."""

    bounds: tuple[float, ...]
    below: tuple[float, ...]
    sum: float
    total: float
    lines: tuple[Line, ...] = ()

    def since(self, before: Histogram) -> Histogram | None:
        """What was added after `before`; None if it is another histogram, or was reset."""
        below = tuple(now - then for now, then in zip(self.below, before.below, strict=False))
        if self.bounds != before.bounds or self.total < before.total or any(each < 0 for each in below):
            return None
        return Histogram(self.bounds, below, self.sum - before.sum, self.total - before.total, self.lines)


def histograms(samples: Iterable[Line]) -> Mapping[bytes, Histogram]:
    """The histograms by their labels."""
    buckets: dict[bytes, list[tuple[float, float, Line]]] = {}
    sums: dict[bytes, float] = {}
    counts: dict[bytes, float] = {}
    for line in samples:
        if line.name.endswith(b"_bucket"):
            own = [(key, value) for key, value in pairs(line.labels) if key != b"le"]
            bound = dict(pairs(line.labels))[b"le"]
            labels = b",".join(key + b'="' + value + b'"' for key, value in own)
            buckets.setdefault(labels, []).append((float(bound), float(line.value), line))
        elif line.name.endswith(b"_sum"):
            sums[line.labels] = float(line.value)
        elif line.name.endswith(b"_count"):
            counts[line.labels] = float(line.value)
    return {
        labels: Histogram(
            tuple(bound for bound, _, _ in there[:-1]),
            tuple(below for _, below, _ in there[:-1]),
            sums[labels],
            counts[labels],
            tuple(line for _, _, line in there),
        )
        for labels, there in buckets.items()
    }


def histogram(labels: bytes, value: Histogram, start: int, now: int) -> bytes:
    """The data point of a histogram."""
    below = (0.0, *value.below, value.total)
    counts = b"".join(fixed64(int(upper - lower)) for lower, upper in itertools.pairwise(below))
    content = (
        HISTOGRAM.of(labels)
        + times(start, now)
        + tag(4, FIXED64)
        + fixed64(int(value.total))
        + tag(5, FIXED64)
        + double(value.sum)
        + message(6, counts)
        + message(7, b"".join(map(double, value.bounds)))
        + _exemplars(8, value.lines)
    )
    return point(content)


_IDS = {b"span_id": (4, 16), b"trace_id": (5, 32)}
"""Labels of exemplars that are fields of their own, and their lengths."""


def _exemplars(field: int, samples: Sequence[Line]) -> bytes:
    return b"".join(message(field, _exemplar(line.exemplar)) for line in samples if line.exemplar is not None)


def _exemplar(exemplar: Exemplar) -> bytes:
    ids = attributes = b""
    for key, value in pairs(exemplar.labels):
        number, length = _IDS.get(key, (0, 0))
        if length == len(value):
            ids += message(number, bytes.fromhex(value.decode()))
        else:
            attributes += attribute(7, key, unescaped(value))
    at = tag(2, FIXED64) + fixed64(int(float(exemplar.at) * 1000) * 1_000_000) if exemplar.at else b""
    return at + tag(3, FIXED64) + double(float(exemplar.value)) + ids + attributes
