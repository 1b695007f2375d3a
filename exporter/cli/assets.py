"""``assets``: files for other programs and for people."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

from exporter.asset_files import asset_files
from exporter.cli.command_tree import command_tree
from exporter.cli.completion import SHELLS
from exporter.cli.context import Context
from exporter.cli.man import manual
from exporter.docs import alert_files
from exporter.errors import ExporterError
from exporter.settings.problems import BadSettings, Problem
from exporter.settings.values import nearest

Assets = Mapping[str, Callable[[], str]]
"""The text of each file, by its path."""


def assets() -> Assets:
    """The packaged files, rules and runbooks, and what is made of the commands: completion and manual."""
    files: dict[str, Callable[[], str]] = {place: file.read_text for place, file in asset_files().items()}
    files = dict(sorted((files | alert_files()).items()))
    tree = command_tree()
    for shell, (name, script) in SHELLS.items():
        files[f"completion/{shell}/{name}"] = partial(script, tree)
    files["man/man1/workload-exporter.1"] = partial(manual, tree)
    return files


def asset(name: str, files: Assets, kind: str = "file") -> str:
    """The text of the file with this path, or name if only one has it; the ending ``.md`` may be left out. Raises
    `BadSettings` for another name.
    """
    names = {name, f"{name}.md"}
    found = [place for place in files if names & {place, place.rpartition("/")[2]}]
    if len(found) == 1:
        return files[found[0]]()
    if found:
        paths = ", ".join(found)
        raise BadSettings([Problem(kind, f"{len(found)} files are called {name!r}; give the path of one: {paths}")])
    known = {place.rpartition("/")[2] for place in files}
    raise BadSettings([Problem(kind, f"no {kind} is called {name!r}{nearest(name, known)}")])


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "show", "export"), help="`export` writes all files into a folder")
    parser.add_argument(
        "what", nargs="?", metavar="NAME | FOLDER", help="the file that `show` prints, or the folder of `export`"
    )
    parser.add_argument("--only", metavar="PATH", default="", help="list or export only below PATH, such as dashboards")
    parser.add_argument("--force", action="store_true", help="overwrite files that have other contents")


def run(context: Context) -> int:
    options = context.options
    files = {place: text for place, text in assets().items() if _below(place, options.only)}
    if not files:
        raise BadSettings([Problem("--only", f"no file is below {options.only}; see `assets list`")])
    if options.action == "list":
        sys.stdout.writelines(f"{place}\n" for place in files)
    elif options.what is None:
        needed = "the name of a file" if options.action == "show" else "a folder"
        raise BadSettings([Problem(f"assets {options.action}", f"needs {needed}; see --help")])
    elif options.action == "show":
        sys.stdout.write(asset(options.what, files))
    else:
        folder = Path(options.what)
        written = export(files, folder, force=options.force)
        print(f"{written} of {len(files)} files written to {folder}; the others are up to date.")
    return 0


def _below(place: str, folder: str) -> bool:
    return place == folder or place.startswith(folder and folder.rstrip("/") + "/")


def export(files: Assets, folder: Path, *, force: bool = False) -> int:
    """Write the files below a folder; return how many were new or had other contents.

    Raises `ExporterError` before anything is written if files would be overwritten without `force`, or for a file that
    cannot be written.
    """
    texts = {folder / place: text() for place, text in files.items()}
    try:
        changed = {file: text for file, text in texts.items() if not file.exists() or file.read_text() != text}
        if not force and (kept := [file for file in changed if file.exists()]):
            raise ExporterError(f"{_some(kept)} would be overwritten; use --force, or another folder")
        for file, text in changed.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    except (OSError, UnicodeDecodeError) as error:
        raise ExporterError(f"{folder} cannot be written: {error}") from error
    return len(changed)


def _some(files: Iterable[Path]) -> str:
    first, *others = map(str, files)
    return first + (f" and {len(others)} other files" if others else "")
