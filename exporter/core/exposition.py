"""Workloads -> bytes of /metrics, incrementally.

One block of bytes per (family, workload), rendered again only when its samples differ; one body per family, joined
again only when one of its blocks differs. Text 0.0.4 and OpenMetrics share all sample lines of gauges.
A full render is byte-equal to what prometheus_client writes for the same families.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

from exporter.core.families import COMMON_LABELS, FAMILIES, Family, Samples, Seen

Key = tuple[str, str]
"""(account, workload id)"""

LABEL_LENGTH = 256
_CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


def number(value: float) -> str:
    """A sample value as prometheus_client and Go write it: ``1.0``, ``1.5e+09``, ``+Inf``, ``NaN``."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    text = repr(float(value))
    dot = text.find(".")
    if value > 0 and dot > 6:
        mantissa = f"{text[0]}.{text[1:dot]}{text[dot + 1 :]}".rstrip("0.")
        return f"{mantissa}e+{dot - 1:02}"
    return text


def label(value: str) -> str:
    """A label value, bounded in length, without control characters other than newline, escaped."""
    if value.isalnum() and len(value) <= LABEL_LENGTH:
        return value
    bounded = _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", value[:LABEL_LENGTH])
    return bounded.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


class _Renderer(NamedTuple):
    """How one family writes itself: header lines, and the sample line with its labels in sorted order."""

    family: Family
    header: bytes
    line: str
    order: Callable[[tuple[str, ...]], tuple[str, ...]]

    def block(self, common: tuple[str, ...], samples: Samples) -> bytes:
        line, order = self.line, self.order
        text = "".join(line % (*order((*common, *map(label, labels))), number(value)) for labels, value in samples)
        return text.encode("utf-8", "replace")


def _renderer(family: Family) -> _Renderer:
    names = (*COMMON_LABELS, *family.labels)
    places = sorted(range(len(names)), key=names.__getitem__)
    pairs = ",".join(f'{names[place]}="%s"' for place in places)
    help_text = family.help.replace("\\", r"\\").replace("\n", r"\n")
    header = f"# HELP {family.name} {help_text}\n# TYPE {family.name} {family.kind}\n"
    return _Renderer(
        family, header.encode(), f"{family.name}{{{pairs}}} %s\n", lambda values: tuple(values[p] for p in places)
    )


class Exposition:
    """The blocks of all workloads seen; `update` brings them up to date, `bodies` are the families' bytes."""

    def __init__(self, families: Iterable[Family] = FAMILIES) -> None:
        self._renderers = [_renderer(family) for family in families]
        self._blocks: list[dict[Key, bytes]] = [{} for _ in self._renderers]
        self._bodies: list[bytes] = [r.header for r in self._renderers]
        self._seen: dict[Key, Seen] = {}
        self._samples: dict[Key, tuple[Samples, ...]] = {}
        self.series = 0

    def update(self, workloads: Iterable[Seen]) -> set[int]:
        """Take `workloads` as all there is; return the numbers of the families whose bytes changed."""
        present = {(seen.account, seen.workload.id): seen for seen in workloads}
        dirty: set[int] = set()
        for key in self._seen.keys() - present.keys():
            self._forget(key, dirty)
        for key, seen in present.items():
            if self._seen.get(key) != seen:
                self._render(key, seen, dirty)
        for place in dirty:
            # Ordered by account and id: the same fleet gives the same bytes, however it came about.
            blocks = self._blocks[place]
            self._bodies[place] = self._renderers[place].header + b"".join(blocks[key] for key in sorted(blocks))
        return dirty

    def bodies(self) -> list[bytes]:
        """Each family's header and samples, in the order of the rows."""
        return list(self._bodies)

    def text(self) -> bytes:
        """The whole page."""
        return b"".join(self._bodies)

    def _forget(self, key: Key, dirty: set[int]) -> None:
        del self._seen[key]
        for place, samples in enumerate(self._samples.pop(key)):
            if samples:
                self.series -= len(samples)
                del self._blocks[place][key]
                dirty.add(place)

    def _render(self, key: Key, seen: Seen, dirty: set[int]) -> None:
        before = self._seen.get(key)
        renamed = before is not None and before.workload.name != seen.workload.name
        if renamed:
            self._forget(key, dirty)
        old = self._samples.get(key) or ((),) * len(self._renderers)
        new = tuple(renderer.family.samples(seen) for renderer in self._renderers)
        common = (label(seen.account), label(seen.workload.name or ""), label(seen.workload.id))
        for place, renderer in enumerate(self._renderers):
            if new[place] == old[place]:
                continue
            self.series += len(new[place]) - len(old[place])
            dirty.add(place)
            if new[place]:
                self._blocks[place][key] = renderer.block(common, new[place])
            else:
                del self._blocks[place][key]
        self._seen[key] = seen
        self._samples[key] = new
