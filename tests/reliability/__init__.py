"""Measures what each of many faults costs: docs/reliability.md is made by `python -m tests.reliability --write`."""
