"""Analysis of PromQL expressions: selectors, units, and the labels of the resulting series."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import promql_parser as p

from exporter.metrics.account_families import ACCOUNTS
from exporter.metrics.registry import FAMILIES
from exporter.telemetry.own_metrics import OWN_METRICS, PREFIX

TIMES: Mapping[str, str] = {"__rate_interval": "2m", "__range": "5400s", "__interval": "30s"}
"""Values of Grafana's built-in variables, for a scrape interval of 30 s and the time range of a day of `days`."""
COUNTING = ("rate", "irate", "increase")
_UNITS = {"seconds": "time", "bytes": "bytes", "ratio": "ratio", "cores": "cores"}
_OTHERS = {"process_cpu_seconds_total": "time", "process_resident_memory_bytes": "bytes", "up": "number",
           "ALERTS": "number", "ALERTS_FOR_STATE": "time"}  # fmt: skip
ALL = frozenset({"*"})
"""All labels."""


def units() -> dict[str, str]:
    """The unit of every metric that may be queried: time, bytes, ratio, cores or number."""
    found = {family.name: _UNITS.get(family.unit, "number") for family in FAMILIES}
    found |= {family.name: _UNITS.get(family.unit, "number") for family in ACCOUNTS}
    for own in OWN_METRICS:
        word = own.name.rsplit("_", 1)[-1]
        unit = "rate" if own.name.endswith("_per_second") else _UNITS.get(word, "number")
        found[PREFIX + own.name + ("_total" if own.kind == "counter" else "")] = unit
    histograms = [f.name for f in ACCOUNTS if f.kind == "histogram"]
    histograms += [PREFIX + own.name for own in OWN_METRICS if "histogram" in own.kind]
    return found | {f"{name}_bucket": found[name] for name in histograms} | _OTHERS


UNITS = units()


def filled_in(expression: str, values: Mapping[str, str]) -> str:
    """An expression with its variables substituted."""
    values = {**TIMES, **values}
    return re.sub(r"\$\{?(\w+)\}?", lambda match: values[match[1]], expression)


def parsed(expression: str, **values: str) -> Any:
    """The syntax tree of an expression with placeholder values of its variables."""
    anything = dict.fromkeys(("job", "account", "importance", "instance", "workload", "tag", "tag_value"), "x")
    return p.parse(filled_in(expression, anything | values))


def walked(node: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Every node with its ancestors, the parent last."""
    yield node, above
    below = (*above, node)
    for name in ("lhs", "rhs", "expr", "param", "vector_selector"):
        child = getattr(node, name, None)
        if child is not None:
            yield from walked(child, below)
    for child in getattr(node, "args", ()):
        yield from walked(child, below)


def selectors(node: Any) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Every vector selector with its ancestors."""
    return ((each, above) for each, above in walked(node) if isinstance(each, p.VectorSelector))


def summed_twice(node: Any) -> Iterator[str]:
    """The gauges of which a sum would count what two exporters report twice; a quantile of buckets would not."""
    for selector, above in selectors(node):
        sums = next((each for each in reversed(above) if isinstance(each, p.AggregateExpr)), None)
        if sums is None or str(sums.op) != "sum" or selector.name.endswith("_bucket"):
            continue
        by = sums.modifier.labels if sums.modifier is not None else ()
        own = "instance" in by or (selector.name.startswith("datarobot_exporter_") and selector.name.endswith("_total"))
        counted = any(isinstance(each, p.Call) and each.func.name in COUNTING for each in above)
        if not (own or counted or _only_excludes(selector, above)):
            yield str(selector)


def _only_excludes(selector: Any, above: tuple[Any, ...]) -> bool:
    """Whether a selector is on the right side of ``unless``, so that its values do not count."""
    return any(
        isinstance(each, p.BinaryExpr) and str(each.op) == "unless" and str(selector) in str(each.rhs) for each in above
    )


def matchers(selector: Any) -> dict[str, str]:
    """The matchers of a selector: label -> operator and value."""
    return dict(re.findall(r'(\w+)((?:=~|!~|!=|=)"(?:[^"\\]|\\.)*")', str(selector)))


def _inner(node: Any) -> Any:
    while isinstance(node, p.ParenExpr | p.SubqueryExpr | p.UnaryExpr):
        node = node.expr
    return node


def labels(node: Any) -> frozenset[str]:
    """The labels of the series of an expression; `ALL` if none are removed."""
    node = _inner(node)
    if isinstance(node, p.VectorSelector | p.MatrixSelector):
        return ALL
    if isinstance(node, p.AggregateExpr):
        if str(node.op) in ("topk", "bottomk"):
            return labels(node.expr)
        return frozenset(node.modifier.labels) if node.modifier is not None else frozenset()
    if isinstance(node, p.Call):
        series = [labels(argument) for argument in node.args if not isinstance(argument, p.NumberLiteral)]
        return series[-1] - {"le"} if series else frozenset()
    if isinstance(node, p.BinaryExpr):
        left = labels(node.lhs)
        if not left:  # a number, or time()
            return labels(node.rhs)
        modifier: Any = node.modifier
        many = modifier is not None and modifier.card == p.VectorMatchCardinality.ManyToOne
        return left | frozenset(modifier.group_labels or ()) if many else left
    return frozenset()


def unit(node: Any) -> str:
    """time, bytes, ratio, cores, number or rate. Raises ValueError if the units of two operands do not match."""
    node = _inner(node)
    if isinstance(node, p.VectorSelector | p.MatrixSelector):
        selector: Any = getattr(node, "vector_selector", node)
        return UNITS[selector.name]
    if isinstance(node, p.AggregateExpr):
        return "number" if str(node.op) in ("count", "group") else unit(node.expr)
    if isinstance(node, p.Call):
        return _unit_of_call(node)
    if isinstance(node, p.BinaryExpr):
        return _unit_of_both(node)
    return "number"


def _unit_of_call(node: Any) -> str:
    name = node.func.name
    if name == "time":
        return "time"
    if name == "vector":
        return "any"
    inner = node.args[-1] if name == "histogram_quantile" else node.args[0]
    inner_unit = unit(inner)
    if any(selector.name.endswith("_bucket") for selector, _ in selectors(inner)):
        return inner_unit
    return {"time": "cores", "number": "rate"}[inner_unit] if name in ("rate", "irate") else inner_unit


def _unit_of_both(node: Any) -> str:
    sign = str(node.op)
    left, right = unit(node.lhs), unit(node.rhs)
    if sign in ("and", "unless") or sign in ("==", "!=", ">", "<", ">=", "<="):
        return left
    if sign == "*" and isinstance(_inner(node.lhs), p.NumberLiteral):
        return right
    if sign in ("*", "/") and isinstance(_inner(node.rhs), p.NumberLiteral):
        return left
    if sign == "/" and left == right:
        return "ratio"
    if right == "number" and sign in ("*", "/"):
        return left
    if sign == "*" and left == "ratio":
        return right
    if left != right and "any" not in (left, right):
        raise ValueError(f"{left} {sign} {right}")
    return left
