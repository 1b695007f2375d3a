"""Prints where the collector belongs."""

from tests.collector import binary

print(binary())
