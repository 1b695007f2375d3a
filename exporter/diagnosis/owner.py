"""The owner of a workload, from the tags that the setting `alerts.owner_tags` names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from exporter.api import models
from exporter.fleet.workload_state import WorkloadState

MAX_OWNER_CHARACTERS = 120
"""Characters of all owners of a workload together."""


def owner(state: WorkloadState, names: Iterable[str]) -> str:
    """The values of these tags, in this order; empty if the workload has none of them.

    They are not masked: the settings choose these tags, and an owner may be an e-mail address.
    """
    wanted = [models.folded(name) for name in names]
    tags = [(models.folded(tag.name), printable(tag.value or "").strip()) for tag in state.workload.tags or ()]
    values = dict.fromkeys(value for name in wanted for tag, value in tags if tag == name and value)
    text = ", ".join(values)
    return text if len(text) <= MAX_OWNER_CHARACTERS else text[: MAX_OWNER_CHARACTERS - 4].rstrip() + " ..."


def owner_text(state: WorkloadState, names: Sequence[str]) -> str:
    """The owner for a page, or why it is unknown; empty if the settings name no tags."""
    if not names:
        return ""
    return owner(state, names) or f"unknown: it has no tag {' or '.join(names)}"


def printable(text: str) -> str:
    """The text without control and formatting characters, at most 256 characters."""
    return "".join(each if each.isprintable() else " " for each in text)[:256]
