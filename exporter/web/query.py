"""Validation of the query parameters of /-/silences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def query_problem(parameters: Sequence[tuple[str, str]]) -> str:
    """The problem with the parameters of a silence request (empty: none): each is given once, and each except comment
    has a value.

    Otherwise ``account=a workload_id=`` of a script with an empty variable would silence a whole account.
    """
    for name, number in Counter(name for name, _ in parameters).items():
        if number > 1:
            return f"{name} is given twice; give one value"
    blank = [name for name, value in parameters if not value and name != "comment"]
    return f"{blank[0]} has no value; give {blank[0]}=VALUE" if blank else ""
