"""Completion in real shells, and the manual page: both have every command and every flag of the parser."""

import argparse
import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from exporter.cli.command_tree import CommandSyntax, Word, command_tree
from exporter.cli.completion import SHELLS
from exporter.cli.main import COMMANDS
from exporter.cli.man import manual
from tests.cli.test_main import run
from tests.components import component


def example() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser("workload-exporter")
    commands = root.add_subparsers(dest="command")
    child = commands.add_parser("rules", help="print 100%% of the rules")
    child.add_argument("page", nargs="*", choices=("a", "b"), help="which [page]: it's optional")
    child.add_argument("--config.file", metavar="FILE", action="append", help="the file's path")
    group = child.add_argument_group("format")
    group.add_argument("--format", choices=("x", "y"))
    group.add_argument("-q", "--quiet", action="store_true", help="print less")
    nested = child.add_subparsers(dest="action", metavar="ACTION").add_parser("add")
    nested.add_argument("--for", metavar="TIME", help="how long")
    return root


def test_the_tree_has_what_the_parser_has() -> None:
    help_ = Word(("-h", "--help"), "", (), "show this help message and exit", many=False, optional=False)
    assert command_tree(example()) == (
        CommandSyntax("", "", (("", (help_,)),)),
        CommandSyntax(
            "rules",
            "print 100% of the rules",
            (
                (
                    "",
                    (
                        Word((), "PAGE", ("a", "b"), "which [page]: it's optional", many=True, optional=True),
                        Word((), "ACTION", ("add",), "", many=False, optional=False),
                        help_,
                        Word(("--config.file",), "FILE", (), "the file's path", many=True, optional=False),
                    ),
                ),
                (
                    "format",
                    (
                        Word(("--format",), "FORMAT", ("x", "y"), "", many=False, optional=False),
                        Word(("-q", "--quiet"), "", (), "print less", many=False, optional=False),
                    ),
                ),
                ("add", (Word(("--for",), "TIME", (), "how long", many=False, optional=False),)),
            ),
        ),
    )


def test_the_tree_has_every_command() -> None:
    assert [command.name for command in command_tree()] == ["", *COMMANDS]


CASES = {
    "heal": ["healthcheck"],
    "--web.tele\t/m": ["--web.telemetry-path=/m"],
    "--vers": ["--version"],
    "rules --form\tkub": ["--format=kubernetes"],
    "rules --format=kub": ["--format=kubernetes"],
    "rules --format kub": ["--format", "kubernetes"],
    "docs met": ["docs", "metrics"],
    "runbook DataRobotWat": ["runbook", "DataRobotWatchdog"],
    "dashboards fl": ["dashboards", "fleet"],
    "check --config.file=FOLDER/exp": ["check", "--config.file=FOLDER/exporter.yaml"],
    "check --config.file FOLDER/exp": ["check", "--config.file", "FOLDER/exporter.yaml"],
    "docs --write FOLDER met": ["docs", "--write", "FOLDER", "metrics"],
    "docs --write=FOLDER met": ["docs", "--write=FOLDER", "metrics"],
    "silence --web.listen-address=:1 ad": ["silence", "--web.listen-address=:1", "add"],
}
"""What is typed before the tabulator, and the arguments that the shell then has, of which the last ones are given."""


def words(arguments: Iterable[str]) -> list[str]:
    """The arguments, with a flag and its value as two: fish writes them so, bash and zsh as ``--flag=value``."""
    return [word for each in arguments for word in re.split(r"^(--[^=]+)=", each) if word]


@contextmanager
def terminal(shell: str, folder: Path) -> Iterator[int]:
    """An interactive shell in which the command prints its arguments."""
    script = folder / "script"
    script.write_text(SHELLS[shell][1](command_tree()))
    echo = "printf '<%s>' \"$@\"; echo '<end>'"
    if shell == "fish":
        function, options = f"function workload-exporter; printf '<%s>' $argv; echo '<end>'; end\nsource {script}", [
            "--no-config", "--init-command", f"source {folder}/rc",
        ]  # fmt: skip
        (folder / "rc").write_text(function)
    elif shell == "zsh":
        (folder / ".zshrc").write_text(
            f"autoload -Uz compinit; compinit -u -D\nsource {script}\nworkload-exporter() {{ {echo} }}\n"
        )
        options = ["-d", "-i"]
    else:
        (folder / "rc").write_text(f"source {script}\nworkload-exporter() {{ {echo}; }}\n")
        options = ["--noprofile", "--rcfile", str(folder / "rc"), "-i"]
    ours, theirs = pty.openpty()
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "ZDOTDIR": str(folder), "TERM": "dumb"}
    command = ["setsid", "--ctty", component(shell), *options]
    child = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=environment)
    os.close(theirs)
    try:
        yield ours
    finally:
        child.kill()
        child.wait()
        os.close(ours)


def typed(terminal: int, keys: str) -> list[str]:
    """The arguments with which the command runs."""
    os.write(terminal, keys.encode())
    shown, deadline = b"", time.monotonic() + 60
    while b"<end>" not in shown:
        ready, _, _ = select.select([terminal], [], [], deadline - time.monotonic())
        assert ready, shown
        shown += os.read(terminal, 65536)
    return re.findall(r"<([^<>\r\n]*)>", shown.decode().replace("<end>", ""))


@pytest.mark.real
@pytest.mark.parametrize("shell", SHELLS)
def test_a_real_shell_completes_commands_flags_and_values(shell: str, tmp_path: Path) -> None:
    (tmp_path / "exporter.yaml").touch()
    with terminal(shell, tmp_path) as shown:
        for keys, expected in CASES.items():
            arguments = typed(shown, f"workload-exporter {keys.replace('FOLDER', str(tmp_path))}\t\r")
            wanted = words(each.replace("FOLDER", str(tmp_path)) for each in expected)
            assert words(arguments)[-len(wanted) :] == wanted, keys


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_has_every_flag_of_every_command(shell: str) -> None:
    status, script, err = run("completion", shell)
    assert (status, err) == (0, "")
    for command in command_tree()[1:]:
        for flag in (flag for word in command.flags for flag in word.flags):
            assert (f" -l {flag[2:]} " if shell == "fish" and flag.startswith("--") else flag[1:]) in script


@pytest.mark.real
def test_the_manual_is_formatted_without_warnings_and_has_every_flag() -> None:
    page = manual(command_tree())
    groff = (component("groff"), "-man", "-ww", "-Wbreak", "-Tutf8", "-rLL=300n")
    done = subprocess.run(groff, input=page, capture_output=True, text=True)
    assert done.stderr == ""
    text = re.sub(r".\x08|\x1b\[\d*m", "", done.stdout)
    for command in command_tree()[1:]:
        assert re.search(rf"^ +{command.name}\b", text, re.MULTILINE), command.name
        for word in command.flags:
            if "--help" not in word.flags:
                value = f"={'|'.join(word.choices) or word.value}" if word.value else ""
                assert ", ".join(flag + value for flag in word.flags) in text


def test_the_command_prints_the_manual() -> None:
    assert run("man") == (0, manual(command_tree()), "")
