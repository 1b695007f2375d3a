"""The pages for people: links lead somewhere, all pages are listed, and each command line is one of the program."""

import re
import shlex
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from exporter.cli.main import COMMANDS, parser

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [
    *ROOT.glob("*.md"), *DOCS.glob("*.md"), *(ROOT / "alerts").rglob("*.md"), *(ROOT / "deploy").rglob("*.md"),
    *(ROOT / "benchmarks").glob("*.md"),
]  # fmt: skip


def anchors(page: Path) -> set[str]:
    """Those of the headings of a page, as Git hosts make them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings_that_exist(page: Path) -> None:
    broken = []
    for link in re.findall(r"\]\((?!\w+:)([^)\s]+)\)", page.read_text()):
        place, _, heading = link.partition("#")
        target = page.parent / place if place else page
        if not target.exists() or (heading and heading not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_the_table_of_contents_lists_every_page() -> None:
    listed = set(re.findall(r"\]\(([\w-]+\.md)\)", (DOCS / "README.md").read_text()))
    assert listed == {page.name for page in DOCS.glob("*.md")} - {"README.md"}


def test_the_table_of_commands_lists_every_command() -> None:
    listed = set(re.findall(r"^\| `([\w-]+)", (DOCS / "commands.md").read_text(), re.MULTILINE))
    assert listed == COMMANDS.keys()


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 130


class Line(NamedTuple):
    """A command line of a page, without what the shell takes from it. `place`: page and command."""

    place: str
    arguments: tuple[str, ...]


def command_lines(page: Path) -> Iterator[Line]:
    """All of a page that begin with the program's name: in blocks, and between backticks."""
    text = re.sub(r"\\\n\s*", "", page.read_text())
    spans = re.findall(r"`(workload-exporter\s[^`]*)`", text)
    for block in re.findall(r"^ *```[^\n]*\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL):
        spans += re.findall(r"^\s*(?:\$ )?(workload-exporter [^\n]*)", block, re.MULTILINE)
    for span in spans:
        words = shlex.shlex(span.replace("\n", " "), posix=True, punctuation_chars="|><;&")
        words.whitespace_split = True
        arguments = []
        for word in list(words)[1:]:
            if set(word) <= set("|><;&") or word == "…":
                break
            arguments.append(word)
        yield Line(f"{page.relative_to(ROOT)}: {span}", tuple(arguments))


LINES = sorted({line for page in PAGES if "runbooks/DataRobot" not in str(page) for line in command_lines(page)})
"""Without the runbooks, whose commands tests/test_runbooks.py runs."""


def understood(root: ArgumentParser, line: Line) -> bool:
    try:
        root.parse_args(line.arguments)
    except SystemExit as ended:
        return ended.code in (0, None)
    return True


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.place[:90])
def test_each_command_line_of_the_pages_is_understood(line: Line) -> None:
    command = next((word for word in line.arguments if word in COMMANDS), "run")
    if line.arguments[:1] == ("COMMAND",):
        return
    assert understood(parser(command), line)
