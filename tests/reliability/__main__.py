"""``python -m tests.reliability [--write] [--only TEXT] [--processes N]``: measures the rows and prints the table."""

from __future__ import annotations

import argparse
import os
import sys

from tests.reliability.outcome import Outcome
from tests.reliability.run import BY_NAME, all_measured
from tests.reliability.table import line, row, short_of, write


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.reliability", description="Measures what faults cost.")
    parser.add_argument("--write", action="store_true", help="write docs/reliability.md")
    parser.add_argument("--only", nargs="*", default=[""], help="only rows whose names contain one of these texts")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="number of runs at once")
    options = parser.parse_args()
    if options.write and options.only != [""]:
        parser.error("--write needs all rows")
    names = [name for name in BY_NAME if any(text.casefold() in name.casefold() for text in options.only)]
    outcomes: dict[str, Outcome] = {}
    bad = 0
    for number, (name, result) in enumerate(all_measured(names, options.processes), 1):
        if isinstance(result, str):
            print(f"{number}/{len(names)} {name}: FAILED\n{result}", flush=True)
            bad += 1
            continue
        outcomes[name] = result
        problems = short_of(BY_NAME[name], result)
        bad += bool(problems)
        print(f"{number}/{len(names)} {line(row(BY_NAME[name], result))}", flush=True)
        for problem in problems:
            print(f"    falls short: {problem}", flush=True)
    if options.write and len(outcomes) == len(names):
        write({name: row(BY_NAME[name], each) for name, each in outcomes.items()})
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
