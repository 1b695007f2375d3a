"""Validation of the query parameters of /-/silences, and of the lists of workloads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from urllib.parse import parse_qsl

from exporter.diagnosis.fleet_table import ATTENTION, GROUPS, SORTS
from exporter.failures import printable

MAX_LENGTH = 1000
"""Characters of a value: silences are kept for up to a year, and listed all at once."""


def query_problem(parameters: Sequence[tuple[str, str]]) -> str:
    """The problem with the parameters of a silence request (empty: none): each is given once, is not too long, and,
    except for comment, has a value.

    Otherwise ``account=a workload_id=`` of a script with an empty variable would silence a whole account.
    """
    for name, number in Counter(name for name, _ in parameters).items():
        if number > 1:
            return f"{name} is given twice; give one value"
    for name, value in parameters:
        if len(value) > MAX_LENGTH:
            return f"{name} has more than {MAX_LENGTH} characters"
    blank = [name for name, value in parameters if not value and name != "comment"]
    return f"{blank[0]} has no value; give {blank[0]}=VALUE" if blank else ""


_LIST_VALUES: Mapping[str, Collection[str] | None] = {
    "q": None,
    "tag": None,
    "state": (ATTENTION, *GROUPS),
    "sort": tuple(f"{sign}{name}" for name in SORTS for sign in ("", "-")),
    "page": None,
}
"""The parameters of a list, with the values that are possible; None: any."""


def list_problem(query: str) -> str:
    """The problem with the query string of a list of workloads (empty: none).

    A script whose filter is misspelled must not act on all workloads.
    """
    try:
        parameters = parse_qsl(query, keep_blank_values=True, max_num_fields=20)
    except ValueError:
        return "more than 20 parameters"
    for name, value in parameters:
        if name not in _LIST_VALUES:
            return f"unknown parameter {printable(name)[:40]}; use {', '.join(_LIST_VALUES)}"
        possible = _LIST_VALUES[name]
        if possible is not None and value not in possible:
            return f"unknown {name} {printable(value)[:40]}; use one of: {' '.join(possible)}"
        if not value and name != "q":
            return f"{name} has no value; give {name}=VALUE"
    return ""
