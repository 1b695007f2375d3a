"""Files that are replaced while the daemon runs are applied once they are complete; what is invalid is said once."""

import asyncio
import os
import ssl
import threading
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, get_args

import certifi
import pytest
from pydantic import BaseModel

from exporter.daemon.watched_files import WatchedFiles
from exporter.settings.file_contents import Contents, contents
from exporter.settings.model import Settings
from exporter.settings.secret_files import SETTLE_SECONDS, SecretFile
from exporter.settings.section import Section
from exporter.simulator import Simulator
from tests.daemon.test_reload import Running, play, simulator  # noqa: F401 — a fixture
from tests.web.test_web_config import certificate

AUTHORITIES = Path(certifi.where()).read_text().split("\n\n")
"""Certificates, each with comments."""


class Recorded:
    """Watched files, and what was done because of them."""

    def __init__(self, folder: Path) -> None:
        self.settings, self.certificate = folder / "exporter.yaml", folder / "ca.pem"
        for file in (self.settings, self.certificate):
            file.write_text("old")
        self.done: list[str] = []
        self.problems: list[str] = []
        self.refused: Contents = {}
        self.named: list[Path] = []
        self.files = WatchedFiles(
            [self.settings],
            reload=lambda: self.record("reload"),
            rebuild=lambda: self.record("rebuild"),
            renewed=lambda files: self.done.extend(file.name for file in files if file.parent == folder),
            refused=lambda: self.refused,
        )
        self.files.in_force = contents([self.settings, self.certificate])

    async def record(self, what: str) -> list[str]:
        self.done.append(what)
        if what == "reload":
            self.refused = contents([self.settings, *self.named]) if self.problems else {}
        if not self.problems:
            self.files.in_force = contents(self.files.in_force)
        return self.problems

    def checked(self, times: int = 2) -> list[str]:
        """What is done in this number of refreshes."""
        self.done.clear()
        for _ in range(times):
            asyncio.run(self.files.refresh())
        return self.done


def test_files_that_stay_the_same_change_nothing(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    assert recorded.checked(5) == []
    recorded.settings.write_text("old")
    assert recorded.checked(5) == []


def test_a_file_that_is_still_being_written_is_applied_once_it_is_complete(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    recorded.certificate.write_text("ne")
    assert recorded.checked(1) == []
    recorded.certificate.write_text("new")
    assert recorded.checked(1) == []
    assert recorded.checked(5) == ["rebuild"]


def test_changed_settings_are_read_again_and_include_changed_certificates(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    recorded.settings.write_text("new")
    assert recorded.checked(5) == ["reload"]
    recorded.settings.write_text("newer")
    recorded.certificate.write_text("new")
    assert recorded.checked(5) == ["reload"]


def test_what_was_refused_is_tried_again_when_it_changes_again(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    recorded.problems = ["bad"]
    recorded.certificate.write_text("bad")
    assert recorded.checked(5) == ["rebuild"]
    recorded.problems = []
    recorded.certificate.write_text("good")
    assert recorded.checked(5) == ["rebuild"]
    assert recorded.checked(5) == []


def test_a_certificate_is_applied_while_the_settings_file_is_invalid(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    recorded.problems = ["bad"]
    recorded.settings.unlink()
    assert recorded.checked(5) == ["reload"]
    recorded.certificate.write_text("new")
    assert recorded.checked(5) == ["reload", "rebuild"]


def test_refused_settings_are_tried_again_when_a_file_that_only_they_name_appears(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    recorded.problems, recorded.named = ["missing"], [tmp_path / "other.pem"]
    recorded.settings.write_text("new")
    assert recorded.checked(8) == ["reload"]
    (tmp_path / "other.pem").write_text("ne")
    assert recorded.checked(1) == []
    (tmp_path / "other.pem").write_text("new")
    assert recorded.checked(1) == []
    recorded.problems = []
    assert recorded.checked(5) == ["reload"]


def test_what_was_refused_on_request_is_not_tried_again_as_it_is(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    recorded.problems, recorded.named = ["missing"], [tmp_path / "other.pem"]
    assert recorded.checked() == []
    recorded.settings.write_text("new")
    asyncio.run(recorded.record("reload"))
    assert recorded.checked(5) == []


def test_settings_as_they_were_before_a_refusal_are_read_again_and_end_the_problem(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    recorded.problems = ["bad"]
    recorded.settings.write_text("bad")
    assert recorded.checked(5) == ["reload"]
    recorded.problems = []
    recorded.settings.write_text("old")
    assert recorded.checked(5) == ["reload"]
    assert recorded.checked(5) == []


def test_a_certificate_as_it_was_before_a_refusal_is_used_again_and_ends_the_problem(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    recorded.problems = ["bad"]
    recorded.certificate.write_text("bad")
    assert recorded.checked(5) == ["rebuild"]
    recorded.problems = []
    recorded.certificate.write_text("old")
    assert recorded.checked(5) == ["rebuild"]
    assert recorded.checked(5) == []


def test_a_changed_secret_is_used_at_once_and_changes_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("old")
    token = SecretFile(tmp_path / "token")
    recorded = Recorded(tmp_path)
    (tmp_path / "token").write_text("new")
    assert recorded.checked(5) == ["token"]
    assert token() == "new"


def test_a_secret_file_that_changes_while_the_files_are_read_is_read_again(tmp_path: Path) -> None:
    async def inside() -> None:
        recorded = Recorded(tmp_path)
        reading = asyncio.create_task(recorded.files.read_secrets())
        while not pipes.is_set():  # noqa: ASYNC110 — set by a thread
            await asyncio.sleep(0)  # one turn of the loop
        refused = asyncio.create_task(recorded.files.read_secrets())
        await asyncio.sleep(0)  # let it begin
        (tmp_path / "token").write_text("new")
        release.set()
        await asyncio.gather(reading, refused)
        assert (token(), recorded.done) == ("new", ["token"])

    pipes, release = threading.Event(), threading.Event()

    class Slow(SecretFile):
        """The first reading of this file ends when it may."""

        def read(self) -> bool:
            result = super().read()
            if started:
                pipes.set()
                release.wait(30)
            return result

    started: list[bool] = []
    (tmp_path / "token").write_text("old")
    token = Slow(tmp_path / "token")
    started.append(True)
    asyncio.run(inside())


WRITTEN = {
    "emptied first": ["", "new-token"],
    "in two parts": ["new-", "new-token"],
    "in many parts": ["", "n", "new", "new-", "new-tok", "new-token"],
    "removed first": [None, "new-token"],
    "not UTF-8 at first": ["new-\udcff", "new-token"],
}
"""Contents of a file while it is written, one after another."""


@pytest.mark.parametrize("steps", WRITTEN.values(), ids=WRITTEN)
def test_a_secret_that_is_still_written_is_not_used(steps: list[str | None], tmp_path: Path) -> None:
    def write(text: str | None) -> None:
        if text is None:
            token.unlink()
        else:
            token.write_text(text, errors="surrogateescape")

    def pause(seconds: float) -> None:
        assert seconds == SETTLE_SECONDS
        used.append(secret())
        if left:
            write(left.pop(0))

    token = tmp_path / "token"
    write("old-token")
    used: list[str] = []
    left: list[str | None] = []
    secret = SecretFile(token, pause)
    write(steps[0])
    left = [*steps[1:]]
    while left:  # the timer of files
        secret.read()
        used.append(secret())
        if left:
            write(left.pop(0))
    secret.read()
    assert {*used} <= {"old-token", "new-token"}
    assert secret() == "new-token"


def test_a_reload_does_not_use_a_secret_that_is_still_written(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("old-token")
    in_force = SecretFile(tmp_path / "token")
    (tmp_path / "token").write_text("new-")

    def pause(_: float) -> None:
        (tmp_path / "token").write_text("new-token")

    new = SecretFile(tmp_path / "token", pause)
    assert (in_force(), new()) == ("old-token", "new-token")


def test_a_secret_that_is_written_all_the_time_stays_as_it_was(tmp_path: Path) -> None:
    def pause(seconds: float) -> None:
        waited.append(seconds)
        (tmp_path / "token").write_text(f"token-{len(waited)}")

    waited: list[float] = []
    (tmp_path / "token").write_text("token")
    secret = SecretFile(tmp_path / "token", pause)
    assert waited == []
    (tmp_path / "token").write_text("another")
    assert (secret.read(), secret()) == (False, "token")
    assert 0 < sum(waited) <= 2.5


def test_a_secret_file_that_hangs_is_waited_for_once(tmp_path: Path) -> None:
    async def inside() -> None:
        recorded = Recorded(tmp_path)
        reading = asyncio.create_task(recorded.files.read_secrets())
        await asyncio.sleep(0)  # let it begin
        await asyncio.sleep(0)  # and the task that reads
        threads = [each.name for each in threading.enumerate()]
        other = asyncio.create_task(recorded.files.read_secrets())
        await asyncio.sleep(0)  # the same
        await asyncio.sleep(0)  # the same
        assert [each.name for each in threading.enumerate()] == threads
        os.close(os.open(pipe, os.O_WRONLY))  # the end of the file
        await reading
        await asyncio.to_thread(lambda: os.close(os.open(pipe, os.O_WRONLY)))  # the same when it is read again
        await other
        assert (secret(), recorded.done) == ("old", [])

    pipe = tmp_path / "token"
    pipe.write_text("old")
    secret = SecretFile(pipe)
    pipe.unlink()
    os.mkfifo(pipe)
    asyncio.run(inside())


def test_changed_authorities_of_an_account_and_a_receiver_are_used_and_invalid_ones_are_not(
    simulator: Simulator,  # noqa: F811 — the fixture
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def work(scene: Running) -> None:
        daemon = scene.daemon
        scene.written(receiver=scene.old, accounts__0__ca_file=str(account), paging__receivers__0__ca_file=str(hook))
        assert await daemon.reload() == []
        await daemon.tasks.join()

        def used() -> tuple[object, object]:
            return daemon.accounts.monitors["eu"].client, daemon.paging.pager

        async def checked() -> tuple[object, object]:
            for _ in range(3):
                await daemon.watch_files()
            await daemon.tasks.join()
            return used()

        client, pager = used()
        assert await checked() == (client, pager)
        account.write_text("half a certifi")
        assert await checked() == (client, pager)
        assert await scene.value("datarobot_exporter_config_last_reload_successful") == 0
        assert caplog.text.count(REFUSED) == 1
        account.write_text(AUTHORITIES[1])
        new_client, same_pager = await checked()
        assert (new_client is client, same_pager is pager) == (False, True)
        assert await scene.value("datarobot_exporter_config_last_reload_successful") == 1
        hook.write_text(AUTHORITIES[1])
        same_client, new_pager = await checked()
        assert (same_client is new_client, new_pager is pager) == (True, False)

    account, hook = tmp_path / "account.pem", tmp_path / "hook.pem"
    for file in (account, hook):
        file.write_text(AUTHORITIES[0])
        ssl.create_default_context(cafile=file)
    play(simulator, tmp_path, work)


def test_a_changed_settings_file_is_applied(simulator: Simulator, tmp_path: Path) -> None:  # noqa: F811 — the fixture
    async def work(scene: Running) -> None:
        assert await scene.daemon.reload() == []
        for text, rate in (("accounts: [", 100), (None, 7)):
            if text is not None:
                (tmp_path / "exporter.yaml").write_text(text)
            else:
                scene.written(receiver=scene.old, accounts__0__requests_per_second=rate)
            for _ in range(3):
                await scene.daemon.watch_files()
            assert await scene.value("datarobot_exporter_api_budget_requests_per_second") == rate

    play(simulator, tmp_path, work)


REFUSED = "invalid settings; the old ones stay in force"
HOOK = {"name": "hook", "kind": "webhook", "url": "http://127.0.0.1:9/", "alerts": ["DataRobotWatchdog"]}
TRACES = {"endpoint": "http://127.0.0.1:9"}
PUSH = {"endpoint": "https://127.0.0.1:9"}
TLS = {"certificate": "server.pem", "client_certificate": "server.pem", "client_key": "server.key"}
NAMED: dict[str, dict[str, Any]] = {
    "accounts.token_file": {"accounts__0__token": None, "accounts__0__token_file": "text"},
    "accounts.ca_file": {"accounts__0__ca_file": "server.pem"},
    "receivers.ca_file": {"paging__receivers": [HOOK | {"ca_file": "server.pem"}]},
    "receivers.bearer_token_file": {
        "paging__receivers": [
            {"name": "am", "kind": "alertmanager", "urls": ["http://127.0.0.1:9"], "bearer_token_file": "text"}
        ]
    },
    "receivers.hmac_secret_file": {"paging__receivers": [HOOK | {"hmac_secret_file": "text"}]},
    "receivers.url_file": {"paging__receivers": [HOOK | {"url": None, "url_file": "url"}]},
    "receivers.webhook_url_file": {
        "paging__receivers": [{"name": "slack", "kind": "slack", "webhook_url_file": "url", "alerts": HOOK["alerts"]}]
    },
    "receivers.routing_key_file": {
        "paging__receivers": [{"name": "pd", "kind": "pagerduty", "routing_key_file": "text", "alerts": HOOK["alerts"]}]
    },
    "traces.certificate": {"traces": TRACES | {"certificate": "server.pem"}},
    "traces.client_certificate": {"traces": TRACES | TLS},
    "traces.client_key": {"traces": TRACES | TLS},
    "otlp.certificate": {"metrics": {"otlp": PUSH | {"certificate": "server.pem"}}},
    "otlp.client_certificate": {"events": {"otlp": PUSH | TLS}},
    "otlp.client_key": {"metrics": {"otlp": PUSH | TLS}},
    "state.password_file": {"state": {"url": "postgresql://a@127.0.0.1:9/a", "password_file": "text"}},
    "web.config_file": {"web__config_file": "web.yaml"},
    "the certificate in web.config_file": {"web__config_file": "web.yaml"},
}
"""Files that settings can name, and settings that name them."""
MISSING = {
    "traces.client_key": "server.key",
    "otlp.client_key": "server.key",
    "the certificate in web.config_file": "server.pem",
}
"""The file that does not exist, if it is not the first one that these settings name."""


def names_of_files(model: type[BaseModel], place: str) -> set[str]:
    """The settings of a section that are files, but for those that the exporter writes."""
    found: set[str] = set()
    for name, field in model.model_fields.items():
        for kind in sections_in(field.annotation):
            found |= names_of_files(kind, name)
        if Path in (field.annotation, *get_args(field.annotation)) and name != "path":
            found.add(f"{place}.{name}")
    return found


def sections_in(annotation: Any) -> Iterator[type[Section]]:
    """The classes of sections in a type."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for each in get_args(annotation):
        yield from sections_in(each)


def test_each_kind_of_file_that_settings_can_name_is_in_the_table_above() -> None:
    assert names_of_files(Settings, "") == NAMED.keys() - {"the certificate in web.config_file"}


@pytest.mark.parametrize("name", NAMED)
def test_settings_refused_because_a_file_does_not_exist_come_into_force_once_it_does(
    name: str,
    simulator: Simulator,  # noqa: F811 — the fixture
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def work(scene: Running) -> None:
        assert await scene.daemon.reload() == []
        for file, text in written.items():
            if file != missing:
                (folder / file).write_text(text)
        scene.written(receiver=scene.new, **settings, accounts__0__requests_per_second=7)

        async def rate() -> float | None:
            for _ in range(6):
                await scene.daemon.watch_files()
            return await scene.value("datarobot_exporter_api_budget_requests_per_second")

        assert await rate() == 100
        problems = caplog.text.count(REFUSED)
        assert await rate() == 100
        assert caplog.text.count(REFUSED) == problems > 0
        (folder / missing).write_text(written[missing])
        assert await rate() == 7
        assert await scene.value("datarobot_exporter_config_last_reload_successful") == 1

    folder = tmp_path / "named"
    folder.mkdir()
    certificate(folder)
    written = {file: (folder / file).read_text() for file in ("server.pem", "server.key")}
    written |= {
        "text": "demo-token",
        "url": "http://127.0.0.1:9/secret",
        "web.yaml": "tls_server_config: {cert_file: server.pem, key_file: server.key}",
    }
    for file in written:
        (folder / file).unlink(missing_ok=True)
    settings = in_folder(NAMED[name], folder, written)
    missing = MISSING.get(name) or next(file for file in written if f"/{file}'" in str(settings))
    play(simulator, tmp_path, work)


def in_folder(given: Any, folder: Path, files: Collection[str]) -> Any:
    """Settings with the paths of files in a folder in place of their names."""
    if isinstance(given, dict):
        return {key: in_folder(value, folder, files) for key, value in given.items()}
    if isinstance(given, list):
        return [in_folder(value, folder, files) for value in given]
    return str(folder / given) if given in files else given
