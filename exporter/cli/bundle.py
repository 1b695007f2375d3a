"""``bundle``: collect in one file what explains how the exporter behaves, without anything that identifies anyone."""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import re
import sqlite3
import sys
import tarfile
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, NamedTuple

from exporter import __revision__, __version__
from exporter.cli.context import Context
from exporter.cli.daemon_metrics import DaemonUnavailable, metrics_page, samples
from exporter.cli.flags import add_web_flags
from exporter.cli.own_texts import OwnTexts
from exporter.collect.recording_file import read_recording
from exporter.settings.model import Settings
from exporter.settings.problems import BadSettings
from exporter.settings.state import StateSettings

DEFAULT = "workload-exporter-bundle.tar.gz"
LOG_LINES = 500
OWN_FAMILIES = ("datarobot_exporter_", "process_", "python_")
"""Families that are not about workloads or accounts."""
TABLES = ("workload", "account", "outbox", "log_outbox", "emitted", "paging")
ASSUMPTION = "datarobot_exporter_assumption"
_PATH = re.compile(r"(?:[a-z0-9_]+ )?\$[A-Za-z.\[\]{}]*")
"""Path of a part of a response, of the exporter's own names of fields."""
_PAIR = re.compile(r'([a-z_]+)=("(?:[^"\\]|\\.)*"|\S*)')
_COLOUR = re.compile(r"\x1b\[\d*m")


def add_flags(parser: argparse.ArgumentParser) -> None:
    add_web_flags(parser)
    parser.add_argument(
        "file", type=Path, nargs="?", default=Path(DEFAULT), metavar="FILE", help=f"default {DEFAULT}; -: stdout"
    )
    parser.add_argument(
        "--log-file",
        type=Path,
        metavar="FILE",
        help=f"include the last {LOG_LINES} lines of this log; -: standard input",
    )
    parser.add_argument("--recording", type=Path, metavar="FILE", help="include a recording, as it is")
    parser.add_argument(
        "--with-names",
        action="store_true",
        help="include names, ids, hosts and messages: all metrics, the settings without secrets, and the log as it is",
    )


class _Part(NamedTuple):
    """One file of the bundle, and what it contains."""

    name: str
    content: str
    about: str


def run(context: Context) -> int:
    options, settings = context.options, _settings(context)
    parts = [*_parts(context, settings)]
    recording = None
    if options.recording is not None:
        read_recording(options.recording)  # raises for any other file, which could contain anything
        recording = options.recording.read_bytes()
    about = [f"{part.name}: {part.about}" for part in parts]
    if options.recording is not None:
        about.append("recording: a recording of responses, as `record` wrote it")
    kept = "as they are" if options.with_names else "replaced by text-N, the same text by the same number"
    about.append(f"Texts that are not the exporter's own are {kept}. Secrets are left out.")
    files = {part.name: part.content.encode("utf-8", "backslashreplace") for part in parts}
    files |= {"README.txt": ("\n".join(about) + "\n").encode()}
    files |= {} if recording is None else {f"recording{''.join(options.recording.suffixes[-2:])}": recording}
    packed = _packed(files)
    if str(options.file) == "-":
        sys.stdout.buffer.write(packed)
        print("\n".join(about), file=sys.stderr)
        return 0
    with os.fdopen(os.open(options.file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(packed)
    print("\n".join(about))
    print(f"written: {options.file} ({len(packed)} bytes)")
    return 0


def _settings(context: Context) -> Settings:
    """The settings; without the account of the environment if that is not complete. Raises `BadSettings`."""
    try:
        return context.settings()
    except BadSettings:
        return context.settings("planned")


def _packed(files: dict[str, bytes]) -> bytes:
    """The archive."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"workload-exporter-bundle/{name}")
            entry.size, entry.mtime, entry.mode = len(content), int(time.time()), 0o600
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def _parts(context: Context, settings: Settings) -> Iterator[_Part]:
    own, with_names = OwnTexts(), context.options.with_names
    yield _Part("version.json", _json(_versions()), "versions of the exporter, of Python and of libraries")
    shown = settings.model_dump(mode="json")
    yield _Part("settings.json", _json(shown if with_names else own.value(shown)), "the settings, without secrets")
    yield _Part("state.json", _json(state_summary(settings.state)), "size and number of rows of the state")
    try:
        page = metrics_page(context)
    except DaemonUnavailable:
        yield _Part("metrics.txt", "# The daemon cannot be reached.\n", "nothing: the daemon cannot be reached")
    else:
        text = page if with_names else "\n".join(own_metrics(page, own)) + "\n"
        yield _Part("metrics.txt", text, "all metrics" if with_names else "metrics of the exporter itself")
        verdicts = _json([*_assumptions(page, own, with_names=with_names)])
        yield _Part("assumptions.json", verdicts, "what is assumed about the API, with verdicts")
    if context.options.log_file is not None:
        lines = _last_lines(context.options.log_file)
        text = context.secrets.text("\n".join(lines)) if with_names else "\n".join(own_log(lines, own))
        yield _Part("log.txt", text + "\n", f"the last {len(lines)} lines of the log")


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=True) + "\n"


def _versions() -> dict[str, Any]:
    libraries = {each.name: each.version for each in distributions()}
    return {
        "version": __version__,
        "revision": __revision__,
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "libraries": dict(sorted(libraries.items())),
    }


def own_metrics(page: str, own: OwnTexts) -> Iterator[str]:
    """The samples of the exporter's own families, with label values that are not its own replaced."""
    for sample in samples(page, OWN_FAMILIES):
        labels = ",".join(f'{name}="{_label(name, value, own)}"' for name, value in sample.labels.items())
        yield f"{sample.name}{{{labels}}} {sample.value!r}"


def _label(name: str, value: str, own: OwnTexts) -> str:
    return value if name == "path" and _PATH.fullmatch(value) else own.text(value)


def _assumptions(page: str, own: OwnTexts, *, with_names: bool) -> Iterator[dict[str, str]]:
    for sample in samples(page, (ASSUMPTION,)):
        account = sample.labels["account"]
        yield {
            "account": account if with_names else own.text(account),
            "assumption": sample.labels["assumption"],
            "verdict": sample.labels["verdict"],
        }


def _last_lines(file: Path) -> list[str]:
    if str(file) == "-":
        text = sys.stdin.read()
    else:
        with file.open("rb") as opened:
            opened.seek(max(0, file.stat().st_size - 4096 * LOG_LINES))
            text = opened.read().decode("utf-8", "replace")
    return text.splitlines()[-LOG_LINES:]


def own_log(lines: Iterable[str], own: OwnTexts) -> Iterator[str]:
    """The lines that the exporter wrote, with values that are not its own replaced; others are only counted."""
    left_out = 0
    for line in lines:
        pairs = _pairs(_COLOUR.sub("", line).strip())
        message = pairs.get("msg")
        if "ts" not in pairs or not isinstance(message, str) or not own.is_own(message):
            left_out += 1
            continue
        yield json.dumps({key: own.value(value) for key, value in pairs.items()})
    if left_out:
        yield f"{left_out} lines are left out: they are not the exporter's own"


def _pairs(line: str) -> dict[str, Any]:
    """The fields of a line in JSON or logfmt; empty for any other."""
    if line.startswith("{"):
        try:
            found = json.loads(line)
        except ValueError:
            return {}
        return {key: value for key, value in found.items() if re.fullmatch("[a-z_]+", key)}
    try:
        return {key: json.loads(text) if text.startswith('"') else text for key, text in _PAIR.findall(line)}
    except ValueError:
        return {}


def state_summary(settings: StateSettings) -> dict[str, Any]:
    """Where the state is kept, by kind; of a file its size, and its number of rows unless a daemon uses it."""
    if settings.url is not None:
        return {"kind": "postgresql"}
    if settings.path is None:
        return {"kind": "memory"}
    sizes = {suffix or "file": _size(Path(f"{settings.path}{suffix}")) for suffix in ("", "-wal")}
    summary: dict[str, Any] = {"kind": "sqlite", "bytes": sizes}
    if sizes["file"] and not sizes["-wal"]:  # otherwise it is in use, and some rows are only in the other file
        summary |= _rows(settings.path)
    return summary


def _size(file: Path) -> int | None:
    try:
        return file.stat().st_size
    except OSError:
        return None


def _rows(path: Path) -> dict[str, Any]:
    """Version of the schema and number of rows. `immutable`: no file is created beside it, and no lock is taken."""
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?immutable=1", uri=True)) as db:
            version = db.execute("PRAGMA user_version").fetchone()[0]
            rows = {name: db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in TABLES}  # noqa: S608
    except sqlite3.Error:
        return {"readable": False}
    return {"readable": True, "schema": version, "rows": rows}
