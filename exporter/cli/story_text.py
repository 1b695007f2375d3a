"""The commentary on a story as text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Literal, NamedTuple

from exporter.diagnosis.fleet_table import Row
from exporter.simulator.stories import SimulatedPods, StoryStep

COLUMNS, INDENT = 80, 18
Who = Literal["fleet", "exporter", "page", "play"]


class Said(NamedTuple):
    """A part of the commentary: seconds since the beginning, what it is about, a text, and titled texts about it."""

    at: float
    who: Who
    text: str
    more: tuple[tuple[str, str], ...] = ()


def lines(said: Said) -> Iterator[str]:
    """A part of the commentary in lines of 80 characters, with its time in minutes and seconds."""
    minutes, seconds = divmod(int(said.at), 60)
    head = f"{minutes:3}:{seconds:02}  {'PAGE' if said.who == 'page' else said.who:8}  "
    yield from _wrapped(said.text, head, INDENT)
    for title, text in said.more:
        yield from _wrapped(text, f"{' ' * INDENT}{title}: ", INDENT + 2)


def _wrapped(text: str, head: str, indent: int) -> list[str]:
    return textwrap.wrap(text, COLUMNS, initial_indent=head, subsequent_indent=" " * indent, break_on_hyphens=False)


def observed(found: Row) -> str:
    """A row of the fleet table as text."""
    wanted = "?" if found.least is None or found.most is None else f"{found.least}"
    if found.least != found.most and wanted != "?":
        wanted += f" to {found.most}"
    ready = "readiness not known" if found.ready is None else f"{found.ready} of {wanted} ready"
    return "; ".join([f"status {found.status}, {ready}", *found.reasons])


def happened(before: StoryStep | None, step: StoryStep) -> Iterator[str]:
    """What a step of a story changes."""
    if not step.listed:
        yield "it is no longer shared with the user of the token" if step.hidden else "the workload does not exist"
        return
    if before is not None and not before.listed:
        before = None
    if before is None or (before.status, before.pods) != (step.status, step.pods):
        yield f"status {step.status}; pods: {_pods(step.pods)}"
    yield from _versions(before, step)
    if step.event and (before is None or (before.event, before.message) != (step.event, step.message)):
        yield f"event {step.event}" + (f": {step.message}" if step.message else "")
    yield from _conditions(before, step)


def _versions(before: StoryStep | None, step: StoryStep) -> Iterator[str]:
    """What changes about the versions of the workload."""
    if step.candidate is not None and (before is None or before.candidate != step.candidate):
        status, pods = step.candidate
        yield f"a new version is {status}; its pods: {_pods(pods)}"
    if before is not None and step.proton > before.proton:
        yield "the new version serves" if before.candidate is not None else "its version is a new one"
    elif before is not None and before.candidate is not None and step.candidate is None:
        yield "the new version is gone"
    if step.outgoing and (before is None or before.outgoing != step.outgoing):
        yield f"the other version is {step.outgoing}"


def _conditions(before: StoryStep | None, step: StoryStep) -> Iterator[str]:
    """What changes about requests, importance, and responses of the API."""
    if step.server_errors is not None and (before is None or before.server_errors != step.server_errors):
        yield f"{100 * step.server_errors:.3g} % of responses are server errors (5xx)"
    if before is not None and before.load != step.load:
        yield f"its load is {step.load:g} times the usual one"
    if before is not None and before.importance != step.importance:
        yield f"its importance is {step.importance or 'that of the story'}"
    if step.odd and (before is None or before.odd != step.odd):
        yield f"the API responds unusually: {', '.join(step.odd)}"


def _pods(pods: SimulatedPods | None) -> str:
    if pods is None:
        return "not reported yet"
    if pods.live == 0:
        return "none"
    ready = {True: "ready", False: "not ready", None: "readiness not reported"}[pods.ready]
    parts = [pods.reason or ready, *([] if pods.scheduled else ["not scheduled"])]
    parts += [pods.message] if pods.message else []
    parts += [f"last exit {pods.last[0]} ({pods.last[1]})"] if pods.last is not None else []
    return ", ".join(parts) + (f" ({pods.only} of them)" if pods.only is not None else "")
