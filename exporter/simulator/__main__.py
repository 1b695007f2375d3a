"""``python -m exporter.simulator``: serve only the simulated API."""

from __future__ import annotations

import argparse
import sys

from exporter.simulator.api import TOKEN
from exporter.simulator.oddities import ODDITIES
from exporter.simulator.server import Simulator


def main() -> int:
    """Serve until a signal; return 0, or 1 if the address is in use."""
    parser = argparse.ArgumentParser(
        "python -m exporter.simulator",
        description="A simulated Workload API. Each workload of its fleet follows a scripted story.",
        epilog="Oddities for --odd, as NAME or NAME@ROUTE: "
        + "; ".join(f"{name} ({oddity.shows})" for name, oddity in ODDITIES.items()),
    )
    parser.add_argument("--host", default="127.0.0.1", help="default 127.0.0.1")
    parser.add_argument("--port", type=int, default=10143, help="default 10143; 0 selects a free port")
    parser.add_argument("--workloads", type=int, default=50, metavar="N", help="number of workloads, default 50")
    parser.add_argument("--seed", type=int, default=7, metavar="N", help="seed of the fleet, default 7")
    parser.add_argument("--speed", type=float, default=1.0, metavar="X", help="run stories X times as fast, default 1")
    parser.add_argument(
        "--strict", action="store_true", help="respond exactly as the published description 11.5 specifies"
    )
    parser.add_argument("--odd", nargs="*", default=[], metavar="NAME", help="oddities to switch on; see below")
    options = parser.parse_args()
    try:
        simulator = Simulator(
            workloads=options.workloads,
            seed=options.seed,
            speed=options.speed,
            strict=options.strict,
            odd=options.odd,
            host=options.host,
            port=options.port,
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
