"""All faults, by what is broken."""

from __future__ import annotations

from collections.abc import Mapping

from tests.reliability.fault import Fault
from tests.reliability.faults import (
    api,
    certificates,
    collector,
    files,
    postgresql,
    process,
    receivers,
    responses,
    scrapers,
    state,
)

FAULTS: Mapping[str, tuple[Fault, ...]] = {
    "API": api.FAULTS,
    "Responses of the API": responses.FAULTS,
    "Receivers": receivers.FAULTS,
    "Collector": collector.FAULTS,
    "Scrapers": scrapers.FAULTS,
    "Files and reloads": (*files.FAULTS, *certificates.FAULTS),
    "State, process and clock": state.FAULTS,
    "State in PostgreSQL": postgresql.FAULTS,
    "Real processes": process.FAULTS,
}
