"""Files that are replaced while the daemon runs are applied once they are complete; what is invalid is said once."""

import asyncio
import os
import ssl
import threading
from pathlib import Path

import certifi
import pytest

from exporter.daemon.watched_files import WatchedFiles
from exporter.settings.file_contents import contents
from exporter.settings.secret_files import SecretFile
from exporter.simulator import Simulator
from tests.daemon.test_reload import Running, play, simulator  # noqa: F401 — a fixture

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
        self.files = WatchedFiles(
            [self.settings],
            reload=lambda: self.record("reload"),
            rebuild=lambda: self.record("rebuild"),
            renewed=lambda files: self.done.extend(file.name for file in files if file.parent == folder),
        )
        self.files.in_force = contents([self.settings, self.certificate])

    async def record(self, what: str) -> list[str]:
        self.done.append(what)
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


def test_a_changed_secret_is_used_at_once_and_changes_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("old")
    token = SecretFile(tmp_path / "token")
    recorded = Recorded(tmp_path)
    (tmp_path / "token").write_text("new")
    assert recorded.checked(5) == ["token"]
    assert token() == "new"


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
        await asyncio.gather(reading, other)
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
        assert caplog.text.count("invalid settings; the old ones stay in force") == 1
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
