"""Workloads -> bytes of /metrics, incrementally.

One block of bytes per (family, workload), rendered again only when its samples differ; one body per family, joined
again only when one of its blocks differs. Text 0.0.4 and OpenMetrics share the sample lines; only headers differ.
A full render is byte-equal to what prometheus_client writes for the same families, in both formats.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from operator import itemgetter
from typing import NamedTuple

from exporter.core.families import COMMON_LABELS, FAMILIES, Family, Samples, Seen

Key = tuple[str, str]
"""(account, workload id)"""

LABEL_LENGTH = 256
_CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


def number(value: float) -> str:
    """A sample value as prometheus_client and Go write it: ``1.0``, ``1.5e+09``, ``+Inf``, ``NaN``."""
    if value == 1.0:
        return "1.0"
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    text = repr(float(value))
    dot = text.find(".")
    if value > 0 and dot > 6:
        mantissa = f"{text[0]}.{text[1:dot]}{text[dot + 1 :]}".rstrip("0.")
        return f"{mantissa}e+{dot - 1:02}"
    return text


@lru_cache(maxsize=1 << 16)
def label(value: str) -> str:
    """A label value, bounded in length, without control characters other than newline, escaped."""
    if value.isalnum() and len(value) <= LABEL_LENGTH:
        return value
    bounded = _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", value[:LABEL_LENGTH])
    return bounded.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


class Body(NamedTuple):
    """One family's bytes: its header in either format, and the samples, which both share."""

    name: str
    text_header: bytes
    openmetrics_header: bytes
    samples: bytes


class _Renderer(NamedTuple):
    """How one family writes itself: header lines, and the sample line with its labels in sorted order."""

    family: Family
    text_header: bytes
    openmetrics_header: bytes
    line: str
    order: Callable[[tuple[str, ...]], tuple[str, ...]]

    def block(self, common: tuple[str, ...], samples: Samples) -> bytes:
        line, order = self.line, self.order
        lines = [line % order((*common, *map(label, labels), number(value))) for labels, value in samples]
        return "".join(lines).encode("utf-8", "replace")


def _renderer(family: Family) -> _Renderer:
    names = (*COMMON_LABELS, *family.labels)
    places = sorted(range(len(names)), key=names.__getitem__)
    pairs = ",".join(f'{names[place]}="%s"' for place in places)
    told = family.help.replace("\\", r"\\").replace("\n", r"\n")
    # OpenMetrics names a counter without the suffix of its samples, and escapes quotes in help.
    metric, quoted = family.name.removesuffix("_total"), told.replace('"', r"\"")
    return _Renderer(
        family,
        f"# HELP {family.name} {told}\n# TYPE {family.name} {family.kind}\n".encode(),
        f"# HELP {metric} {quoted}\n# TYPE {metric} {family.kind}\n".encode(),
        f"{family.name}{{{pairs}}} %s\n",
        itemgetter(*places, len(names)),
    )


SLICE, RENDERED, FORGOTTEN = 2500, 100, 10
"""The work between two steps of an update, one or two milliseconds, and what one workload is of it; else it is 1."""


class Exposition:
    """The blocks of all workloads seen; `update` brings them up to date, `bodies` are the families' bytes."""

    def __init__(self, families: Iterable[Family] = FAMILIES) -> None:
        self._renderers = [_renderer(family) for family in families]
        # Ordered by account and id: the same fleet gives the same bytes, however it came about.
        self._blocks: list[dict[Key, bytes]] = [{} for _ in self._renderers]
        self._bodies = [Body(r.family.name, r.text_header, r.openmetrics_header, b"") for r in self._renderers]
        self._seen: dict[Key, Seen] = {}
        self._samples: dict[Key, tuple[Samples, ...]] = {}
        self._dirty: set[int] = set()
        self._disordered: set[int] = set()
        self.series = 0

    def update(self, workloads: Iterable[Seen]) -> None:
        """Take `workloads` as all there is."""
        for _ in self.steps(workloads):
            pass

    def steps(self, workloads: Iterable[Seen]) -> Iterator[None]:
        """`update` in small steps, so that an event loop can answer between them; the bodies change at the end."""
        present = {(seen.account, seen.workload.id): seen for seen in workloads}
        work = 0
        for key in self._seen.keys() - present.keys():
            self._forget(key)
            work += FORGOTTEN
            if work >= SLICE:
                work = 0
                yield
        for key, seen in sorted(present.items()) if not self._seen else present.items():
            if self._seen.get(key) == seen:
                work += 1
            else:
                self._render(key, seen)
                work += RENDERED
            if work >= SLICE:
                work = 0
                yield
        bodies = list(self._bodies)
        for place in sorted(self._dirty):
            if place in self._disordered:
                self._blocks[place] = dict(sorted(self._blocks[place].items()))
            bodies[place] = bodies[place]._replace(samples=b"".join(self._blocks[place].values()))
            yield
        self._dirty.clear()
        self._disordered.clear()
        self._bodies = bodies

    def bodies(self) -> list[Body]:
        """Each family's header and samples, in the order of the rows. A body that did not change is the same object."""
        return self._bodies

    def text(self) -> bytes:
        """The whole page in text format 0.0.4."""
        return b"".join(part for body in self._bodies for part in (body.text_header, body.samples))

    def openmetrics(self) -> bytes:
        """The whole page in OpenMetrics, without the closing ``# EOF``."""
        return b"".join(part for body in self._bodies for part in (body.openmetrics_header, body.samples))

    def _forget(self, key: Key) -> None:
        del self._seen[key]
        for place, samples in enumerate(self._samples.pop(key)):
            if samples:
                self.series -= len(samples)
                del self._blocks[place][key]
                self._dirty.add(place)

    def _render(self, key: Key, seen: Seen) -> None:
        before = self._seen.get(key)
        renamed = before is not None and before.workload.name != seen.workload.name
        if renamed:
            self._forget(key)
        old = self._samples.get(key) or ((),) * len(self._renderers)
        new = tuple(renderer.family.samples(seen) for renderer in self._renderers)
        common = (label(seen.account), label(seen.workload.name or ""), label(seen.workload.id))
        for place, renderer in enumerate(self._renderers):
            if new[place] == old[place]:
                continue
            self.series += len(new[place]) - len(old[place])
            self._dirty.add(place)
            if new[place]:
                blocks = self._blocks[place]
                if blocks and key not in blocks and next(reversed(blocks)) > key:
                    self._disordered.add(place)
                blocks[key] = renderer.block(common, new[place])
            else:
                del self._blocks[place][key]
        self._seen[key] = seen
        self._samples[key] = new
