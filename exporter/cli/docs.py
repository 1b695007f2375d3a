"""``docs``: generated reference pages."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from exporter.cli.context import Context
from exporter.docs import CHART, PAGES, files


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("page", choices=sorted(PAGES), nargs="?", help="print this page; default: all")
    parser.add_argument(
        "--write", metavar="FOLDER", type=Path, help="write all generated files into this clone of the repository"
    )


def run(context: Context) -> int:
    page, folder = context.options.page, context.options.write
    if folder is not None:
        for place, text in files((folder / CHART / "values.schema.json").read_text()).items():
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            (folder / place).write_text(text)
    for name in [page] if page else () if folder else sorted(PAGES):
        sys.stdout.write(PAGES[name]())
    return 0
