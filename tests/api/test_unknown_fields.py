"""Which fields of a response are unknown."""

import json
from typing import Any

import pytest

from exporter.api.details import Event
from exporter.api.models import ApiObject, Workload
from exporter.api.pods import Proton
from exporter.api.unknown_fields import unknown_fields


@pytest.mark.parametrize(
    ("kind", "value", "unknown"),
    [
        (Workload, {"id": "w", "name": "n", "placement": {"zone": 1}}, {"placement"}),
        (Workload, {"data": [{"id": "w"}, {"id": "v", "newer": None}], "next": None}, {"newer"}),
        (Workload, {"id": "w", "description": "known, and not read"}, set()),
        (Workload, {"id": "w", "tags": [{"name": "a", "colour": "red"}, 5]}, {"tags[].colour"}),
        (Workload, {"id": "w", "runtime": {"containerGroups": [{"x": 1}]}}, {"runtime.containerGroups[].x"}),
        (Workload, {"id": "w", "runtime": None, "tags": "none"}, set()),
        (Proton, {"id": "p", "deployedImages": {"a name": "an image"}}, set()),
        (Event, {"details": {"protonStatuses": {"5f": {"x": 1}}}}, {"details.protonStatuses{}.x"}),
        (Workload, [{"id": "w", "x": 1}], {"x"}),
        (Workload, 5, set()),
    ],
)
def test_fields_that_no_source_describes_are_unknown(kind: type[ApiObject], value: Any, unknown: set[str]) -> None:
    assert unknown_fields(json.dumps(value).encode(), kind) == unknown


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"id": "\xff"}', b"[" * 100_000])
def test_what_is_not_json_has_no_fields(body: bytes) -> None:
    assert unknown_fields(body, Workload) == frozenset()
