"""The command line; the only module that knows all others."""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlencode

import uvloop

from exporter import __revision__, __version__
from exporter.api.decoding import NotDecodable
from exporter.cli.explain import NotFound, explained
from exporter.cli.probe import alive, asked, check_online, check_traces, client_of, fleet_size, plan_lines
from exporter.cli.process import no_core_files
from exporter.collect.client import ApiError
from exporter.daemon.daemon import Daemon
from exporter.daemon.memory import limit_fragmentation
from exporter.daemon.once import sweep_once
from exporter.diagnosis.diagnosis import Diagnosis
from exporter.diagnosis.wording import as_json, text
from exporter.docs import PAGES, RULES_FORMS, files, rules_page
from exporter.paging.notify import notifiers
from exporter.paging.notify.trial import test_page
from exporter.redaction import Secrets
from exporter.settings.accounts import AccountSettings
from exporter.settings.loader import load
from exporter.settings.model import Settings
from exporter.settings.paging import PagingSettings
from exporter.settings.problems import BadSettings, Problem
from exporter.settings.receivers import SEVERITIES
from exporter.settings.values import listen_address, nearest, seconds
from exporter.simulator import Simulator
from exporter.state.store import StateError, Store
from exporter.telemetry.standard_error import clean_errors
from exporter.web.query import query_problem
from exporter.web.web_config import read_web_config

DESCRIPTION = """\
Prometheus metrics for the workloads you run on DataRobot. Reads the Workload API with GET and nothing else.

  workload-exporter demo        a simulated fleet, no account needed: look at http://127.0.0.1:10142/
  workload-exporter             sweep and serve; DATAROBOT_ENDPOINT and DATAROBOT_API_TOKEN are enough
  workload-exporter check       say all that is wrong with the settings, and start nothing
"""
COMMANDS = {
    "run": "sweep the accounts and serve their metrics (default)",
    "demo": "run against a simulated DataRobot with a living fleet; needs no account",
    "check": "list every problem of the settings; with --online ask the API for each route, and the collector",
    "once": "make one complete sweep, print the metrics, exit 0; exit 1 with the reason otherwise",
    "explain": "say what is wrong with one workload, why, and what to do next; asks the API, no daemon needed",
    "plan": "say how many API calls a minute these settings make",
    "notify": "send a receiver a page that says that it is a test, end it, and print what came back",
    "healthcheck": "ask the running daemon for /-/healthy; exit 0 when it is",
    "silence": "list, add or end silences of the running daemon's own paging",
    "rules": "print the alert rules for Prometheus or its operator",
    "docs": "print the reference of metrics, settings or alerts, as in docs/",
}
EXITS = "Exit status: 0 done, 1 it failed (the reason is on standard error), 2 bad settings or usage."


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "workload-exporter",
        description=DESCRIPTION,
        epilog=EXITS + " `workload-exporter COMMAND --help` shows the flags of a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"workload-exporter {__version__} ({__revision__})")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name, words in COMMANDS.items():
        command = commands.add_parser(name, help=words, description=words[0].upper() + words[1:] + ".", epilog=EXITS)
        _FLAGS[name](command)
    return parser


def _settings_flags(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--config.file", dest="config_file", type=Path, metavar="FILE", help="settings in YAML; see docs/settings.md"
    )
    log = command.add_argument_group("logging")
    log.add_argument("--log.level", dest="log.level", metavar="LEVEL", help="debug, info (default), warn or error")
    log.add_argument("--log.format", dest="log.format", metavar="FORMAT", help="auto (default), logfmt or json")


def _web_flags(command: argparse.ArgumentParser) -> None:
    _settings_flags(command)
    web = command.add_argument_group("serving")
    web.add_argument(
        "--web.listen-address",
        dest="web.listen_address",
        action="append",
        metavar="HOST:PORT",
        help="default 127.0.0.1:10142; :PORT listens on all addresses; may be given several times",
    )
    web.add_argument("--web.telemetry-path", dest="web.telemetry_path", metavar="PATH", help="default /metrics")
    web.add_argument(
        "--web.config.file",
        dest="web.config_file",
        metavar="FILE",
        help="TLS and basic auth, in the format of the Prometheus exporter-toolkit",
    )


def _run_flags(command: argparse.ArgumentParser) -> None:
    _web_flags(command)
    command.add_argument(
        "--state.path", dest="state.path", metavar="FILE", help="where totals and times are kept across restarts"
    )
    command.add_argument(
        "--shard", dest="select.shard", metavar="I/N", help="of N exporters, this is number I, counted from 0"
    )


def _demo_flags(command: argparse.ArgumentParser) -> None:
    _run_flags(command)
    demo = command.add_argument_group("the simulated fleet")
    demo.add_argument(
        "--demo.workloads", dest="workloads", type=_at_least_one, default=50, metavar="N", help="default 50"
    )
    demo.add_argument("--demo.seed", dest="seed", type=int, default=7, metavar="N", help="another seed, another fleet")
    demo.add_argument(
        "--demo.speed", dest="speed", type=_positive, default=1.0, metavar="X", help="stories run X times as fast"
    )
    demo.add_argument(
        "--demo.api-address",
        dest="api_address",
        default="127.0.0.1:0",
        metavar="HOST:PORT",
        help="where the simulated API listens; default: a free port of 127.0.0.1",
    )
    demo.add_argument(
        "--demo.spec", dest="spec", choices=("11.5",), help="answer strictly as the published API description says"
    )


def _check_flags(command: argparse.ArgumentParser) -> None:
    _web_flags(command)
    command.add_argument(
        "--online", action="store_true", help="also ask the API: the token, each route, each right; and the collector"
    )


def _explain_flags(command: argparse.ArgumentParser) -> None:
    _settings_flags(command)
    command.add_argument("workload", metavar="WORKLOAD", help="its id or its name")
    command.add_argument("--account", metavar="NAME", help="look in this account alone; default: in all")
    command.add_argument("--json", action="store_true", help="for scripts: keys stay, times are RFC 3339")
    command.add_argument(
        "--log-lines", type=int, choices=range(1, 101), default=0, metavar="N", help="also the last lines of its log"
    )
    command.epilog = (
        f"{EXITS} Also: 3 something holds that is a ticket (warning), 4 something that wakes (critical), 5 neither, "
        "but whether the workload is well is not known: its pods could not be read, or the API does not report them."
    )


def _plan_flags(command: argparse.ArgumentParser) -> None:
    _settings_flags(command)
    command.add_argument(
        "--workloads", type=_at_least_one, metavar="N", help="size of the fleet; without it the API is asked"
    )


def _silence_flags(command: argparse.ArgumentParser) -> None:
    _web_flags(command)
    command.add_argument("what", choices=("list", "add", "end"), help="`end` takes the id that `list` shows")
    command.add_argument("which", nargs="*", metavar="LABEL=VALUE | ID", help="such as workload_id=… or alertname=…")
    command.add_argument("--for", dest="length", default="", metavar="DURATION", help="such as 2h; needed to add one")
    command.add_argument("--author", default=os.environ.get("USER", ""), metavar="NAME", help="default: $USER")
    command.add_argument("--comment", default="", metavar="TEXT", help="why, for others")


def _notify_flags(command: argparse.ArgumentParser) -> None:
    _settings_flags(command)
    command.add_argument("action", choices=("test",), help="the one thing to do")
    command.add_argument("receiver", metavar="RECEIVER", help="name of a receiver in paging.receivers")
    command.add_argument(
        "--hold",
        type=_duration,
        default=5.0,
        metavar="TIME",
        help="how long the page stays open, default 5s; Alertmanager tells nobody what ends within its group_wait",
    )


def _rules_flags(command: argparse.ArgumentParser) -> None:
    _settings_flags(command)
    rules = command.add_argument_group("the rules; alerts.* of the settings say more")
    rules.add_argument("--format", choices=RULES_FORMS, default="prometheus", help="default prometheus")
    rules.add_argument("--alerts.selector", dest="alerts.selector", metavar="MATCHERS", help='default job="datarobot"')
    rules.add_argument(
        "--alerts.runbook-url", dest="alerts.runbook_url", metavar="URL", help="what stands before NAME.md"
    )
    rules.add_argument("--alerts.dashboard-url", dest="alerts.dashboard_url", metavar="URL", help="base URL of Grafana")
    rules.add_argument("--alerts.console-url", dest="alerts.console_url", metavar="URL", help="base URL of DataRobot")
    rules.add_argument(
        "--alerts.trace-url", dest="alerts.trace_url", metavar="URL", help="finds the traces of {workload_id}"
    )


def _docs_flags(command: argparse.ArgumentParser) -> None:
    command.add_argument("page", choices=sorted(PAGES), nargs="?", help="print this page")
    command.add_argument("--write", metavar="FOLDER", type=Path, help="write all files that are made, in a repository")


_FLAGS: dict[str, Callable[[argparse.ArgumentParser], None]] = {
    "run": _run_flags,
    "demo": _demo_flags,
    "check": _check_flags,
    "once": _settings_flags,
    "explain": _explain_flags,
    "plan": _plan_flags,
    "notify": _notify_flags,
    "healthcheck": _web_flags,
    "silence": _silence_flags,
    "rules": _rules_flags,
    "docs": _docs_flags,
}


def _at_least_one(given: str) -> int:
    if not given.isdecimal() or int(given) < 1:
        raise argparse.ArgumentTypeError(f"{given!r} is no number from 1 on")
    return int(given)


def _duration(given: str) -> float:
    try:
        return float(str(seconds(given)))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _positive(given: str) -> float:
    try:
        number = float(given)
    except ValueError:
        number = 0.0
    if not 0 < number < 1e6:
        raise argparse.ArgumentTypeError(f"{given!r} is no number above 0")
    return number


Accounts = Literal["needed", "planned", "replaced"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status: 0 done, 1 failed, 2 bad settings or usage."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or (given[0].startswith("-") and given[0] not in ("-h", "--help", "--version")):
        given.insert(0, "run")
    told = _parser().parse_args(given)
    if told.command == "docs":
        return _docs(told)
    flags: dict[str, Any] = {place: value for place, value in vars(told).items() if "." in place and value is not None}
    planned = told.command == "plan" and told.workloads
    accounts: Accounts = (
        "planned"
        if planned
        else "replaced"
        if told.command in ("demo", "healthcheck", "silence", "rules")
        else "needed"
    )

    def read() -> Settings:
        return load(told.config_file, os.environ, flags, accounts)

    no_core_files()
    secrets = Secrets()
    try:
        settings = read()
        secrets.follow(settings.secrets())
        with clean_errors(secrets.text):
            return _COMMANDS[told.command](told, settings, read)
    except BadSettings as error:
        for problem in error.problems:
            print(f"workload-exporter: {problem}", file=sys.stderr)
        if told.command == "run":
            print("workload-exporter: to see it work without an account: workload-exporter demo", file=sys.stderr)
        return 2
    except StateError as error:
        print(f"workload-exporter: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"workload-exporter: {secrets.text(error.strerror or str(error))}", file=sys.stderr)
        return 1
    except Exception:  # noqa: BLE001 — it ends the process as it would anyway, but its words may hold a secret
        sys.stderr.write(secrets.text(traceback.format_exc()))
        return 1


def _docs(told: argparse.Namespace) -> int:
    if told.write is not None:
        for place, text in files((told.write / "README.md").read_text()).items():
            (told.write / place).parent.mkdir(parents=True, exist_ok=True)
            (told.write / place).write_text(text)
    for page in [told.page] if told.page else () if told.write else sorted(PAGES):
        sys.stdout.write(PAGES[page]())
    return 0


Read = Callable[[], Settings]


def _run(_: argparse.Namespace, settings: Settings, read: Read, note: str = "") -> int:
    async def run() -> None:
        daemon = Daemon(settings, read, store=store, note=note)
        daemon.log_to(settings)
        if store.aside is not None:
            print(f"workload-exporter: the state could not be used and is now {store.aside}", file=sys.stderr)
        await daemon.run()

    store = Store(settings.state.path, set_aside=settings.state.on_trouble == "set_aside")
    limit_fragmentation()
    uvloop.run(run())
    return 0


def _demo(told: argparse.Namespace, settings: Settings, read: Read) -> int:
    host, port = listen_address(told.api_address)
    with Simulator(
        workloads=told.workloads, seed=told.seed, speed=told.speed, strict=told.spec is not None, host=host, port=port
    ) as simulator:
        account = AccountSettings.model_validate(
            {"name": "demo", "endpoint": simulator.url, "token": simulator.token, "requests_per_second": 100}
        )

        def simulated() -> Settings:
            # Nobody is to be woken for a workload that does not exist.
            return read().model_copy(update={"accounts": (account,), "paging": PagingSettings.model_validate({})})

        address = settings.web.listen_address[0]
        shown = f"127.0.0.1{address}" if address.startswith(":") else address
        print(
            f"A SIMULATION, no DataRobot is asked: {told.workloads} workloads that tell stories, at {simulator.url}\n"
            f"Look at http://{shown}/ and http://{shown}{settings.web.telemetry_path}; Ctrl-C ends it.",
            file=sys.stderr,
        )
        return _run(told, simulated(), simulated, "A simulation: no DataRobot is asked, and no workload here exists.")


def _check(told: argparse.Namespace, settings: Settings, read: Read) -> int:
    asyncio.run(Daemon(settings, read).check())
    for account in settings.accounts:
        print(f"settings are good: account {account.name} at {account.endpoint}")
    traces = settings.traces
    if traces.endpoint:
        print(f"settings are good: traces to {traces.endpoint} by {traces.protocol}")
    for receiver in settings.paging.receivers:
        severities = ", ".join(name for name in SEVERITIES if name in receiver.wants().severities)
        unused = "" if settings.paging.who != "rules" else "; not told, as paging.who is rules"
        print(f"settings are good: receiver {receiver.name} by {receiver.kind}: {severities}{unused}")
    if not told.online:
        print("the API was not asked; --online does")
        return 0
    secrets = Secrets(settings.secrets())

    async def ask() -> bool:
        good = True
        for account in settings.accounts:
            async for finding in check_online(account, secrets):
                print(finding.text, flush=True)
                good = good and finding.good
        return good

    good = asyncio.run(ask())
    if traces.endpoint:
        finding = check_traces(traces, secrets)
        print(f"traces: {traces.endpoint}\n{finding.text}")
        good = good and finding.good
    return 0 if good else 1


def _once(_: argparse.Namespace, settings: Settings, read: Read) -> int:
    async def once() -> tuple[bytes, str]:
        daemon = Daemon(settings, read)
        daemon.log_to(settings)
        return await sweep_once(daemon)

    page, failures = asyncio.run(once())
    sys.stdout.buffer.write(page)
    sys.stdout.buffer.flush()
    if failures:
        print(f"workload-exporter: the sweep was not complete: {failures}", file=sys.stderr)
    return 1 if failures else 0


def _explain(told: argparse.Namespace, settings: Settings, _: Read) -> int:
    accounts = [account for account in settings.accounts if told.account in (None, account.name)]
    if not accounts:
        names = ", ".join(account.name for account in settings.accounts)
        print(f"workload-exporter: no account is called {told.account}; there are: {names}", file=sys.stderr)
        return 2

    plain = bool(os.environ.get("NO_COLOR"))
    secrets = Secrets(settings.secrets())

    def progress(words: str) -> None:
        if sys.stderr.isatty():
            print(f"{words} ..." if plain else f"\x1b[2m{words} ...\x1b[0m", file=sys.stderr)

    async def ask() -> Diagnosis:
        async with AsyncExitStack() as stack:
            clients = [(each, await stack.enter_async_context(client_of(each, secrets))) for each in accounts]
            slow = settings.detail.slow_requests
            options, lines = settings.alerts.options, told.log_lines
            return await explained(clients, told.workload, options, slow, progress, log_lines=lines)

    try:
        found = asyncio.run(ask())
    except NotFound as error:
        for line in str(error).splitlines():
            print(f"workload-exporter: {line}", file=sys.stderr)
        return 1
    if told.json:
        print(json.dumps(as_json(found), indent=2))
    else:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # a name need not be in the terminal's alphabet
        sys.stdout.write(text(found, colour=sys.stdout.isatty() and not plain))
    return {"critical": 4, "warning": 3}.get(found.severity, 0 if found.facts.known else 5)


def _plan(told: argparse.Namespace, settings: Settings, _: Read) -> int:
    for account in settings.accounts:
        try:
            size = told.workloads or asyncio.run(fleet_size(account, Secrets(settings.secrets())))
        except (ApiError, NotDecodable) as error:
            print(f"workload-exporter: the size of the fleet is not known: {error}; give --workloads", file=sys.stderr)
            return 1
        print("\n".join(plan_lines(settings, account, size)))
    return 0


def _notify(told: argparse.Namespace, settings: Settings, _: Read) -> int:
    receivers = {receiver.name: receiver for receiver in settings.paging.receivers}
    if told.receiver not in receivers:
        what = f"no receiver is called {told.receiver!r}{nearest(told.receiver, receivers)}"
        raise BadSettings([Problem("paging.receivers", what)])
    label = settings.alerts.severity_label
    secrets = Secrets(settings.secrets())

    async def ask() -> bool:
        good = True
        async for sent in test_page(notifiers(receivers[told.receiver], label, secrets), label, told.hold):
            print(sent, flush=True)
            good = good and sent.good
        return good

    return 0 if asyncio.run(ask()) else 1


def _tls(settings: Settings) -> bool:
    file = settings.web.config_file
    return file is not None and read_web_config(file).tls_server_config is not None


def _healthcheck(_: argparse.Namespace, settings: Settings, __: Read) -> int:
    why = alive(settings.web.listen_address[0], _tls(settings))
    if why:
        print(f"workload-exporter: {why}", file=sys.stderr)
    return 1 if why else 0


def _silence(told: argparse.Namespace, settings: Settings, _: Read) -> int:
    pairs = [each.partition("=") for each in told.which]
    if told.what == "add" and not (pairs and all(sign for _, sign, _ in pairs) and told.length and told.author):
        print("workload-exporter: give LABEL=VALUE, --for DURATION and --author NAME", file=sys.stderr)
        return 2
    if told.what == "end" and len(told.which) != 1:
        print("workload-exporter: give the one id that `silence list` shows", file=sys.stderr)
        return 2
    labels = [(name, value) for name, _, value in pairs]
    params = {
        "list": [],
        "add": [*labels, ("for", told.length), ("author", told.author), ("comment", told.comment)],
        "end": [("id", "".join(told.which))],
    }[told.what]
    if told.what != "list" and (wrong := query_problem(params)):
        print(f"workload-exporter: {wrong}", file=sys.stderr)
        return 2
    path = "/-/silences" + (f"?{urlencode(params)}" if params else "")
    method = {"list": "GET", "add": "POST", "end": "DELETE"}[told.what]
    login = os.environ.get("WORKLOAD_EXPORTER_LOGIN", "")
    status, words = asked(settings.web.listen_address[0], _tls(settings), path, method=method, login=login)
    if status != 200:
        hint = "; its USER:PASSWORD goes into WORKLOAD_EXPORTER_LOGIN" if status == 401 else ""
        print(f"workload-exporter: {words}{hint}", file=sys.stderr)
        return 1
    for each in json.loads(words):
        who = " ".join(f"{name}={value}" for name, value in each["matchers"].items())
        print(f"{each['id']}  until {each['ends']}  {who}  ({each['author']}: {each['comment'] or 'no comment'})")
    return 0


def _rules(told: argparse.Namespace, settings: Settings, _: Read) -> int:
    sys.stdout.write(rules_page(settings.alerts.options, told.format))
    return 0


_COMMANDS: dict[str, Callable[[argparse.Namespace, Settings, Read], int]] = {
    "run": _run,
    "silence": _silence,
    "demo": _demo,
    "check": _check,
    "once": _once,
    "explain": _explain,
    "plan": _plan,
    "notify": _notify,
    "healthcheck": _healthcheck,
    "rules": _rules,
}


if __name__ == "__main__":
    sys.exit(main())
