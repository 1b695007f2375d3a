"""Commands with their flags and arguments as values, read from the parser: for completion and manual."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from typing import NamedTuple

from exporter.cli.main import COMMANDS, parser

_FILES = re.compile(r"\b(FILE|FOLDER|DIR|FROM|TO)\b")
"""Names of values that are paths."""


class Word(NamedTuple):
    """A flag or a positional argument.

    `flags`: empty for a positional argument. `value`: name of its value; empty if a flag has none. `choices`: its
    allowed values; empty: others, too. `many`: it can be given again. `optional`: a positional argument that can be
    left out. `suggestions`: values that completion suggests, in place of `choices`.
    """

    flags: tuple[str, ...]
    value: str
    choices: tuple[str, ...]
    help: str
    many: bool
    optional: bool
    suggestions: tuple[str, ...] = ()

    @property
    def suggested(self) -> tuple[str, ...]:
        """The values that completion suggests."""
        return self.suggestions or self.choices

    @property
    def is_path(self) -> bool:
        """Whether its value is the path of a file or folder."""
        return bool(_FILES.search(self.value)) and not self.suggested


class CommandSyntax(NamedTuple):
    """A command. `groups`: titles with what each contains; flags without a title come first."""

    name: str
    summary: str
    groups: tuple[tuple[str, tuple[Word, ...]], ...]

    @property
    def words(self) -> tuple[Word, ...]:
        """All flags and positional arguments."""
        return tuple(word for _, words in self.groups for word in words)

    @property
    def flags(self) -> tuple[Word, ...]:
        """All flags."""
        return tuple(word for word in self.words if word.flags)

    @property
    def positional(self) -> tuple[Word, ...]:
        """All positional arguments, in order."""
        return tuple(word for word in self.words if not word.flags)


def command_tree(root: argparse.ArgumentParser | None = None) -> tuple[CommandSyntax, ...]:
    """The commands of a parser, by default those of `COMMANDS`; the first, without a name, has what precedes them."""
    root = root or parser(*COMMANDS)
    (commands,) = _subparsers(root)
    summaries = {action.dest: _help(action) for action in commands._choices_actions}
    return (
        CommandSyntax("", "", (("", tuple(_word(action) for action in root._actions if action is not commands)),)),
        *(
            CommandSyntax(name, summaries.get(name, ""), tuple(_groups(child)))
            for name, child in commands.choices.items()
        ),
    )


def _subparsers(parser: argparse.ArgumentParser) -> list[argparse._SubParsersAction[argparse.ArgumentParser]]:
    return [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]


def _groups(parser: argparse.ArgumentParser) -> Iterator[tuple[str, tuple[Word, ...]]]:
    """The groups of a command; those of its own subcommands follow."""
    plain = (parser._positionals, parser._optionals)
    yield "", tuple(_word(action) for group in plain for action in group._group_actions)
    for group in parser._action_groups:
        if group not in plain and group._group_actions:
            yield group.title or "", tuple(map(_word, group._group_actions))
    for commands in _subparsers(parser):
        for name, child in commands.choices.items():
            for title, words in _groups(child):
                flags = tuple(word for word in words if word.flags and "--help" not in word.flags)
                yield " ".join(filter(None, (name, title))), flags


def _help(action: argparse.Action) -> str:
    return (action.help or "").replace("%%", "%")


def _word(action: argparse.Action) -> Word:
    """One flag or argument."""
    metavar = action.metavar if isinstance(action.metavar, str) else ""
    value = metavar or action.dest.upper() if action.nargs != 0 else ""
    choices = tuple(str(choice) for choice in action.choices or ())
    many = action.nargs in ("*", "+") or isinstance(action, argparse._AppendAction)
    optional = action.nargs in ("?", "*")
    names = getattr(action, "suggestions", ())
    return Word(tuple(action.option_strings), value, choices, _help(action), many, optional, names)
