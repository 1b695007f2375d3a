"""`init` writes settings that `check` accepts, after it has tested them, and otherwise nothing."""

import argparse
import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from exporter.cli.init import KINDS, Answers, GivenReceiver, Questions, answers_of, lines
from exporter.settings.loader import load
from exporter.simulator import Simulator
from tests.cli.test_main import command_environment, run
from tests.receivers import Answer, HttpReceiver

VALUES = {"apprise": "ntfy://ntfy.test/topic", "pagerduty": "k" * 32, "alertmanager": "http://127.0.0.1:9"}
"""Valid values of receivers; a URL for all others."""


@pytest.fixture(scope="module")
def api() -> Iterator[Simulator]:
    with Simulator(workloads=3) as made:
        yield made


def mode(file: Path) -> int:
    return file.stat().st_mode & 0o777


def test_flags_are_enough(tmp_path: Path, api: Simulator) -> None:
    file, hook = tmp_path / "new" / "exporter.yaml", tmp_path / "hook"
    with HttpReceiver() as receiver:
        hook.write_text(receiver.url)
        hook.chmod(0o644)
        status, out, err = run(
            "init", str(file), f"--endpoint={api.url}", f"--receiver=webhook={hook}", DATAROBOT_API_TOKEN=api.token
        )
        assert (status, err) == (0, "")
        assert [json.loads(each.body)["status"] for each in receiver.received] == ["firing", "resolved"]
    token = file.parent / "datarobot-token"
    assert (token.read_text(), mode(token)) == (api.token + "\n", 0o600)
    assert sorted(file.parent.iterdir()) == [token, file]
    assert "  ok    /workloads: " in out
    assert "ok    webhook, paged: " in out
    assert f"{token} was written; only you can read it." in out
    assert f"{hook} can be read by others; to change that: chmod 600 {hook}" in out
    assert out.endswith(f"{file} was written. Next:\n  workload-exporter run --config.file={file}\n")
    status, out, err = run("check", f"--config.file={file}")
    assert (status, err, "valid: receiver webhook (webhook): critical, warning" in out) == (0, "", True)


@pytest.mark.parametrize("kind", KINDS)
def test_check_accepts_the_settings_of_every_kind_of_receiver(kind: str, tmp_path: Path) -> None:
    value = VALUES.get(kind, "https://hook.test/x")
    if KINDS[kind].required_secrets():
        (tmp_path / "secret").write_text(value)
        value = str(tmp_path / "secret")
    file = tmp_path / "exporter.yaml"
    flags = (f"--receiver={kind}={value}", f"--receiver={kind}={value}", "--offline")
    assert run("init", str(file), *flags, DATAROBOT_API_TOKEN="t")[::2] == (0, "")
    status, out, err = run("check", f"--config.file={file}")
    assert (status, err) == (0, "")
    assert f"valid: receiver {kind} (" in out
    assert f"valid: receiver {kind}-2 (" in out


def test_every_comment_that_shows_a_setting_is_a_valid_setting(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t")
    text = "\n".join(lines(Answers("https://dr.test", tmp_path / "token", (), {}), tmp_path / "x"))
    shown = [line[2:] for line in text.splitlines() if line.startswith(("# state:", "# web:", "# traces:", "#   "))]
    file = tmp_path / "exporter.yaml"
    without_receivers = [line for line in shown if "who:" not in line]
    file.write_text("\n".join([line for line in text.splitlines() if not line.startswith("#")] + without_receivers))
    settings = load(file, {})
    assert (settings.state.path, settings.traces.endpoint) != (None, "")
    assert settings.web.listen_address == (":10142",)


def test_run_names_init_and_demo_only_without_a_settings_file(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("sweep: {interval: never}")
    hints = [
        "workload-exporter: to try it without an account: workload-exporter demo",
        "workload-exporter: to write a settings file: workload-exporter init",
    ]
    assert run("run")[2].splitlines()[1:] == hints
    assert not {*hints} & {*run("run", f"--config.file={tmp_path / 'x.yaml'}")[2].splitlines()}


def test_unusual_paths_are_quoted(tmp_path: Path) -> None:
    token = tmp_path / 'a "b": #c ü'
    token.write_text("t")
    receiver = GivenReceiver("alertmanager", "urls", "http://am:9093")
    (file := tmp_path / "exporter.yaml").write_text(
        "\n".join(lines(Answers("https://dr.test", token, (receiver,), {}), file))
    )
    assert load(file, {}).accounts[0].token_file == token


def test_an_existing_file_is_replaced_only_with_force(tmp_path: Path) -> None:
    file = tmp_path / "exporter.yaml"
    file.write_text("mine")
    problem = f"workload-exporter: {file} exists; name another file, or replace it with --force\n"
    flags = ("init", str(file), "--endpoint=https://dr.test", "--offline")
    assert run(*flags, DATAROBOT_API_TOKEN="t") == (1, "", problem)
    assert [*tmp_path.iterdir()] == [file]
    assert run(*flags, "--force", DATAROBOT_API_TOKEN="t")[0] == 0
    assert yaml.safe_load(file.read_text())["accounts"][0]["endpoint"] == "https://dr.test"


def test_an_existing_token_file_is_used_and_stays_as_it_is(tmp_path: Path) -> None:
    (token := tmp_path / "token").write_text("kept")
    flags = ("--offline", f"--token-file={token}")
    assert run("init", str(tmp_path / "x"), *flags, DATAROBOT_API_TOKEN="other")[0] == 0
    assert token.read_text() == "kept"


@pytest.mark.parametrize(
    ("flags", "status", "problem"),
    [
        ([], 2, "--token-file: FOLDER/datarobot-token does not exist, and DATAROBOT_API_TOKEN, to write it with, is"),
        (["--token-file=FOLDER/t", "--endpoint=ftp://x"], 2, "accounts[0].endpoint: "),
        (["--token-file=FOLDER/t", "--receiver=slack=FOLDER/none"], 2, "paging.receivers[0].webhook_url_file: "),
        (["--token-file=FOLDER/t", "--receiver=slak=x"], 2, "no kind of receiver is called 'slak'; did you mean"),
        (["--token-file=FOLDER/t", "--receiver=slack"], 2, "slack needs a value; one of: "),
    ],
)  # fmt: skip
def test_a_problem_is_reported_and_nothing_is_written(
    flags: list[str], status: int, problem: str, tmp_path: Path
) -> None:
    (tmp_path / "t").write_text("t")
    found, out, err = run(
        "init", str(tmp_path / "new/x.yaml"), "--offline", *(each.replace("FOLDER", str(tmp_path)) for each in flags)
    )
    expected = problem.replace("FOLDER", str(tmp_path)).replace("/datarobot", "/new/datarobot")
    assert (found, out, expected in err) == (status, "", True), err
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / "t"]


def test_after_a_failed_test_nothing_is_written(tmp_path: Path, api: Simulator) -> None:
    hook = tmp_path / "hook"
    with HttpReceiver() as receiver:
        receiver.answer = Answer(403)
        hook.write_text(receiver.url)
        flags = (f"--endpoint={api.url}", f"--receiver=webhook={hook}")
        status, out, err = run("init", str(tmp_path / "x"), *flags, DATAROBOT_API_TOKEN=api.token)
    assert (status, err) == (
        1, "workload-exporter: nothing was written, because a test failed; --offline writes without tests\n",
    )  # fmt: skip
    assert "FAIL  webhook, paged: " in out
    assert [*tmp_path.iterdir()] == [hook]


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    status, _, err = run("init", str(tmp_path / "file" / "x"), "--offline", DATAROBOT_API_TOKEN="t")
    assert (status, err.startswith(f"workload-exporter: {tmp_path}/file")) == (1, True), err


OPTIONS = argparse.Namespace(endpoint=None, token_file=None, receiver=None)


def test_on_a_terminal_there_is_a_question_for_what_flags_lack_until_the_answer_is_valid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DATAROBOT_ENDPOINT", "DATAROBOT_API_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    typed = iter(["nonsense", "https://dr.test", "", "slak", "slack", "", "alertmanager", "http://am:9093", ""])
    hidden = iter(["", "token", "https://hooks.test/x"])
    shown: list[str] = []

    def visible(question: str) -> str:
        shown.append(question)
        return next(typed)

    found = answers_of(OPTIONS, tmp_path, Questions(visible, lambda _: next(hidden)))
    slack = tmp_path / "slack-webhook-url"
    assert found == Answers(
        "https://dr.test",
        tmp_path / "datarobot-token",
        (
            GivenReceiver("slack", "webhook_url_file", str(slack)),
            GivenReceiver("alertmanager", "urls", "http://am:9093"),
        ),
        {tmp_path / "datarobot-token": "token", slack: "https://hooks.test/x"},
    )
    assert shown[0] == shown[1] == "URL of DataRobot [https://app.datarobot.com/api/v2]: "
    assert next(typed, "all used") == next(hidden, "all used") == "all used"


def test_there_is_no_question_for_what_flags_contain(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("t")
    given = argparse.Namespace(endpoint="https://dr.test", token_file=tmp_path / "t", receiver=[])
    never = Questions(lambda question: pytest.fail(question), lambda question: pytest.fail(question))
    assert answers_of(given, tmp_path, never) == Answers("https://dr.test", tmp_path / "t", (), {})


@pytest.mark.real
def test_a_session_on_a_terminal(tmp_path: Path, api: Simulator) -> None:
    ours, theirs = pty.openpty()
    command = ["setsid", "--ctty", sys.executable, "-m", "exporter", "init", "x.yaml"]
    child = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=tmp_path, env=command_environment({})
    )  # fmt: skip
    os.close(theirs)
    shown, deadline = "", time.monotonic() + 60
    for question, answer in (
        ("URL of DataRobot [https://app.datarobot.com/api/v2]: ", api.url),
        ("datarobot-token]: ", ""),
        ("API token, hidden: ", api.token),
        ("webhook, none) [none]: ", ""),
    ):
        while question not in shown:
            ready, _, _ = select.select([ours], [], [], deadline - time.monotonic())
            assert ready, shown
            shown += os.read(ours, 65536).decode()
        os.write(ours, f"{answer}\n".encode())
    assert child.wait(60) == 0
    shown += os.read(ours, 65536).decode()
    os.close(ours)
    assert api.token not in shown
    assert mode(tmp_path / "datarobot-token") == 0o600
    assert run("check", f"--config.file={tmp_path / 'x.yaml'}")[0] == 0
