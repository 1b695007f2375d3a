"""``demo``: the daemon with a simulated Workload API."""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path
from urllib.parse import quote

from exporter.cli.context import Context
from exporter.cli.flags import add_run_flags, positive_integer, positive_number
from exporter.cli.own_server import request_with_login
from exporter.cli.replay import run_replay
from exporter.cli.run import run_daemon
from exporter.cli.story import DEFAULT_SPEED, list_stories, play_story
from exporter.cli.web_settings import daemon_address
from exporter.settings.accounts import AccountSettings
from exporter.settings.costs import CostSettings
from exporter.settings.model import Settings
from exporter.settings.objectives import ObjectiveSettings
from exporter.settings.paging import PagingSettings
from exporter.settings.values import DEFAULT_ADDRESS, listen_address
from exporter.simulator import Simulator
from exporter.simulator.stories import STORIES
from exporter.simulator.waste import PRICES, WASTE

NOTE = "Simulation: DataRobot is not contacted, and none of these workloads exist."

_OBJECTIVES = tuple(
    ObjectiveSettings.model_validate(row)
    for row in (
        {"tags": ["team=team-0"], "availability": 0.99, "latency": {"target": 0.95, "faster_than": "2s"}},
        {"tags": ["team=team-1"], "availability": 0.999},
        {"importance": ["critical", "high"], "availability": 0.995, "readiness": 0.99},
    )
)


def add_flags(parser: argparse.ArgumentParser) -> None:
    add_run_flags(parser)
    demo = parser.add_argument_group("simulated fleet")
    demo.add_argument(
        "--demo.workloads", dest="workloads", type=positive_integer, default=60, metavar="N", help="default 60"
    )
    demo.add_argument(
        "--demo.seed", dest="seed", type=int, default=7, metavar="N", help="seed of the random fleet; default 7"
    )
    demo.add_argument(
        "--demo.speed",
        dest="speed",
        type=positive_number,
        metavar="X",
        help="simulate events X times as fast; default 1, with --story 60",
    )
    demo.add_argument(
        "--demo.api-address",
        dest="api_address",
        default="127.0.0.1:0",
        metavar="HOST:PORT",
        help="address of the simulated API; default: a free port of 127.0.0.1",
    )
    demo.add_argument(
        "--story", metavar="NAME", help="play only this story, with a commentary on this terminal, and exit"
    )
    demo.add_argument("--list-stories", action="store_true", help="print the names of the stories, and exit")
    demo.add_argument(
        "--from", dest="recording", type=Path, metavar="FILE", help="a recording in place of the simulated fleet"
    )
    demo.add_argument(
        "--demo.spec", dest="spec", choices=("11.5",), help="respond strictly as in the published API description"
    )


def run(context: Context) -> int:
    options = context.options
    if options.list_stories:
        return list_stories()
    if options.story is not None:
        return play_story(options.story, options.speed or DEFAULT_SPEED)
    if options.recording is not None:
        return run_replay(context, options.recording, options.speed or 1.0)
    settings = context.settings("replaced")
    host, port = listen_address(options.api_address)
    with Simulator(
        workloads=options.workloads,
        seed=options.seed,
        speed=options.speed or 1.0,
        strict=options.spec is not None,
        stories=(*STORIES, *WASTE),
        host=host,
        port=port,
        explained=lambda workload: _explained(context, workload),
    ) as simulator:
        account = AccountSettings.model_validate(
            {"name": "demo", "endpoint": simulator.url, "token": simulator.token, "requests_per_second": 100}
        )

        def simulated() -> Settings:
            # No paging: a simulated workload must not wake anyone.
            paging = PagingSettings.model_validate({})
            given = context.settings("replaced")
            parts: dict[str, object] = {"accounts": (account,), "paging": paging}
            if not given.metrics.tags:
                parts["metrics"] = given.metrics.model_copy(update={"tags": ("team", "env")})
                parts["alerts"] = given.alerts.model_copy(update={"tag_labels": ("team",)})
            if not given.costs.bundles:
                parts["costs"] = CostSettings.model_validate({"bundles": PRICES, "min_history": 0})
            if not given.objectives:
                parts["objectives"] = _OBJECTIVES
            return given.model_copy(update=parts)

        introduction = _introduction(settings, simulator, options.workloads)
        return run_daemon(simulated(), simulated, NOTE, context.settings_files, introduction)


def _introduction(settings: Settings, simulator: Simulator, workloads: int) -> str:
    """Where the simulation is, and commands to try, as lines to paste."""
    address = settings.web.listen_address[0]
    shown = f"127.0.0.1{address}" if address.startswith(":") else address
    there = "" if address == DEFAULT_ADDRESS else f" --web.listen-address={shlex.quote(address)}"
    first = simulator.world.actor(min(1, workloads - 1)).name
    return (
        f"SIMULATION, DataRobot is not contacted: {workloads} workloads, API at {simulator.url}\n"
        f"Open http://{shown}/ or http://{shown}{settings.web.telemetry_path}; stop with Ctrl-C.\n"
        "In another shell:\n"
        f"  workload-exporter top{there}\n"
        f"  workload-exporter waste{there}\n"
        f"  workload-exporter objectives{there}\n"
        f"  DATAROBOT_ENDPOINT={simulator.url} DATAROBOT_API_TOKEN={simulator.token} "
        f"workload-exporter explain {first}\n"
        "  workload-exporter demo --list-stories\n"
        "For the commands of runbooks, in a shell that you close afterwards, because in it `make run` monitors the "
        "simulation:\n"
        f"  export DATAROBOT_ENDPOINT={simulator.url}\n"
        f"  export DATAROBOT_API_TOKEN={simulator.token}"
    )


def _explained(context: Context, workload: str) -> str:
    """What the daemon of the demo shows of a workload, or why it shows nothing."""
    address = daemon_address(context)
    path = f"/workloads/{quote(workload, safe='')}"
    status, body = request_with_login(address.listen, address.tls, path, accept="application/json")
    return str(json.loads(body)["text"]) if status == 200 else body
