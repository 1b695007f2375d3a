"""Reload of the settings: everything is built first and put in force in one step, or nothing changes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from exporter.clock import Clock
from exporter.daemon.prepared import Prepared
from exporter.daemon.tasks import BackgroundTasks
from exporter.log import log
from exporter.redaction import Secrets
from exporter.settings.file_contents import Contents
from exporter.settings.model import Settings
from exporter.settings.problems import BadSettings
from exporter.state.database import StateError
from exporter.telemetry.report import Report
from exporter.threads import in_own_thread

FILES_SECONDS = 30.0
"""Seconds for reading the files and building what they name; a file may never open, such as a pipe."""


class Reloader:
    """`reload` reads settings with `load`, builds what they name with `prepare`, in a thread, and then calls `apply`.

    `prepare` has no visible effect and may raise any exception; `apply` neither waits nor fails; `publish` then shows
    the result. `lock` is held during a reload. Once `stopping` is set, reloads are refused. `files_seconds`: deadline
    for `load` and `prepare`, after which the reload has failed. `refused`: what was in the files of settings that
    were refused last, before they were read; empty once settings are in force.
    """

    def __init__(
        self,
        *,
        load: Callable[[], Settings],
        prepare: Callable[[Prepared], None],
        apply: Callable[[Prepared], None],
        publish: Callable[[], Awaitable[None]],
        secrets: Secrets,
        report: Report,
        clock: Clock,
        files_seconds: float = FILES_SECONDS,
    ) -> None:
        self._files_seconds = files_seconds
        self._load, self._prepare, self._apply, self._publish = load, prepare, apply, publish
        self._secrets, self._report, self._clock = secrets, report, clock
        self.lock = asyncio.Lock()
        self._next: asyncio.Task[list[str]] | None = None
        self._late = BackgroundTasks()
        self.stopping = False
        self._settings_good = self._files_good = True
        self.refused: Contents = {}
        self._note(True)

    async def reload(self) -> list[str]:
        """Returns the problems. Without any the new settings are in force, else the old ones stay in force.

        Reloads are made one after another. All that are requested before the next one begins are one.
        """
        if self._next is None:
            self._next = asyncio.create_task(self._in_turn())
        return await asyncio.shield(self._next)

    async def _in_turn(self) -> list[str]:
        async with self.lock:
            self._next = None  # what is requested from now on may be about files that have changed again
            problems, self.refused = await self._reload(self._load)
            self._files_good = not problems or self._files_good
            self._note(not problems)
        await self._publish()
        return problems

    async def rebuild(self, settings: Callable[[], Settings]) -> list[str]:
        """The same with the settings in force, whose files have changed."""
        async with self.lock:
            problems, _ = await self._reload(settings)
            self._files_good = not problems
            self._note(self._settings_good)
        await self._publish()
        return problems

    async def _reload(self, load: Callable[[], Settings]) -> tuple[list[str], Contents]:
        """The problems, and what was in the files if there are any."""
        preparing: asyncio.Task[None] | None = None
        new: Prepared | None = None

        def tried() -> Contents:
            return {} if new is None else new.contents

        try:
            async with asyncio.timeout(self._files_seconds):
                loaded = await in_own_thread(load)
                new = Prepared(loaded)
                await in_own_thread(partial(self._secrets.follow, loaded.secrets()))
                preparing = asyncio.create_task(in_own_thread(partial(self._prepare, new)))
                await asyncio.shield(preparing)
            if self.stopping:  # tasks started now would not be stopped
                return ["reload: not done; the exporter is stopping"], {}
            self._apply(new)
        except BadSettings as error:
            problems = [str(problem) for problem in error.problems]
            for problem in problems:
                log.error("invalid settings; the old ones stay in force", problem=problem)
            return problems, {**error.contents, **tried()}
        except TimeoutError:
            problem = (
                f"not done: files could not be read within {self._files_seconds:g} s; one of them, or its disk, hangs"
            )
            log.error("the reload failed; the old settings stay in force", problem=problem)
            return [f"reload: {problem}"], tried()
        except StateError as error:
            log.error("the reload failed; the old settings stay in force", problem=str(error))
            return [f"state: {error}"], tried()
        except Exception as error:  # anything: the old settings are better than half of the new ones
            log.exception("the reload failed; the old settings stay in force")
            return [f"reload: failed with {type(error).__name__}; see the log of the exporter for details"], tried()
        finally:
            if new is not None and preparing is not None and preparing.done():
                await new.aclose()
            elif new is not None and preparing is not None:
                self._late.start(_close_after(preparing, new))
        log.info("settings reloaded", accounts=len(new.settings.accounts))
        return [], {}

    @property
    def successful(self) -> bool:
        """Whether the settings and files that were read last are in use."""
        return self._settings_good and self._files_good

    def _note(self, settings_good: bool) -> None:
        self._settings_good = settings_good
        self._report.set("config_last_reload_successful", float(self.successful))
        if self.successful:
            self._report.set("config_last_reload_success_timestamp_seconds", self._clock.wall())


async def _close_after(preparing: asyncio.Task[None], new: Prepared) -> None:
    """Close what a thread has built after its deadline, once it ends."""
    await asyncio.gather(preparing, return_exceptions=True)
    await new.aclose()
