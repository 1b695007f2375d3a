"""Numbers and lines that tests report, printed at the end of a run."""

numbers: dict[str, int] = {}
lines: list[str] = []
