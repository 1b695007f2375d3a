"""The time of an event: its timestamp is only the last update of its record."""

import pytest

from exporter.api.details import Event, dated
from exporter.api.models import timestamp
from exporter.timestamps import rfc3339

CREATED = 1_795_000_000
"""Creation of a workload, whose ids contain their own time."""


@pytest.mark.parametrize(
    ("kind", "at", "number", "dated_at"),
    [
        ("Replacement Errored", 900, 600, 600),
        ("Replacement Completed", None, 600, 600),
        ("Replacement Started", 900, 600, 600),
        ("Replacement Errored", 600, 600, 600),
        ("Replacement Errored", 600, 650, 650),
        ("Scaled", 900, 600, 900),
        ("Replacement Errored", 900, -600, 900),
        ("Replacement Errored", 900, 2000, 900),
        ("Replacement Errored", None, 2000, None),
    ],
    ids=[
        "a cleanup moved it", "no timestamp", "any replacement event", "the same", "an id of another server's clock",
        "not of a replacement", "before the workload", "in the future", "in the future, without a timestamp",
    ],
)  # fmt: skip
def test_an_event_of_a_replacement_is_dated_by_its_id(
    kind: str, at: int | None, number: int, dated_at: int | None
) -> None:
    event = Event(f"{CREATED + number:08x}" + "0" * 16, rfc3339(CREATED + at) if at is not None else None, kind)
    found = dated(event, rfc3339(CREATED), CREATED + 1000.0)
    assert timestamp(found.timestamp) == (None if dated_at is None else CREATED + dated_at)
    assert found is event or found.updated == event.timestamp


@pytest.mark.parametrize("identifier", ["e1", "6afd" * 5, "6afd" * 7, "x" * 24, f"{CREATED + 600:08x}-{'0' * 15}"])
def test_an_id_that_is_no_object_id_dates_nothing(identifier: str) -> None:
    event = Event(identifier, rfc3339(CREATED + 900), "Replacement Errored")
    assert dated(event, rfc3339(CREATED), CREATED + 1000.0) is event
    assert (
        dated(Event(f"{CREATED + 600:08x}" + "0" * 16, None, "Replacement Errored"), None, CREATED + 1e3).updated
        is None
    )
