"""``man``: the manual page, for `man -l -`."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator

from exporter import __version__
from exporter.cli.command_tree import CommandSyntax, Word, command_tree
from exporter.cli.context import Context
from exporter.cli.flags import EXIT_STATUS
from exporter.cli.main import DESCRIPTION

_VARIABLES = {
    "DATAROBOT_ENDPOINT": "URL of DataRobot; default https://app.datarobot.com.",
    "DATAROBOT_API_TOKEN": "API token of the account, unless the settings file has accounts.",
    "DATAROBOT_API_TOKEN_FILE": "File with the API token, in place of the variable.",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "URL of an OpenTelemetry collector for traces.",
    "HTTPS_PROXY, NO_PROXY": "Proxy of outgoing requests, and hosts that are reached without it.",
}


def add_flags(parser: argparse.ArgumentParser) -> None:
    del parser  # it has no flags


def run(context: Context) -> int:
    del context
    sys.stdout.write(manual(command_tree()))
    return 0


def manual(tree: tuple[CommandSyntax, ...]) -> str:
    """The page in the macros man(7)."""
    return "\n".join(_lines(tree)) + "\n"


def _lines(tree: tuple[CommandSyntax, ...]) -> Iterator[str]:
    root, *commands = tree
    introduction, _, examples = DESCRIPTION.partition("\n\n")
    yield f'.TH WORKLOAD\\-EXPORTER 1 "" "workload\\-exporter {__version__}" "User Commands"'
    yield from (".SH NAME", f"workload\\-exporter \\- {_text('Prometheus exporter for workloads on DataRobot')}")
    yield from (".SH SYNOPSIS", ".B workload\\-exporter", "[\\fICOMMAND\\fR] [\\fIFLAG\\fR]...")
    yield from (".SH DESCRIPTION", _text(introduction), ".PP", ".nf", *map(_text, examples.splitlines()), ".fi")
    yield ".SH OPTIONS"
    for word in root.words:
        yield from _word(word)
    yield ".SH COMMANDS"
    for command in commands:
        arguments = "".join(f" {_argument(word)}" for word in command.positional)
        yield from (
            f".SS {_text(command.name)}{arguments}",
            _text(command.summary[:1].upper() + command.summary[1:] + "."),
        )
        for title, words in command.groups:
            shown = [word for word in words if "--help" not in word.flags]
            if title and shown:
                yield from (".PP", _text(title[:1].upper() + title[1:] + ":"))
            for word in shown:
                yield from _word(word)
    yield ".SH ENVIRONMENT"
    for name, text in _VARIABLES.items():
        yield from (".TP", f".B {_text(name)}", _text(text))
    yield from (".SH EXIT STATUS", _text(EXIT_STATUS.removeprefix("Exit status: ")))


def _argument(word: Word) -> str:
    name = "|".join(word.choices) or word.value
    shown = f"\\fI{_text(name)}\\fR" + ("..." if word.many else "")
    return f"[{shown}]" if word.optional else shown


def _word(word: Word) -> Iterator[str]:
    """An item of a list: the flag or argument, and its meaning."""
    value = "|".join(word.choices) or word.value
    names = [f"\\fB{_text(flag)}\\fR" for flag in word.flags]
    if word.flags and word.value:
        names = [f"{name}{'=' if '--' in word.flags[0] else ' '}\\fI{_text(value)}\\fR" for name in names]
    yield from (".TP", ", ".join(names) or f"\\fI{_text(value)}\\fR", _text(word.help) or "\\&")


def _text(text: str) -> str:
    """A text without macros and with hyphens that can be copied."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    escaped = re.sub(r"[^\x00-\x7f]", lambda found: f"\\[u{ord(found[0]):04X}]", escaped)
    return re.sub(r"^(?=[.'])", r"\\&", escaped, flags=re.MULTILINE)
