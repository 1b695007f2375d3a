"""Validation of the query parameters of /-/silences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

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
