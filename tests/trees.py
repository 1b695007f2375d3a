"""A trace as readable text: one line per span with start, duration and attributes."""

import re

from exporter.tracing.trace import Span, Trace

_HIDDEN = re.compile(r"time\.(start|end)\.|episode\.(kind|key)|\.id$|k8s\.pod\.name|error\.type")


def _short(name: str) -> str:
    return name.removeprefix("datarobot.").removeprefix("workload.")


def _line(span: Span, zero: int, depth: int) -> str:
    attributes = span.attributes
    sources = {attributes.get("datarobot.time.start.source"), attributes.get("datarobot.time.end.source")}
    facts = [f"{_short(name)}={value}" for name, value in attributes.items() if not _HIDDEN.search(name)]
    status = [f"ERROR {attributes.get('error.type', '')}: {span.error}".rstrip(": ")] if span.error is not None else []
    begin, length = (span.start - zero) / 1e9, (span.end - span.start) / 1e9
    words = "; ".join([*status, *facts])
    source = "/".join(str(s) for s in sorted(map(str, sources)))
    return f"{'  ' * depth}{span.name}  +{begin:g} s, {length:g} s, {source}" + (f"  [{words}]" if words else "")


def tree(trace: Trace, zero: int | None = None) -> str:
    """The tree of spans, children in order of their start."""
    begun = trace.spans[0].start if zero is None else zero
    lines: list[str] = []

    def add(span: Span, depth: int) -> None:
        lines.append(_line(span, begun, depth))
        for event in span.events:
            facts = ", ".join(str(value) for name, value in event.attributes.items() if not _HIDDEN.search(name))
            lines.append(f"{'  ' * (depth + 1)}* {_short(event.name)} +{(event.at - begun) / 1e9:g} s: {facts}")
        children = [each for each in trace.spans if each.parent == span.id]
        for child in sorted(children, key=lambda each: each.start):
            add(child, depth + 1)

    add(trace.spans[0], 0)
    return "\n".join(lines)
