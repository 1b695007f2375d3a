"""Samples of a page in the text format, read by prometheus_client's parser."""

from collections.abc import Iterable
from functools import lru_cache

from prometheus_client.parser import text_string_to_metric_families

Series = tuple[str, frozenset[tuple[str, str]]]


def samples(lines: Iterable[str]) -> dict[Series, float]:
    """The value of each series; lines that begin with # have none."""
    read = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
    return {_series(series): float(value) for series, _, value in read}


@lru_cache(100_000)
def _series(text: str) -> Series:
    """Name and labels. Pages contain mostly the same ones, and the parser takes 0.2 ms for each."""
    ((sample,),) = (family.samples for family in text_string_to_metric_families(f"{text} 0\n"))
    return sample.name, frozenset(sample.labels.items())
