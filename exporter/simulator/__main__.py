"""``python -m exporter.simulator``: the simulated API alone."""

from __future__ import annotations

import argparse
import sys

from exporter.simulator.oddities import ODDITIES
from exporter.simulator.server import TOKEN, Simulator


def main() -> int:
    """Serve until a signal; return 0, or 1 if the address is in use."""
    parser = argparse.ArgumentParser(
        "python -m exporter.simulator",
        description="A simulated Workload API with a fleet whose workloads tell stories. Nothing in it exists.",
        epilog="Oddities, for --odd NAME or NAME@ROUTE: "
        + "; ".join(f"{name} ({oddity.shows})" for name, oddity in ODDITIES.items()),
    )
    parser.add_argument("--host", default="127.0.0.1", help="default 127.0.0.1")
    parser.add_argument("--port", type=int, default=10143, help="default 10143; 0 takes a free one")
    parser.add_argument("--workloads", type=int, default=50, metavar="N", help="size of the fleet, default 50")
    parser.add_argument("--seed", type=int, default=7, metavar="N", help="another seed, another fleet")
    parser.add_argument("--speed", type=float, default=1.0, metavar="X", help="stories run X times as fast")
    parser.add_argument("--strict", action="store_true", help="answer as the published description 11.5 says")
    parser.add_argument("--odd", nargs="*", default=[], metavar="NAME", help="oddities to switch on, see below")
    told = parser.parse_args()
    try:
        simulator = Simulator(
            workloads=told.workloads,
            seed=told.seed,
            speed=told.speed,
            strict=told.strict,
            odd=told.odd,
            host=told.host,
            port=told.port,
        )
    except ValueError as error:
        parser.error(str(error))
    words = (
        f"A SIMULATION at {simulator.url}\n"
        f"  DATAROBOT_ENDPOINT={simulator.url} DATAROBOT_API_TOKEN={TOKEN} workload-exporter"
    )
    simulator.serve(lambda: print(words, file=sys.stderr, flush=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
