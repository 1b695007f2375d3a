"""``completion``: scripts that complete commands, flags and values in a shell."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from types import MappingProxyType

from exporter.cli.command_tree import CommandSyntax, Word, command_tree
from exporter.cli.context import Context

Tree = tuple[CommandSyntax, ...]


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "shell",
        choices=tuple(SHELLS),
        help="print the script for this shell, for `source <(…)`, or `… | source` in fish",
    )


def run(context: Context) -> int:
    _, script = SHELLS[context.options.shell]
    sys.stdout.write(script(command_tree()))
    return 0


def _first_argument(tree: Tree) -> tuple[tuple[Word, ...], tuple[CommandSyntax, ...]]:
    """What can be the first argument: flags (those of `run`, too, the default) and commands."""
    root, *commands = tree
    (run,) = (command for command in commands if command.name == "run")
    own = {flag for word in root.flags for flag in word.flags}
    return (*root.flags, *(word for word in run.flags if not own & {*word.flags})), tuple(commands)


# -- bash

_BASH = """\
# bash completion of workload-exporter
_workload_exporter() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]}
    local flags="" valued="" values="" word i n=0
    COMPREPLY=()
    if ((COMP_CWORD == 1)) && [[ $cur != -* ]]; then
        COMPREPLY=($(compgen -W "@COMMANDS@" -- "$cur"))
        return
    fi
    [[ $command == -* ]] && command=run
    # Bash splits at = and : as well.
    if [[ $cur == = ]]; then
        cur=""
    elif [[ $prev == = ]]; then
        prev=${COMP_WORDS[COMP_CWORD-2]}
    fi
    case $command in
@FLAGS@
    *) return ;;
    esac
    ((COMP_CWORD == 1)) && flags+=" @ROOT@"
    if [[ " $valued " == *" $prev "* ]]; then
        case "$command $prev" in
@VALUES@
        esac
        COMPREPLY=($(compgen -W "$values" -- "$cur"))
        return
    fi
    if [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W "$flags" -- "$cur"))
        for word in "${COMPREPLY[@]}"; do
            [[ $word == *= ]] && compopt -o nospace
        done
        return
    fi
    for ((i = 2; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [[ $word == [=:]* ]]; then
            ((i++))
        elif [[ " $valued " == *" $word "* ]]; then
            [[ ${COMP_WORDS[i+1]} == =* ]] || ((i++))
        elif [[ $word != -* ]]; then
            ((n++))
        fi
    done
    case "$command $n" in
@POSITIONAL@
    esac
    COMPREPLY=($(compgen -W "$values" -- "$cur"))
}
complete -F _workload_exporter workload-exporter
"""
_BASH_FILES = 'compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return'


def bash(tree: Tree) -> str:
    """The script for bash 4 or newer; it needs no other package."""
    first, commands = _first_argument(tree)
    flags, values, positional = [], [], []
    for command in commands:
        shown = " ".join(flag + ("=" if word.value else "") for word in command.flags for flag in word.flags)
        valued = " ".join(flag for word in command.flags if word.value for flag in word.flags)
        flags.append(f'    {command.name}) flags="{shown}" valued="{valued}" ;;')
        for word in command.flags:
            if word.value and (what := _bash_values(word)):
                values += [f'        "{command.name} {flag}") {what} ;;' for flag in word.flags]
        for number, word in enumerate(command.positional):
            if what := _bash_values(word):
                which = f'"{command.name} "[0-9]*' if word.many else f'"{command.name} {number}"'
                positional.append(f"    {which}) {what} ;;")
    return (
        _BASH.replace("@COMMANDS@", " ".join(command.name for command in commands))
        .replace("@FLAGS@", "\n".join(flags))
        .replace("@ROOT@", " ".join(flag for word in first for flag in word.flags if not word.value))
        .replace("@VALUES@", "\n".join(values))
        .replace("@POSITIONAL@", "\n".join(positional))
    )


def _bash_values(word: Word) -> str:
    if word.suggested:
        return f'values="{" ".join(word.suggested)}"'
    return _BASH_FILES if word.is_path else ""


# -- zsh


def zsh(tree: Tree) -> str:
    """The script for zsh: as a file `_workload-exporter` in a folder of `fpath`, or sourced after `compinit`."""
    first, commands = _first_argument(tree)
    lines = [
        "#compdef workload-exporter",
        "_workload_exporter() {",
        "    local -a commands",
        "    commands=(",
        *(f"        {_zsh_quoted(f'{_zsh_text(command.name)}:{command.summary}')}" for command in commands),
        "    )",
        "    if ((CURRENT == 2)) && [[ $words[2] != -* ]]; then",
        "        _describe command commands",
        "        return",
        "    fi",
        "    local command=$words[2]",
        "    if [[ $command == -* ]]; then",
        "        command=",
        "    else",
        "        shift words",
        "        ((CURRENT--))",
        "    fi",
        "    case $command in",
    ]
    for name, words in (("''", first), *((command.name, command.words) for command in commands)):
        specs = " \\\n        ".join(spec for word in words for spec in _zsh_specs(word))
        lines.append(f"    {name}) _arguments \\\n        {specs} ;;")
    lines += [
        "    esac",
        "}",
        "if [[ $funcstack[1] == _workload-exporter ]]; then",
        '    _workload_exporter "$@"',
        "else",
        "    compdef _workload_exporter workload-exporter",
        "fi",
    ]
    return "\n".join(lines) + "\n"


def _zsh_specs(word: Word) -> Iterator[str]:
    """What `_arguments` gets for a flag or argument."""
    action = f"({' '.join(map(_zsh_text, word.suggested))})" if word.suggested else "_files" if word.is_path else " "
    value = _zsh_text(word.value)
    if not word.flags:
        start = "*" if word.many else ":" if word.optional else ""
        yield _zsh_quoted(f"{start}:{value}:{action}" if start != "" else f":{value}:{action}")
        return
    for flag in word.flags:
        long = "=" if word.value and flag.startswith("--") else ""
        again = "*" if word.many else ""
        end = f":{value}:{action}" if word.value else ""
        yield _zsh_quoted(f"{again}{flag}{long}[{_zsh_text(word.help)}]{end}")


def _zsh_text(text: str) -> str:
    return "".join(f"\\{each}" if each in "\\[]:()" else each for each in text)


def _zsh_quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


# -- fish


def fish(tree: Tree) -> str:
    """The script for fish."""
    first, commands = _first_argument(tree)
    start = "complete -c workload-exporter"
    lines = ["# fish completion of workload-exporter", f"{start} -f"]
    lines += [
        f"{start} -n __fish_use_subcommand -a {command.name} -d {_fish_quoted(command.summary)}" for command in commands
    ]
    parts = [("__fish_use_subcommand", first)]
    parts += [(_fish_quoted(f"__fish_seen_subcommand_from {command.name}"), command.words) for command in commands]
    for condition, words in parts:
        for word in words:
            values = f" -a {_fish_quoted(' '.join(word.suggested))}" if word.suggested else ""
            if not word.flags:
                if values or word.is_path:
                    lines.append(f"{start} -n {condition}{values or ' -F'}")
                continue
            names = "".join(f" -l {flag[2:]}" if flag.startswith("--") else f" -s {flag[1:]}" for flag in word.flags)
            kind = "" if not word.value else " -r -F" if word.is_path and not values else f" -x{values}"
            lines.append(f"{start} -n {condition}{names}{kind} -d {_fish_quoted(word.help)}")
    return "\n".join(lines) + "\n"


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


SHELLS: MappingProxyType[str, tuple[str, Callable[[Tree], str]]] = MappingProxyType(
    {
        "bash": ("workload-exporter", bash),
        "zsh": ("_workload-exporter", zsh),
        "fish": ("workload-exporter.fish", fish),
    }
)
"""Name of the script's file and its text, by shell."""
