"""``init``: writes a settings file from a few answers, after it has tested them."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from getpass import getpass
from pathlib import Path
from typing import NamedTuple, get_args

from exporter.cli.check import check_online
from exporter.cli.context import Context
from exporter.errors import ExporterError
from exporter.paging.notify import notifiers
from exporter.paging.notify.trial import test_page
from exporter.redaction import Secrets
from exporter.settings.loader import load
from exporter.settings.model import Settings
from exporter.settings.problems import BadSettings, Problem
from exporter.settings.receivers import RECEIVERS
from exporter.settings.values import DEFAULT_ENDPOINT, base_url, http_url, nearest

FILE = "workload-exporter.yaml"
HOLD_SECONDS = 1.0
"""Time until a test notification is resolved."""
KINDS = {str(get_args(each.model_fields["kind"].annotation)[0]): each for each in RECEIVERS}
"""Settings of receivers by kind."""


class GivenReceiver(NamedTuple):
    """A receiver: its kind, the setting that says where it is, and its value: a file for a secret, otherwise a URL."""

    kind: str
    setting: str
    value: str


class Answers(NamedTuple):
    """What the settings are made of. `secrets`: files that do not exist yet, and what they will contain."""

    endpoint: str
    token_file: Path
    receivers: tuple[GivenReceiver, ...]
    secrets: dict[Path, str]


class Questions:
    """Reads values from a terminal: visibly, or hidden for secrets."""

    def __init__(self, visible: Callable[[str], str] = input, hidden: Callable[[str], str] = getpass) -> None:
        self._visible, self._hidden = visible, hidden

    def value(self, question: str, default: str, valid: Callable[[str], object] = str) -> str:
        """An answer that `valid` accepts, or the default. Repeats the question after a ValueError."""
        while True:
            given = self._visible(f"{question} [{default}]: ").strip() or default
            try:
                valid(given)
            except ValueError as error:
                print(f"  {error}")
            else:
                return given

    def secret(self, question: str) -> str:
        """A secret that is not empty."""
        while not (given := self._hidden(f"{question}: ").strip()):
            pass
        return given

    def confirmed(self, question: str) -> bool:
        """Whether the answer is yes."""
        return self._visible(f"{question} [y/N]: ").strip().lower() in ("y", "yes")


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="?", type=Path, default=Path(FILE), metavar="FILE", help=f"default {FILE}")
    parser.add_argument("--endpoint", metavar="URL", help=f"URL of DataRobot; default {DEFAULT_ENDPOINT}")
    parser.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="file with the API token; if it does not exist, it is written, with DATAROBOT_API_TOKEN",
    )
    parser.add_argument(
        "--receiver",
        type=receiver,
        action="append",
        metavar="KIND=VALUE",
        help=f"a receiver of notifications: {_kinds()}; may be repeated",
    )
    parser.add_argument(
        "--offline",
        action="store_true",
        help="test neither the API nor the receivers, which otherwise get a test notification that is resolved at once",
    )
    parser.add_argument("--force", action="store_true", help="replace an existing settings file")


def _kinds() -> str:
    return ", ".join(f"{kind}={'URL' if _setting(kind) == 'urls' else 'FILE'}" for kind in KINDS)


def _setting(kind: str) -> str:
    """The setting that says where a receiver is: the file of its secret, or the URLs of Alertmanagers."""
    required = KINDS[kind].required_secrets()
    return f"{required[0]}_file" if required else "urls"


def receiver(given: str) -> GivenReceiver:
    """A receiver such as ``slack=FILE``. Raises argparse.ArgumentTypeError."""
    kind, _, value = given.partition("=")
    if kind not in KINDS:
        raise argparse.ArgumentTypeError(f"no kind of receiver is called {kind!r}{nearest(kind, KINDS)}")
    if not value:
        raise argparse.ArgumentTypeError(f"{kind} needs a value; one of: {_kinds()}")
    setting = _setting(kind)
    return GivenReceiver(kind, setting, value if setting == "urls" else str(Path(value).absolute()))


def run(context: Context) -> int:
    options, file = context.options, context.options.file.absolute()
    if file.exists() and not options.force:
        raise ExporterError(f"{file} exists; name another file, or replace it with --force")
    terminal = Questions() if sys.stdin.isatty() else None
    try:
        answers = answers_of(options, file.parent, terminal) if terminal else _given(options, file.parent)
        return _written(answers, file, context.secrets, terminal, offline=options.offline)
    except EOFError:
        raise ExporterError("nothing was written, because the input has ended") from None
    except OSError as error:
        raise ExporterError(f"{error.filename or file} cannot be written: {error.strerror}") from error


def _given(options: argparse.Namespace, folder: Path) -> Answers:
    """What flags and environment contain. Raises `BadSettings` without a token."""
    token_file, secrets = _token_file(options, folder), {}
    if not token_file.exists():
        token = os.environ.get("DATAROBOT_API_TOKEN", "").strip()
        if not token:
            what = f"{token_file} does not exist, and DATAROBOT_API_TOKEN, to write it with, is not set"
            raise BadSettings([Problem("--token-file", what)])
        secrets[token_file] = token
    return Answers(_endpoint(options), token_file, tuple(options.receiver or ()), secrets)


def _endpoint(options: argparse.Namespace) -> str:
    return options.endpoint or os.environ.get("DATAROBOT_ENDPOINT") or DEFAULT_ENDPOINT


def _token_file(options: argparse.Namespace, folder: Path) -> Path:
    given = options.token_file or os.environ.get("DATAROBOT_API_TOKEN_FILE")
    return Path(given).absolute() if given else folder / "datarobot-token"


def answers_of(options: argparse.Namespace, folder: Path, terminal: Questions) -> Answers:
    """What flags contain, and for the rest the answers to questions."""
    secrets: dict[Path, str] = {}
    endpoint = options.endpoint or terminal.value("URL of DataRobot", _endpoint(options), base_url)
    token_file = _token_file(options, folder)
    if options.token_file is None:
        token_file = Path(terminal.value("File with the API token", str(token_file))).expanduser().absolute()
    if not token_file.exists():
        secrets[token_file] = terminal.secret(f"{token_file} does not exist and will be written. API token, hidden")
    receivers = list(options.receiver or ())
    while options.receiver is None:
        taken = f"{len(receivers)} so far; " if receivers else ""
        kind = terminal.value(f"GivenReceiver of notifications ({taken}{', '.join(KINDS)}, none)", "none", _kind)
        if kind == "none":
            break
        setting = _setting(kind)
        if setting == "urls":
            value = terminal.value("  URL", "http://127.0.0.1:9093", _alertmanager)
        else:
            name = setting.removesuffix("_file")
            value = terminal.value(f"  File with the {name}", str(folder / f"{kind}-{name.replace('_', '-')}"))
            path = Path(value).expanduser().absolute()
            if not path.exists():
                secrets[path] = terminal.secret(f"  {path} does not exist and will be written. {name}, hidden")
            value = str(path)
        receivers.append(GivenReceiver(kind, setting, value))
    return Answers(endpoint, token_file, tuple(receivers), secrets)


def _alertmanager(given: str) -> None:
    http_url(given, "http://alertmanager:9093", "set secrets with headers")


def _kind(given: str) -> None:
    if given not in (*KINDS, "none"):
        raise ValueError(f"no kind of receiver is called {given!r}{nearest(given, KINDS)}")


def _written(answers: Answers, file: Path, secrets: Secrets, terminal: Questions | None, *, offline: bool) -> int:
    """Write secrets and settings, if the tests succeed or the user wants it all the same; otherwise leave nothing."""
    with ExitStack() as undo:
        for path, secret in answers.secrets.items():
            _create(path, secret + "\n", undo)
        draft = file.with_name(f".{file.name}.{os.getpid()}")
        _create(draft, "\n".join(lines(answers, file)) + "\n", undo, 0o644)
        try:
            settings = load(draft, os.environ)
        except BadSettings as error:
            raise BadSettings([each._replace(line=None) for each in error.problems]) from None
        secrets.follow(settings.secrets())
        if not offline and not asyncio.run(_tested(settings, secrets)):
            if terminal is None:
                raise ExporterError("nothing was written, because a test failed; --offline writes without tests")
            if not terminal.confirmed("A test failed. Write the settings all the same?"):
                return 1
        draft.replace(file)
        undo.pop_all()
    for path in answers.secrets:
        print(f"{path} was written; only you can read it.")
    for path in (answers.token_file, *(Path(each.value) for each in answers.receivers if each.setting != "urls")):
        if path.stat().st_mode & 0o077:
            print(f"{path} can be read by others; to change that: chmod 600 {path}")
    print(f"{file} was written. Next:\n  workload-exporter run --config.file={file}")
    return 0


def _create(path: Path, text: str, undo: ExitStack, mode: int = 0o600) -> None:
    """Write a new file, which `undo` removes, with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as opened:
        undo.callback(path.unlink, missing_ok=True)
        opened.write(text)


async def _tested(settings: Settings, secrets: Secrets) -> bool:
    """Request each API route, and send each receiver a test notification; print the results."""
    good = True
    for account in settings.accounts:
        async for finding in check_online(account, secrets):
            print(finding.text, flush=True)
            good = good and finding.good
    label = settings.alerts.severity_label
    for each in settings.paging.receivers:
        async for result in test_page(notifiers(each, label, secrets), label, HOLD_SECONDS):
            print(result, flush=True)
            good = good and result.good
    return good


def lines(answers: Answers, file: Path) -> Iterator[str]:
    """The settings file. Values are JSON, which is YAML."""
    yield from (
        "# Settings of the DataRobot workload exporter, written by `workload-exporter init`.",
        "# All settings: workload-exporter docs settings",
        f"# After a change: workload-exporter check --online --config.file={file}",
        "# The running daemon applies a change within ten seconds, unless it is invalid: the log says why.",
        "",
        "accounts:",
        "  - name: default # the label `account` of every metric",
        f"    endpoint: {_quoted(answers.endpoint)}",
        f"    token_file: {_quoted(str(answers.token_file))}",
        "    # requests_per_second: 10",
        "",
        "# Keeps counters and times across restarts. The folder must be writable.",
        "# state:",
        "#   path: /var/lib/workload-exporter/state.db",
        "",
        "# Accepts connections of other machines; see `workload-exporter assets show security.md` first.",
        "# web:",
        "#   listen_address: [':10142']",
        "",
        "# Traces of starts, failures and replacements.",
        "# traces:",
        "#   endpoint: http://127.0.0.1:4318",
        "",
    )
    if not answers.receivers:
        yield from (
            "# Notifications: by Prometheus and Alertmanager, with the rules that `workload-exporter rules` prints, or",
            "# by the exporter itself, with receivers; see `workload-exporter assets show paging.md`.",
            "# paging:",
            "#   who: direct",
        )
        return
    yield from (
        "# Critical alerts and warnings; all alerts for an Alertmanager. Test: workload-exporter notify test NAME",
        "paging:",
        "  who: direct # not by Prometheus; `both` is for comparison",
        "  receivers:",
    )
    taken: dict[str, int] = {}
    for kind, setting, value in answers.receivers:
        taken[kind] = taken.get(kind, 0) + 1
        yield f"    - name: {kind if taken[kind] == 1 else f'{kind}-{taken[kind]}'}"
        yield f"      kind: {kind}"
        yield f"      {setting}: {f'[{_quoted(value)}]' if setting == 'urls' else _quoted(value)}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
