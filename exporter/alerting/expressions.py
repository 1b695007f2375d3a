"""Expressions for conditions, which are printed as PromQL for rules and evaluated here for direct paging.

Every metric is aggregated to one value per workload, or per account, by labels that identify it: so replacing the
exporter changes nothing, and both sides of an operator always match. A value that is not reported is None, and a
condition on it is not met. Semantics are those of PromQL, including division by zero.
"""

from __future__ import annotations

import math
import operator
import re
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import product
from textwrap import indent
from typing import Literal, NamedTuple, Protocol

from exporter.fleet.workload_state import WorkloadState
from exporter.metrics.account_families import ACCOUNTS, AccountFacts
from exporter.metrics.family import Part, Samples, view
from exporter.metrics.registry import FAMILIES, VANISHED_FAMILIES

PREFIX = "datarobot_"
WORKLOAD: tuple[str, ...] = ("account", "workload", "workload_id")
ACCOUNT: tuple[str, ...] = ("account",)
_FAMILIES = {family.name: family for family in FAMILIES}
_ACCOUNTS = {family.name: family for family in ACCOUNTS}


class Writing(NamedTuple):
    """How PromQL is printed. `selector` is added to every selector; thresholds in seconds are divided by `scale`.

    `held`: the range of which the last sample counts; empty: only the current sample.
    """

    selector: str
    thresholds: Mapping[str, float]
    scale: float = 1.0
    held: str = ""


class EvaluationContext(Protocol):
    """What a condition is evaluated on: one workload, or one account."""

    @property
    def now(self) -> float:
        """Seconds since the epoch."""

    @property
    def thresholds(self) -> Mapping[str, float]:
        """By name."""

    def samples(self, metric: Metric) -> Samples:
        """The samples of a family: label values in its order, and the value."""

    def workloads(self) -> Iterable[EvaluationContext]:
        """The workloads of an account."""


class Term:
    """A number of each workload, or of each account."""

    @abstractmethod
    def promql(self, writing: Writing) -> str:
        """The expression."""

    @abstractmethod
    def value(self, context: EvaluationContext) -> float | None:
        """The number; None if it is not reported."""

    def metrics(self, *, reported: bool = True) -> Iterator[Metric]:  # noqa: ARG002
        """The metrics that it reads; without `reported`: only those whose value it reads."""
        return iter(())

    def __sub__(self, other: Term | float) -> Term:
        return Arithmetic(self, "-", _term(other))

    def __add__(self, other: Term | float) -> Term:
        return Arithmetic(self, "+", _term(other))

    def __mul__(self, other: Term | float) -> Term:
        return Arithmetic(self, "*", _term(other))

    def __truediv__(self, other: Term | float) -> Term:
        return Arithmetic(self, "/", _term(other))

    def __gt__(self, other: Term | float) -> Condition:
        return Comparison(self, ">", _term(other))

    def __ge__(self, other: Term | float) -> Condition:
        return Comparison(self, ">=", _term(other))

    def __lt__(self, other: Term | float) -> Condition:
        return Comparison(self, "<", _term(other))

    def if_at_least(self, other: Term | float) -> Term:
        """The number, which counts as not reported if it is less."""
        return AtLeast(self, _term(other))

    def is_(self, other: Term | float) -> Condition:
        """Whether both are equal."""
        return Comparison(self, "==", _term(other))


class Condition:
    """A condition about a workload or an account."""

    @abstractmethod
    def promql(self, writing: Writing) -> str:
        """The expression: a series for each workload or account for which the condition is met."""

    @abstractmethod
    def is_met(self, context: EvaluationContext) -> bool:
        """Whether the condition is met."""

    @abstractmethod
    def metrics(self, *, reported: bool = True) -> Iterator[Metric]:
        """The metrics that it reads; without `reported`: only those whose value it reads."""

    def __and__(self, other: Condition) -> Condition:
        return Both(self, "and", other)

    def __or__(self, other: Condition) -> Condition:
        return Both(self, "or", other)

    def unless(self, other: Condition) -> Condition:
        """This condition, if the other one is not met."""
        return Both(self, "unless", other)


_AGGREGATES: Mapping[str, Callable[[Iterable[float]], float]] = {"max": max, "min": min, "sum": sum}


class Metric(Term):
    """One family, aggregated. `where`: label -> value, or values separated by ``|``.

    Raises ValueError for a family or a label that does not exist.
    """

    def __init__(self, name: str, aggregate: Literal["max", "min", "sum"] = "max", **where: str) -> None:
        self.name, self.aggregate, self.where = PREFIX + name, aggregate, where
        self.family = _FAMILIES.get(self.name) or _ACCOUNTS.get(self.name)
        if self.family is None or not where.keys() <= {*self.family.labels}:
            raise ValueError(f"no family {self.name} with labels {', '.join(where)}")
        self.by = WORKLOAD if self.name in _FAMILIES else ACCOUNT
        self._labels = self.family.labels
        self._label = operator.itemgetter(*map(self.family.labels.index, where)) if where else None
        values = [value.split("|") for value in where.values()]
        self._wanted = frozenset(*values) if len(values) == 1 else frozenset(product(*values))

    @property
    def reads(self) -> frozenset[Part]:
        """The parts of a workload's details that it depends on."""
        family = _FAMILIES.get(self.name)
        return family.reads if family is not None else frozenset()

    def reported(self) -> Condition:
        """Whether it is reported."""
        return Reported(self)

    def selector(self, writing: Writing) -> str:
        """The selector alone."""
        matchers = [f'{label}{"=~" if "|" in value else "="}"{value}"' for label, value in self.where.items()]
        return f"{self.name}{{{', '.join([*filter(None, [writing.selector]), *matchers])}}}"

    def promql(self, writing: Writing) -> str:
        inner = self.selector(writing)
        if writing.held:
            inner = f"last_over_time({inner}[{writing.held}])"
        if self.aggregate == "sum":
            # Two replicas may report the same for a while.
            inner = f"max by ({', '.join((*self.by, *self._labels))}) ({inner})"
        return f"{self.aggregate} by ({', '.join(self.by)}) ({inner})"

    def value(self, context: EvaluationContext) -> float | None:
        label, wanted = self._label, self._wanted
        found = [value for labels, value in context.samples(self) if label is None or label(labels) in wanted]
        return _AGGREGATES[self.aggregate](found) if found else None

    def metrics(self, *, reported: bool = True) -> Iterator[Metric]:  # noqa: ARG002 — the same for both
        yield self


class Number(Term):
    """A constant."""

    def __init__(self, number: float) -> None:
        self.number = number

    def promql(self, writing: Writing) -> str:  # noqa: ARG002 — the same everywhere
        return f"{self.number:g}"

    def value(self, context: EvaluationContext) -> float | None:  # noqa: ARG002
        return self.number


class Threshold(Term):
    """A threshold that settings may change. A name that ends in ``_seconds`` is a time."""

    def __init__(self, name: str) -> None:
        self.name = name

    def promql(self, writing: Writing) -> str:
        number = writing.thresholds[self.name]
        return f"{number / writing.scale if self.name.endswith('_seconds') else number:g}"

    def value(self, context: EvaluationContext) -> float | None:
        return context.thresholds[self.name]


class Now(Term):
    """The time, in seconds since the epoch."""

    def promql(self, writing: Writing) -> str:  # noqa: ARG002
        return "time()"

    def value(self, context: EvaluationContext) -> float | None:
        return context.now


class Count(Term):
    """The number of workloads of an account for which a condition is met; None if there are none."""

    def __init__(self, condition: Condition) -> None:
        self.condition = condition

    def promql(self, writing: Writing) -> str:
        return f"count by (account) (\n{indent(self.condition.promql(writing), '  ')}\n)"

    def value(self, context: EvaluationContext) -> float | None:
        return sum(self.condition.is_met(each) for each in context.workloads()) or None

    def metrics(self, *, reported: bool = True) -> Iterator[Metric]:
        return self.condition.metrics(reported=reported)


def _ratio(left: float, right: float) -> float:
    if right:
        return left / right
    return math.nan if not left or math.isnan(left) else math.copysign(math.inf, left)


_ARITHMETIC: Mapping[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _ratio,
}
_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "==": operator.eq,
}


class Arithmetic(Term):
    """Two terms and an operator."""

    def __init__(self, left: Term, sign: str, right: Term) -> None:
        self.left, self.sign, self.right = left, sign, right

    def promql(self, writing: Writing) -> str:
        sides = [
            f"({side.promql(writing)})" if isinstance(side, Arithmetic) else side.promql(writing)
            for side in (self.left, self.right)
        ]
        return f" {self.sign} ".join(sides)

    def value(self, context: EvaluationContext) -> float | None:
        left, right = self.left.value(context), self.right.value(context)
        return None if left is None or right is None else _ARITHMETIC[self.sign](left, right)

    def metrics(self, *, reported: bool = True) -> Iterator[Metric]:
        yield from self.left.metrics(reported=reported)
        yield from self.right.metrics(reported=reported)


class AtLeast(Term):
    """A number that counts as reported only if it is not less than another one, as in a comparison of PromQL."""

    def __init__(self, left: Term, right: Term) -> None:
        self.left, self.right = left, right

    def promql(self, writing: Writing) -> str:
        return f"{self.left.promql(writing)} >= {self.right.promql(writing)}"

    def value(self, context: EvaluationContext) -> float | None:
        left, right = self.left.value(context), self.right.value(context)
        return left if left is not None and right is not None and left >= right else None

    def metrics(self, *, reported: bool = True) -> Iterator[Metric]:
        yield from self.left.metrics(reported=reported)
        yield from self.right.metrics(reported=reported)


class Comparison(Condition):
    """Two terms compared."""

    def __init__(self, left: Term, sign: str, right: Term) -> None:
        self.left, self.sign, self.right = left, sign, right

    def promql(self, writing: Writing) -> str:
        return f"{self.left.promql(writing)} {self.sign} {self.right.promql(writing)}"

    def is_met(self, context: EvaluationContext) -> bool:
        left = self.left.value(context)
        if left is None:
            return False
        right = self.right.value(context)
        return right is not None and _COMPARISONS[self.sign](left, right)

    def metrics(self, *, reported: bool = True) -> Iterator[Metric]:
        yield from self.left.metrics(reported=reported)
        yield from self.right.metrics(reported=reported)


class Reported(Condition):
    """A metric that is there, whatever its value."""

    def __init__(self, metric: Metric) -> None:
        self.metric = metric

    def promql(self, writing: Writing) -> str:
        return self.metric.promql(writing)

    def is_met(self, context: EvaluationContext) -> bool:
        return self.metric.value(context) is not None

    def metrics(self, *, reported: bool = True) -> Iterator[Metric]:
        if reported:
            yield self.metric


class Both(Condition):
    """Two conditions, joined by a set operator."""

    def __init__(self, left: Condition, sign: str, right: Condition) -> None:
        self.left, self.sign, self.right = left, sign, right

    def promql(self, writing: Writing) -> str:
        # `and` and `unless` bind alike, from the left; `or` is weaker than both.
        left, right = self.left.promql(writing), self.right.promql(writing)
        if isinstance(self.left, Both) and self.left.sign == "or" != self.sign:
            left = f"(\n{indent(left, '  ')}\n)"
        if isinstance(self.right, Both):
            right = f"(\n{indent(right, '  ')}\n)"
        return f"{left}\n{self.sign} {right}"

    def is_met(self, context: EvaluationContext) -> bool:
        # The right side is not evaluated if the left one decides: this halves the time for a table of 10,000 workloads.
        if self.left.is_met(context):
            return self.sign == "or" or self.right.is_met(context) == (self.sign == "and")
        return self.sign == "or" and self.right.is_met(context)

    def metrics(self, *, reported: bool = True) -> Iterator[Metric]:
        yield from self.left.metrics(reported=reported)
        yield from self.right.metrics(reported=reported)


class Raw(Condition):
    """PromQL that only Prometheus can evaluate, such as whether the exporter is up.

    ``$job`` is replaced by the selector, ``$NAME`` by a threshold, ``$900s`` by a duration.
    """

    def __init__(self, text: str) -> None:
        self.text = text

    def promql(self, writing: Writing) -> str:
        def replacement(match: re.Match[str]) -> str:
            name = match[1]
            if name == "job":
                return writing.selector
            if name.endswith("s") and name[:-1].isdigit():
                return duration(int(name[:-1]) / writing.scale)
            return Threshold(name).promql(writing)

        return re.sub(r"\$(\w+)", replacement, self.text)

    def is_met(self, context: EvaluationContext) -> bool:
        raise NotImplementedError("only Prometheus can evaluate this")

    def metrics(self, *, reported: bool = True) -> Iterator[Metric]:  # noqa: ARG002
        return iter(())


NOW = Now()


def duration(seconds: float) -> str:
    """A duration in the format of Prometheus: ``45s``, ``5m``, ``17m30s``, ``1h``, ``250ms``."""
    millis = round(seconds * 1000)
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if millis and not millis % size:
            return f"{millis // size}{unit}"
        if unit == "m" and millis > 5 * size and not millis % 1000:
            return f"{millis // size}m{millis % size // 1000}s"
    return f"{millis}ms" if millis else "0s"


def _term(value: Term | float) -> Term:
    return value if isinstance(value, Term) else Number(value)


class WorkloadContext:
    """The evaluation context of one workload."""

    def __init__(self, state: WorkloadState, now: float, thresholds: Mapping[str, float]) -> None:
        self._view, self.now, self.thresholds = view(state), now, thresholds
        self._samples: dict[str, Samples] = {}

    def samples(self, metric: Metric) -> Samples:
        samples = self._samples.get(metric.name)
        if samples is None:
            shown = self._view.state.vanished is None or metric.name in VANISHED_FAMILIES
            samples = self._samples[metric.name] = _FAMILIES[metric.name].samples(self._view) if shown else ()
        return samples

    def workloads(self) -> Iterable[EvaluationContext]:
        return ()


class AccountContext:
    """The evaluation context of one account and its workloads."""

    def __init__(
        self, known: AccountFacts, fleet: Iterable[WorkloadState], now: float, thresholds: Mapping[str, float]
    ) -> None:
        self._known, self.now, self.thresholds = known, now, thresholds
        self._fleet = tuple(fleet)

    def samples(self, metric: Metric) -> Samples:
        return _ACCOUNTS[metric.name].samples(self._known)

    def workloads(self) -> Iterable[EvaluationContext]:
        # Created while they are counted: keeping all of them would cause a garbage collection pause for a large fleet.
        return (WorkloadContext(state, self.now, self.thresholds) for state in self._fleet)
