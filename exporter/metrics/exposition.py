"""Workloads -> bytes of /metrics, incrementally.

The lines of a workload in a family are rendered again only if what the family reads has changed, and, if they differ,
inserted into the text of its shelf: the text of several workloads that follow each other on the page. Each line is
stored once, in that text.
Text 0.0.4 and OpenMetrics share the sample lines; only headers differ. A full render is byte-equal to what
prometheus_client writes for the same families, in both formats.
"""

from __future__ import annotations

import hashlib
import math
import re
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from exporter.fleet.workload_state import WorkloadState
from exporter.metrics.account_families import AccountFacts, AccountFamily
from exporter.metrics.family import COMMON_LABELS, Family, Part, Samples, unit_in
from exporter.metrics.registry import FAMILIES, changed, samples_of

Key = tuple[str, str]
"""(account, workload id)"""

LABEL_LENGTH = 256
_UNFIT = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


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


@lru_cache(maxsize=1 << 12)
def label(value: str) -> str:
    """A label value, bounded and escaped."""
    if value.isalnum() and len(value) <= LABEL_LENGTH:
        return value
    return bounded(value).replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def bounded(value: str) -> str:
    """A label value of at most `LABEL_LENGTH` characters, without control characters other than newline.

    A changed value ends in a hash of the original, so that two names or ids never become one series.
    """
    plain = _UNFIT.sub("\N{REPLACEMENT CHARACTER}", value)
    if plain == value and len(value) <= LABEL_LENGTH:
        return value
    digest = hashlib.blake2b(value.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return f"{plain[: LABEL_LENGTH - len(digest) - 1]}~{digest}"


class Body(NamedTuple):
    """One family's bytes: its header in either format, and the samples, which both share, in pieces."""

    name: str
    text_header: bytes
    openmetrics_header: bytes
    samples: tuple[bytes, ...]


class _Renderer:
    """Renders one family: header lines, and sample lines with their labels in sorted order."""

    def __init__(self, family: Family | AccountFamily, common: tuple[str, ...] = COMMON_LABELS) -> None:
        self.family, self._common = family, common
        self._dynamic = isinstance(family, Family) and family.dynamic
        text = family.help.replace("\\", r"\\").replace("\n", r"\n")
        # OpenMetrics names a counter without the suffix of its samples, and escapes quotes in help.
        metric, quoted = family.name.removesuffix("_total"), text.replace('"', r"\"")
        self.text_header = f"# HELP {family.name} {text}\n# TYPE {family.name} {family.kind}\n".encode()
        unit = f"# UNIT {metric} {unit_in(metric)}\n" if unit_in(metric) else ""
        self.openmetrics_header = f"# HELP {metric} {quoted}\n# TYPE {metric} {family.kind}\n{unit}".encode()
        self._name = family.name + "{"
        # Families with labels of their own usually have few distinct samples: their lines are cached as templates.
        # The cache is small, because templates of values that all differ, such as times, are never used again.
        self._template = lru_cache(maxsize=64)(self._template_of)

    def block(self, common: tuple[str, ...], joined: str, samples: Samples) -> bytes:
        """The lines of `samples`. `common` are the values of the common labels, `joined` the same as text."""
        if self.family.labels or self.family.kind == "histogram":
            text = self._template(samples) % (common * len(samples))
        else:
            text = "".join([f"{self._name}{joined}}} {number(value)}\n" for _, value in samples])
        return text.encode()

    def _template_of(self, samples: Samples) -> str:
        lines = []
        for values, value in samples:
            name, labels = self._name, self.family.labels
            if self.family.kind == "histogram" and values[-1] in ("sum", "count"):
                name, values = f"{self.family.name}_{values[-1]}{{", values[:-1]
            elif self.family.kind == "histogram":
                name, labels = f"{self.family.name}_bucket{{", (*labels, "le")
            elif self._dynamic:
                labels, values = values[::2], values[1::2]
            own = dict(zip(labels, (label(v).replace("%", "%%") for v in values), strict=True))
            pairs = sorted({**dict.fromkeys(self._common, "%s"), **own}.items())
            lines.append(name + ",".join(f'{key}="{text}"' for key, text in pairs) + f"}} {number(value)}\n")
        return "".join(lines)


SHELF = 64
"""Maximum workloads of a shelf: enough for pieces of some kilobytes, few enough to be copied often."""


class _Shelf:
    """Workloads in order, and for each family the lines of all of them as one text."""

    def __init__(self, keys: list[Key], texts: list[bytes], lengths: list[array[int]]) -> None:
        self.keys, self.texts, self._lengths = keys, texts, lengths

    def put(self, key: Key) -> None:
        """Make room for a workload that has no lines yet."""
        at = bisect_left(self.keys, key)
        self.keys.insert(at, key)
        for lengths in self._lengths:
            lengths.insert(at, 0)

    def write(self, place: int, key: Key, block: bytes) -> bool:
        """Replace the workload's lines of the family at `place` by `block`; returns whether they differ."""
        at, text, lengths = bisect_left(self.keys, key), self.texts[place], self._lengths[place]
        begin = sum(lengths[:at])
        end = begin + lengths[at]
        if len(block) == lengths[at] and text[begin:end] == block:
            return False
        self.texts[place] = b"".join((text[:begin], block, text[end:]))
        lengths[at] = len(block)
        return True

    def remove(self, key: Key) -> None:
        """Remove a workload, whose lines are already removed."""
        at = bisect_left(self.keys, key)
        del self.keys[at]
        for lengths in self._lengths:
            del lengths[at]

    def split(self) -> _Shelf:
        """Keep the first half; return the second."""
        at = len(self.keys) // 2
        begins = [sum(lengths[:at]) for lengths in self._lengths]
        other = _Shelf(
            self.keys[at:],
            [text[begin:] for text, begin in zip(self.texts, begins, strict=True)],
            [lengths[at:] for lengths in self._lengths],
        )
        self.texts = [text[:begin] for text, begin in zip(self.texts, begins, strict=True)]
        self.keys, self._lengths = self.keys[:at], [lengths[:at] for lengths in self._lengths]
        return other


STEP_COST, RENDER_COST, FORGET_COST = 1000, 50, 10
"""Cost of one step of an update, which takes one or two milliseconds, and of one workload; an unchanged one costs 1."""


class Exposition:
    """The sample lines of all workloads; `update` renders changes, `bodies` are the bytes of the families.

    `limit`: maximum series per account; 0: none. Workloads beyond it have no series until there is room. `shelf`:
    maximum workloads per shelf.
    """

    def __init__(self, families: Iterable[Family] = FAMILIES, limit: int = 0, shelf: int = SHELF) -> None:
        self._families, self._limit, self._shelf_size = tuple(families), limit, shelf
        self._of_account: Counter[str] = Counter()
        self._left_out: set[Key] = set()
        self._renderers = [_Renderer(family) for family in self._families]
        # Ordered by account and id: the same fleet gives the same bytes, regardless of its history.
        self._shelves = [self._empty()]
        self._starts: list[Key] = [("", "")]  # the lowest key of each shelf
        self._bodies = [Body(r.family.name, r.text_header, r.openmetrics_header, ()) for r in self._renderers]
        self._states: dict[Key, WorkloadState] = {}
        self._held: set[int] = set()  # the identities of the objects in _states
        # Per workload and family: the number of samples.
        self._sizes: dict[Key, array[int]] = {}
        self._depending: dict[frozenset[Part], tuple[int, ...]] = {}
        self._nothing = array("I", [0] * len(self._families))
        self._dirty: set[int] = set()
        self.series = 0

    @property
    def left_out(self) -> int:
        """How many workloads are beyond the limit."""
        return len(self._left_out)

    def update(self, workloads: Iterable[WorkloadState]) -> None:
        """Render `workloads`, and remove all others."""
        for _ in self.steps(workloads):
            pass

    def steps(self, workloads: Iterable[WorkloadState]) -> Iterator[None]:
        """`update` in small steps, so that the event loop can do other work; the bodies change at the end."""
        there = list(workloads)
        if not self._states:
            there.sort(key=lambda state: (state.account, state.workload.id))
        work = 0
        for state in there:
            # The same object as in the last update: `step` does not replace unchanged ones.
            if id(state) in self._held and not self._may_return(state):
                work += 1
            else:
                work += self._take((state.account, state.workload.id), state)
            if work >= STEP_COST:
                work = 0
                yield
        if len(there) < len(self._states):
            present = {(state.account, state.workload.id) for state in there}
            for key in self._states.keys() - present:
                self._forget(key)
                work += FORGET_COST
                if work >= STEP_COST:
                    work = 0
                    yield
        bodies = list(self._bodies)
        for place in sorted(self._dirty):
            pieces = tuple([shelf.texts[place] for shelf in self._shelves if shelf.texts[place]])
            bodies[place] = bodies[place]._replace(samples=pieces)
        self._dirty.clear()
        self._bodies = bodies

    def bodies(self) -> list[Body]:
        """Each family's header and samples, in the order of the rows. An unchanged body is the same object."""
        return self._bodies

    def text(self) -> bytes:
        """The whole page in text format 0.0.4."""
        return b"".join(part for body in self._bodies for part in (body.text_header, *body.samples))

    def openmetrics(self) -> bytes:
        """The whole page in OpenMetrics, without the closing ``# EOF``."""
        return b"".join(part for body in self._bodies for part in (body.openmetrics_header, *body.samples))

    def _take(self, key: Key, state: WorkloadState) -> int:
        """Store a workload, and render it if it differs; return the cost."""
        before = self._states.get(key)
        if before is not None:
            self._held.remove(id(before))
        differs = before != state or key in self._left_out
        if differs:
            self._render(key, before, state)
        self._states[key] = state
        self._held.add(id(state))
        return RENDER_COST if differs else 1

    def _may_return(self, state: WorkloadState) -> bool:
        """Whether there may be room again for a workload that was left out."""
        if not self._left_out or (state.account, state.workload.id) not in self._left_out:
            return False
        return self._of_account[state.account] < 0.95 * self._limit

    def _forget(self, key: Key) -> None:
        self._held.remove(id(self._states.pop(key)))
        self._drop(key)

    def _drop(self, key: Key) -> None:
        self._left_out.discard(key)
        at = self._shelf(key)
        shelf = self._shelves[at]
        for place, size in enumerate(self._sizes.pop(key)):
            if size:
                self._count(key, -size)
                shelf.write(place, key, b"")
                self._dirty.add(place)
        shelf.remove(key)
        if not shelf.keys and at:
            del self._shelves[at], self._starts[at]

    def _places(self, parts: frozenset[Part]) -> tuple[int, ...]:
        """The families that depend on these parts."""
        known = self._depending.get(parts)
        if known is None:
            known = tuple(n for n, family in enumerate(self._families) if not family.reads.isdisjoint(parts))
            self._depending[parts] = known
        return known

    def _count(self, key: Key, by: int) -> None:
        self.series += by
        self._of_account[key[0]] += by

    def _render(self, key: Key, before: WorkloadState | None, state: WorkloadState) -> None:
        if before is not None and before.workload.name != state.workload.name:
            self._drop(key)  # the name is on every line
        parts = changed(before, state) if before is not None else frozenset()
        whole = key not in self._sizes or "vanished" in parts or key in self._left_out
        if key not in self._sizes:
            sizes = self._sizes[key] = self._nothing[:]
            shelf = self._shelved(key)
        else:
            sizes = self._sizes[key]
            shelf = self._shelves[self._shelf(key)]
        if whole:
            places: Sequence[int] = range(len(self._families))
        else:
            places = self._places(parts)
        new = samples_of([self._families[place] for place in places], state)
        growth = sum(map(len, new)) - sum([sizes[place] for place in places])
        if self._limit and growth > 0 and self._of_account[state.account] + growth > self._limit:
            places, new = range(len(self._families)), ((),) * len(self._families)
            self._left_out.add(key)
        else:
            self._left_out.discard(key)
        common = (label(state.account), label(state.workload.name or ""), label(state.workload.id))
        joined = ",".join([f'{name}="{value}"' for name, value in zip(COMMON_LABELS, common, strict=True)])
        for place, samples in zip(places, new, strict=True):
            if not samples and not sizes[place]:
                continue
            # The text is compared: a hash of samples is the same for some that differ, such as -1 and -2.
            if shelf.write(place, key, self._renderers[place].block(common, joined, samples)):
                self._dirty.add(place)
            self._count(key, len(samples) - sizes[place])
            sizes[place] = len(samples)

    def _empty(self) -> _Shelf:
        return _Shelf([], [b""] * len(self._families), [array("I") for _ in self._families])

    def _shelf(self, key: Key) -> int:
        """The index of the shelf that contains a workload, or should."""
        return bisect_right(self._starts, key) - 1

    def _shelved(self, key: Key) -> _Shelf:
        """The shelf of a new workload, which has no lines yet."""
        at = self._shelf(key)
        shelf = self._shelves[at]
        if len(shelf.keys) >= self._shelf_size:
            last = at == len(self._shelves) - 1 and key > shelf.keys[-1]
            other = self._empty() if last else shelf.split()
            self._shelves.insert(at + 1, other)
            self._starts.insert(at + 1, key if last else other.keys[0])
            shelf = self._shelves[self._shelf(key)]
        shelf.put(key)
        return shelf


def account_bodies(families: Iterable[AccountFamily], accounts: Iterable[tuple[str, AccountFacts]]) -> list[Body]:
    """The families of accounts, rendered as a whole: they are few."""
    there = sorted(accounts, key=lambda account: account[0])
    bodies = []
    for family in families:
        renderer = _Renderer(family, ("account",))
        lines = []
        for name, known in there:
            account = label(name)
            lines.append(renderer.block((account,), f'account="{account}"', family.samples(known)))
        bodies.append(Body(family.name, renderer.text_header, renderer.openmetrics_header, tuple(filter(None, lines))))
    return bodies
