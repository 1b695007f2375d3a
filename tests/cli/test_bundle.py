"""``bundle``: what is in the file, and what is not."""

import gzip
import io
import json
import logging
import re
import stat
import tarfile
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from exporter.cli.bundle import LOG_LINES, own_log, own_metrics, state_summary
from exporter.cli.main import main
from exporter.cli.own_texts import OwnTexts
from exporter.recording.lines import Lines
from exporter.recording.redactor import Redactor
from exporter.settings.state import StateSettings
from exporter.simulator import SimulatedApi
from exporter.simulator.oddities import SimulatedResponse
from exporter.state.store import Store
from exporter.telemetry.logs import formatter
from tests.cli.test_main import run
from tests.cli.test_own_server import responding
from tests.cli.test_verify import CANARY, KEPT, planted
from tests.stage import START, Stage, played

ID = re.compile(r"[0-9a-f]{24}")


class Planted(SimulatedApi):
    """A fleet with a canary in every text but enumerations, ids and times."""

    ids: frozenset[str] = frozenset()

    def respond(self, method: str, path: str, query: str, headers: dict[str, str]) -> SimulatedResponse:
        response = super().respond(method, path, query, headers)
        if not response.body:
            return response
        text = json.dumps(planted(json.loads(response.body), KEPT - {"importance"}))
        self.ids |= {*ID.findall(text)}
        return response._replace(body=text.encode())


@pytest.fixture(scope="module")
def monitored() -> tuple[str, str, frozenset[str]]:
    """The page of metrics and the log of a daemon that monitors such a fleet, and the ids of that."""
    simulator = Planted(workloads=12, clock=lambda: START, odd=["error-text@/quotas", "wrong-type@/account/info"])
    log, page = io.StringIO(), ""
    handler = logging.StreamHandler(log)
    handler.setFormatter(formatter("logfmt"))
    logger = logging.getLogger("exporter")
    level = logger.level

    async def play(stage: Stage) -> None:
        nonlocal page
        await stage.run(90.0)
        simulator.odd = frozenset({"error-text@/workloads"})
        await stage.run(120.0)
        page = stage.report.text().decode() + stage.page()

    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        played(play, simulator)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    assert CANARY in page
    assert CANARY in log.getvalue()
    return page, log.getvalue(), simulator.ids


def members(file: Path) -> dict[str, str]:
    """The files of a bundle by name, and their contents."""
    with tarfile.open(file) as archive:
        files = {entry.name.partition("/")[2]: archive.extractfile(entry) for entry in archive}
        return {name: file.read().decode(errors="surrogateescape") for name, file in files.items() if file}


def bundled(tmp_path: Path, monitored: tuple[str, str, frozenset[str]], *flags: str) -> dict[str, str]:
    page, log, _ = monitored
    settings, state, lines = (tmp_path / name for name in ("exporter.yaml", "state.db", "log"))
    lines.write_text(log + f"a line of another program about {CANARY}\n")
    store = Store(state)
    store.close()
    settings.write_text(
        f"accounts: [{{name: {CANARY}-account, endpoint: 'https://{CANARY}.test', token: s3cret-{CANARY}}}]\n"
        f"state: {{path: '{state}'}}\n"
        f"costs: {{bundles: {{'{CANARY}': 1.5}}}}\n"
        f"paging: {{who: direct, receivers: [{{name: {CANARY}, kind: webhook, url: 'https://{CANARY}.test/x'}}]}}\n"
        "sweep: {interval: 45s}\n"
    )
    file = tmp_path / "bundle.tar.gz"
    with responding(200, page) as (address, _):
        places = (f"--config.file={settings}", f"--log-file={lines}", f"--web.listen-address={address}")
        status, out, err = run("bundle", str(file), *places, *flags)
    assert (status, err) == (0, "")
    assert f"written: {file}" in out
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    return members(file)


def test_a_bundle_contains_no_text_and_no_id_of_the_fleet(
    tmp_path: Path, monitored: tuple[str, str, frozenset[str]]
) -> None:
    files = bundled(tmp_path, monitored)
    ids = monitored[2]
    assert len(ids) > 50
    for name, content in files.items():
        assert CANARY.casefold() not in content.casefold(), name
        assert not any(each in content for each in ids), name
        assert str(tmp_path) not in content, name


def test_a_bundle_contains_what_explains_how_the_exporter_behaves(
    tmp_path: Path, monitored: tuple[str, str, frozenset[str]]
) -> None:
    files = bundled(tmp_path, monitored)
    assert {*files} == {
        "README.txt", "version.json", "settings.json", "state.json", "metrics.txt", "assumptions.json", "log.txt"
    }  # fmt: skip
    assert json.loads(files["version.json"])["libraries"]["httpx"]
    settings = json.loads(files["settings.json"])
    (account,), (receiver,) = settings["accounts"], settings["paging"]["receivers"]
    assert (account["token"], settings["sweep"]["interval"], receiver["kind"]) == ("**********", 45.0, "webhook")
    assert [*settings["costs"]["bundles"].values()] == [1.5]
    assert re.fullmatch(r"text-\d+", account["name"])
    assert json.loads(files["state.json"])["rows"] == dict.fromkeys(
        ["workload", "account", "outbox", "log_outbox", "emitted", "paging"], 0
    )
    metrics = files["metrics.txt"]
    assert re.search(r'api_requests_total\{account="text-\d+",code="200",endpoint="/workloads"\} \d+', metrics)
    assert "datarobot_workload" not in metrics
    assert {"assumption": "routes_end_with_slash", "verdict": "confirmed"}.items() <= next(
        each.items() for each in json.loads(files["assumptions.json"]) if each["assumption"].startswith("routes")
    )
    *lines, rest = files["log.txt"].splitlines()
    assert any(json.loads(line)["msg"] == "sweep complete" for line in lines)
    assert rest == "1 lines are left out: they are not the exporter's own"


def test_with_names_everything_is_included_but_secrets(
    tmp_path: Path, monitored: tuple[str, str, frozenset[str]]
) -> None:
    recording = tmp_path / "a.rec.gz"
    recording.write_bytes(gzip.compress(Lines(Redactor(bytes(32), START)).header()))
    files = bundled(tmp_path, monitored, "--with-names", f"--recording={recording}")
    assert CANARY in files["metrics.txt"]
    assert CANARY in files["log.txt"]
    assert json.loads(files["settings.json"])["accounts"][0]["name"] == f"{CANARY}-account"
    assert files["recording.rec.gz"].encode(errors="surrogateescape") == recording.read_bytes()
    assert "s3cret" not in "".join(files.values())


def test_only_a_recording_is_included_as_one(tmp_path: Path) -> None:
    secret, file = tmp_path / "token", tmp_path / "bundle.tar.gz"
    secret.write_text(CANARY)
    status, _, err = run("bundle", str(file), f"--recording={secret}", "--web.listen-address=127.0.0.1:1")
    assert (status, "not a recording" in err, file.exists()) == (1, True, False)


def test_without_a_daemon_the_rest_is_included(tmp_path: Path) -> None:
    file = tmp_path / "bundle.tar.gz"
    line = '{"ts": "t", "level": "info", "msg": "sweep complete", "seconds": 0.5}\n'
    with mock.patch("sys.stdin", io.StringIO(line)):
        status, out, _ = run("bundle", str(file), "--log-file=-", "--web.listen-address=127.0.0.1:1")
    files = members(file)
    assert (status, "metrics.txt: nothing: the daemon cannot be reached" in out) == (0, True)
    assert files["metrics.txt"] == "# The daemon cannot be reached.\n"
    assert json.loads(files["log.txt"])["seconds"] == 0.5
    assert json.loads(files["state.json"]) == {"kind": "memory"}


def test_a_bundle_can_be_written_to_standard_output(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["bundle", "-", "--web.listen-address=127.0.0.1:1"]) == 0
    out, err = capfdbinary.readouterr()
    with tarfile.open(fileobj=io.BytesIO(out)) as archive:
        assert "workload-exporter-bundle/README.txt" in archive.getnames()
    assert b"the daemon cannot be reached" in err


# -- parts


@pytest.mark.parametrize(
    ("text", "stays"),
    [
        ("/workloads/{id}/events", True),
        ("DataRobotDataStale", True),
        ("sweep complete", True),
        ("3.11", True),
        ("-1.5e-7", True),
        ("2026-11-18T09:30:11.445Z", True),
        ("", True),
        ("claims-scorer", False),
        ("start of 14 minutes", False),  # a story of the simulator
        ('a"b', False),
        ("70aa00000000000000000001", False),
        ("10.1.2.3/24", False),
        ("10.1.2.3", False),
        ("4915112345678", False),
        ("+49.15112345678.1", False),
    ],
)
def test_a_text_stays_if_it_is_a_string_of_the_source_a_number_or_a_time(text: str, stays: bool) -> None:
    own = OwnTexts()
    assert own.text(text) == (text if stays else "text-1")
    assert own.text(text) == (text if stays else "text-1")
    assert own.text("another text") == ("text-1" if stays else "text-2")


def test_values_of_json_keep_their_shape() -> None:
    given: Any = {"interval": 3, "claims-scorer": ["timeout", None, {"importance": "claims-scorer"}]}
    assert OwnTexts().value(given) == {"interval": 3, "text-1": ["timeout", None, {"importance": "text-1"}]}


def test_the_path_of_a_rejected_field_stays() -> None:
    page = 'datarobot_exporter_api_rejects_total{account="a b",path="pods $.replicas[].name",reason="type"} 2.0\n'
    page += 'datarobot_exporter_api_rejects_total{account="a b",path="a path",reason="type"} 1.0\n'
    assert [*own_metrics(page, OwnTexts())] == [
        'datarobot_exporter_api_rejects_total{account="text-1",path="pods $.replicas[].name",reason="type"} 2.0',
        'datarobot_exporter_api_rejects_total{account="text-1",path="text-2",reason="type"} 1.0',
    ]


def test_lines_of_a_log_that_are_not_its_own_are_counted() -> None:
    lines = [
        'ts=2026-11-18T09:30:11.445Z level=warn msg="sweep failed" account=prod reason=timeout words="GET x of y"',
        '\x1b[33mts=2026-11-18T09:30:11.445Z level=info msg="sweep complete" seconds=0.5\x1b[0m',
        'ts=2026-11-18T09:30:11.445Z level=info msg="something else" account=prod',
        "Traceback (most recent call last):",
        '{"ts": 1, "msg": ["sweep complete"]}',
        '{"ts": broken',
        'ts="bro\\ken" msg="sweep complete"',
        "",
    ]
    *kept, last = own_log(lines, OwnTexts())
    assert [json.loads(line) for line in kept] == [
        {
            "ts": "2026-11-18T09:30:11.445Z",
            "level": "warn",
            "msg": "sweep failed",
            "account": "text-1",
            "reason": "timeout",
            "words": "text-2",
        },
        {"ts": "2026-11-18T09:30:11.445Z", "level": "info", "msg": "sweep complete", "seconds": "0.5"},
    ]
    assert last == "6 lines are left out: they are not the exporter's own"
    assert [*own_log([], OwnTexts())] == []


def test_only_the_end_of_a_long_log_is_read(tmp_path: Path) -> None:
    log, file = tmp_path / "log", tmp_path / "bundle.tar.gz"
    log.write_text('ts=1 level=info msg="sweep complete" padding=5\n' * (3 * LOG_LINES))
    assert run("bundle", str(file), f"--log-file={log}", "--web.listen-address=127.0.0.1:1")[0] == 0
    assert len(members(file)["log.txt"].splitlines()) == LOG_LINES


def test_the_state_is_summed_up_without_a_lock_and_without_a_new_file(tmp_path: Path) -> None:
    def summary(**settings: Any) -> dict[str, Any]:
        return state_summary(StateSettings.model_validate(settings))

    path = tmp_path / "state.db"
    assert summary() == {"kind": "memory"}
    assert summary(url="postgresql://user@host/db") == {"kind": "postgresql"}
    assert summary(path=path) == {"kind": "sqlite", "bytes": {"file": None, "-wal": None}}
    path.write_text("not a database" * 100)
    assert summary(path=path)["readable"] is False
    path.unlink()
    store = Store(path)
    in_use = summary(path=path)
    store.close()
    assert "rows" not in in_use
    before = {*tmp_path.iterdir()}
    assert summary(path=path)["readable"] is True
    assert {*tmp_path.iterdir()} == before
