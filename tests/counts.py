"""What tests counted, printed at the end of a run."""

told: dict[str, int] = {}
