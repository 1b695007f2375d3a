"""The daemon over real HTTP against the simulator, with a clock of the test: what each problem causes."""

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families

from exporter.alerting.silences import Silence
from exporter.clock import Clock
from exporter.daemon.daemon import Daemon
from exporter.daemon.once import sweep_once
from exporter.failures import REASONS
from exporter.settings.alerts import AlertSettings
from exporter.settings.model import Settings
from exporter.settings.paging import PagingSettings
from exporter.settings.problems import BadSettings, Problem
from exporter.settings.traces import TraceSettings
from exporter.simulator import Simulator
from exporter.tracing.identity import trace_id
from tests.daemon.parts import use_accounts, use_paging
from tests.e2e.servers import free_port
from tests.samples import Series, samples

START = 1_795_000_000.0


class Time:
    """A wall clock and a steady one; only `pass_` and the pauses of the client move them."""

    def __init__(self) -> None:
        self.wall, self.steady = START, 1000.0

    def pass_(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(0)  # let the other tasks run
        self.pass_(seconds)

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.wall, lambda: self.steady, self.pause)


class Scene:
    """A simulated API, a daemon that was never started, and the time; `sweep` is what its schedule would do."""

    def __init__(self, simulator: Simulator, **account: Any) -> None:
        self.simulator, self.time = simulator, Time()
        simulator.clock = lambda: self.time.wall
        values = {"name": "eu", "endpoint": simulator.url, "token": "demo-token", "requests_per_second": 100} | account
        self.settings = Settings.model_validate({"accounts": [values]})
        self.next: Settings | None = None
        self.daemon = Daemon(self.settings, self.load, clock=self.time.clock)
        use_accounts(self.daemon, self.settings)

    def load(self) -> Settings:
        if self.next is None:
            raise BadSettings([Problem("sweep.interval", "bad")])
        return self.next

    async def sweep(self, after: float = 0.0) -> None:
        self.time.pass_(after)
        await self.daemon.sweep("eu")
        await self.daemon.publish()  # as the timer does: what the sweep counted is on the page

    async def get(self, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        path, _, query = path.partition("?")
        scope = {"type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": raw}
        await self.daemon.application(scope, None, send)
        return sent[0]["status"], b"".join(message.get("body", b"") for message in sent)

    async def page(self, only: str = "") -> dict[Series, float]:
        """The samples on the page; of names that begin with `only`."""
        _, body = await self.get("/metrics")
        return samples(line for line in body.decode().splitlines() if line.startswith(only))

    async def value(self, name: str, **labels: str) -> float | None:
        wanted = set(labels.items())
        found = [v for (sample, has), v in (await self.page(name)).items() if sample == name and wanted <= has]
        return sum(found) if found else None

    async def episodes(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads((await self.get("/debug/episodes"))[1])
        return rows

    async def openmetrics(self) -> list[str]:
        return (await self.get("/metrics", accept="application/openmetrics-text"))[1].decode().splitlines()

    async def workloads(self) -> int:
        return (await self.get("/metrics"))[1].count(b"\ndatarobot_workload_info{")


@pytest.fixture(scope="module")
def shared() -> Iterator[Simulator]:
    # Begun when, for eight minutes from START on, no story adds or removes a workload: not at the hour of the test run.
    with Simulator(workloads=120, clock=lambda: START - 6720) as simulator:
        yield simulator


@pytest.fixture
def simulator(shared: Simulator) -> Iterator[Simulator]:
    yield shared
    shared.odd = frozenset()


def play(simulator: Simulator, work: Callable[[Scene], Awaitable[None]], **account: Any) -> None:
    async def inside() -> None:
        scene = Scene(simulator, **account)
        try:
            await work(scene)
        finally:
            for monitor in scene.daemon.accounts.monitors.values():
                await monitor.close()

    asyncio.run(inside())


PROBLEMS = [
    ("unauthorized", "auth", "returned 401: Invalid API key"),
    ("forbidden", "forbidden", "returned 403: feature not enabled"),
    ("absent", "not_found", "returned 404: Not Found"),
    ("method", "bad_request", "returned 405: Method Not Allowed"),
    ("not-implemented", "bad_request", "returned 501: not implemented"),
    ("throttled", "throttled", "returned 429: API rate limit exceeded"),
    ("throttled-seconds", "throttled", "returned 429"),
    ("throttled-date", "throttled", "returned 429: slow down"),
    ("error-text", "server_error", "returned 500: it broke"),
    ("error-list", "server_error", "returned 500: it; broke"),
    ("error-objects", "server_error", "returned 500: a: b"),
    ("bad-gateway", "server_error", "returned 502: 502 Bad Gateway"),
    ("unavailable", "server_error", "returned 503: no healthy upstream"),
    ("empty", "decode", "the response has no body"),
    ("truncated", "decode", "the response is not JSON"),
    ("no-data", "decode", "has no `data` list"),
    ("null-data", "decode", "has no `data` list"),
    ("repeating", "incomplete", "only workloads that it had returned before"),
    ("redirect-elsewhere", "redirect", "a redirect, which is not followed"),
    ("huge", "too_large", "more than 8388608 bytes"),
    ("cut", "connect", "connection failed or closed"),
]


UNREADABLE = ["lone-surrogate", "not-a-number", "out-of-range", "raw-tab", "not-utf8", "nested", "byte-order-mark"]


@pytest.mark.parametrize("oddity", UNREADABLE)
def test_what_a_strict_decoder_refuses_costs_no_workload_and_no_sweep(simulator: Simulator, oddity: str) -> None:
    async def work(scene: Scene) -> None:
        simulator.odd = frozenset({oddity})
        await scene.sweep()
        assert await scene.workloads() == 120
        assert await scene.value("datarobot_exporter_api_up", account="eu") == 1
        assert await scene.value("datarobot_workload_fresh", part="list") == 120

    play(simulator, work)


@pytest.mark.parametrize(("oddity", "reason", "words"), PROBLEMS)
def test_each_problem_is_a_metric_and_a_log_line_and_changes_nothing_that_is_served(
    simulator: Simulator, caplog: pytest.LogCaptureFixture, oddity: str, reason: str, words: str
) -> None:
    async def work(scene: Scene) -> None:
        await scene.sweep()
        good = await scene.workloads()
        success = await scene.value("datarobot_exporter_sweep_last_success_timestamp_seconds")
        simulator.odd = {f"{oddity}@/workloads"}
        await scene.sweep(after=30)
        assert await scene.workloads() == good
        assert await scene.value("datarobot_exporter_sweep_last_success_timestamp_seconds") == success
        attempt = await scene.value("datarobot_exporter_sweep_last_attempt_timestamp_seconds")
        assert attempt == pytest.approx(scene.time.wall)
        assert await scene.value("datarobot_exporter_sweep_failures_total", reason=reason) == 1
        assert await scene.value("datarobot_exporter_sweep_failures_total") == 1
        assert await scene.value("datarobot_exporter_api_up") == 0
        (line,) = [record for record in caplog.records if record.message == "sweep failed"]
        fields = line.__dict__["fields"]
        assert (fields["account"], fields["reason"]) == ("eu", reason)
        assert words in fields["words"]
        assert fields["serving"].startswith("the workloads of ")
        assert (await scene.get("/-/healthy"))[0] == 200
        assert (await scene.get("/-/ready"))[0] == 200

    with caplog.at_level(logging.INFO, "exporter"):
        play(simulator, work)
    assert "demo-token" not in caplog.text
    assert simulator.non_get_requests == 0


@pytest.mark.parametrize(
    ("endpoint", "reason"),
    [
        (lambda s: "http://nowhere.invalid", "dns"),
        (lambda s: f"http://127.0.0.1:{free_port()}", "connect"),
        (lambda s: s.url.replace("http:", "https:"), "tls"),
    ],
)
def test_an_unreachable_host_is_reported_by_reason_and_nothing_is_ready(
    simulator: Simulator, endpoint: Callable[[Simulator], str], reason: str
) -> None:
    async def work(scene: Scene) -> None:
        await scene.sweep()
        assert await scene.value("datarobot_exporter_sweep_failures_total", reason=reason) == 1
        assert await scene.value("datarobot_exporter_sweep_last_success_timestamp_seconds") is None
        status, body = await scene.get("/-/ready")
        assert (
            status,
            body.startswith(b"not ready: account eu: no complete sweep yet; GET /workloads failed: "),
        ) == (
            503,
            True,
        )

    play(simulator, work, endpoint=endpoint(simulator))


def test_a_server_that_hangs_is_given_up_on(simulator: Simulator) -> None:
    async def work(scene: Scene) -> None:
        simulator.odd = {"hanging@/workloads"}
        await scene.sweep()
        assert await scene.value("datarobot_exporter_sweep_failures_total", reason="timeout") == 1

    play(simulator, work, timeout=0.2)


HARMLESS = [
    ("conditions-met-since", 0),
    ("no-next", 0),
    ("no-total", 0),
    ("total", 0),
    ("old-autoscaling", 0),
    ("flat-runtime", 0),
    ("string-memory", 0),
    ("upper-case", 0),
    ("nanoseconds", 0),
    ("blank-in-times", 0),
    ("old-details", 0),
    ("slash-required", 0),
    ("slash-forbidden", 0),
    ("slash-redirect", 0),
    ("next-elsewhere", 0),
    ("odd-names", 0),
    ("long-names", 0),
    ("clock-skew", 0),
    ("duplicates", 2),
    ("wrong-type", 2),
    ("no-id", 2),
]


@pytest.mark.parametrize(("oddity", "rejects"), HARMLESS)
def test_each_oddity_is_digested_and_what_is_left_out_is_counted(
    simulator: Simulator, oddity: str, rejects: int
) -> None:
    async def work(scene: Scene) -> None:
        await scene.sweep()
        good = await scene.workloads()
        known = {line for line in await scene.openmetrics() if line.startswith("datarobot_workload_")}
        simulator.odd = {f"{oddity}@/workloads"}
        await scene.sweep(after=30)
        assert await scene.value("datarobot_exporter_api_up") == 1
        assert await scene.workloads() == good
        assert (await scene.value("datarobot_exporter_api_rejects_total") or 0) == rejects
        page = await scene.openmetrics()
        assert len(page) == len(set(page))
        new = "\n".join(line for line in page if line not in known)  # the parser takes a second for all of them
        families = list(openmetrics_families(new))  # type: ignore[no-untyped-call]  # the parser has no types
        assert len(families) > 50

    play(simulator, work)


def test_an_empty_page_of_a_list_that_goes_on_is_an_incomplete_sweep(simulator: Simulator) -> None:
    async def work(scene: Scene) -> None:
        await scene.sweep()
        good = await scene.workloads()
        simulator.odd = {"never-ending@/workloads"}
        await scene.sweep(after=30)
        assert await scene.value("datarobot_exporter_api_up") == 0
        assert await scene.workloads() == good  # what was not listed may be there all the same

    play(simulator, work)


def test_an_hour_without_the_api_is_survived_and_made_up_for_without_a_burst(simulator: Simulator) -> None:
    async def work(scene: Scene) -> None:
        await scene.sweep()
        good = await scene.workloads()
        served, success = {}, await scene.value("datarobot_exporter_sweep_last_success_timestamp_seconds")
        simulator.odd = {"unavailable"}
        began, known = scene.time.wall, _listed(simulator, scene.time.wall)
        while scene.time.wall < began + 3600:
            await scene.sweep(after=240)
            assert (await scene.get("/-/healthy"))[0] == 200
            served[scene.time.wall - began] = await scene.workloads()
        assert await scene.value("datarobot_exporter_sweep_last_success_timestamp_seconds") == success
        assert all(count == good for at, count in served.items() if at < 880)
        assert all(count == 0 for at, count in served.items() if at > 910)
        assert await scene.value("datarobot_exporter_api_up") == 0
        assert await scene.value("datarobot_exporter_sweeps_total") == len(served) + 1
        simulator.odd = frozenset()
        before = simulator.requests.copy()
        await scene.sweep(after=30)
        assert await scene.workloads() == len(simulator.world.listed(scene.time.wall))
        gone = known - _listed(simulator, scene.time.wall)
        made = simulator.requests - before
        by_id = made.pop(("/workloads/{id}", 403), 0) + made.pop(("/workloads/{id}", 404), 0) / 2  # with and without /
        assert 0 < by_id == len(gone)
        assert made == {("/workloads", 200): 2}  # two pages, and nothing more

    play(simulator, work)


def _listed(simulator: Simulator, at: float) -> set[str]:
    """The ids of the workloads that are listed at a time."""
    actors = map(simulator.world.actor, simulator.world.listed(at))
    return {actor.id(actor.moment(at)) for actor in actors}


def test_old_workloads_are_withdrawn_even_while_a_sweep_hangs(simulator: Simulator) -> None:
    async def work(scene: Scene) -> None:
        await scene.sweep()
        simulator.odd = {"hanging@/workloads"}
        hanging = asyncio.create_task(scene.daemon.sweep("eu"))
        await asyncio.sleep(0)  # let the other tasks run
        scene.time.pass_(901)
        await scene.daemon.publish()
        assert await scene.workloads() == 0
        hanging.cancel()
        await asyncio.gather(hanging, return_exceptions=True)

    play(simulator, work)


def test_a_clock_that_is_set_neither_withdraws_nor_stops_the_sweeps(simulator: Simulator) -> None:
    async def work(scene: Scene) -> None:
        await scene.sweep()
        good = await scene.workloads()
        for jump in (-7200.0, 86400.0):
            scene.time.wall += jump
            scene.daemon.schedule.follow_clock()
            await scene.daemon.publish()
            assert await scene.workloads() == good
            assert scene.daemon.schedule.next_sweeps == {"eu": pytest.approx(scene.time.wall)}
        await scene.sweep(after=30)
        assert await scene.value("datarobot_exporter_sweep_last_success_timestamp_seconds") == scene.time.wall

    play(simulator, work)


def test_a_good_reload_keeps_what_is_known_and_a_bad_one_keeps_the_settings(simulator: Simulator) -> None:
    async def work(scene: Scene) -> None:
        await scene.sweep()
        good = await scene.workloads()
        assert await scene.daemon.reload() == ["sweep.interval: bad"]
        await scene.daemon.publish()
        assert await scene.value("datarobot_exporter_config_last_reload_successful") == 0
        assert await scene.workloads() == good
        scene.time.pass_(10)
        account = scene.settings.accounts[0].model_copy(update={"requests_per_second": 50.0})
        scene.next = scene.settings.model_copy(
            update={"accounts": (account,), "metrics": scene.settings.metrics.model_copy(update={"profile": "minimal"})}
        )
        assert await scene.daemon.reload() == []
        await scene.daemon.publish()
        assert await scene.value("datarobot_exporter_config_last_reload_successful") == 1
        reloaded = await scene.value("datarobot_exporter_config_last_reload_success_timestamp_seconds")
        assert reloaded == scene.time.wall
        assert await scene.workloads() == good
        assert await scene.value("datarobot_exporter_api_budget_requests_per_second") == 50
        assert await scene.value("datarobot_workload_created_timestamp_seconds") is None
        await scene.sweep(after=30)
        assert await scene.value("datarobot_exporter_sweeps_total") == 2

    play(simulator, work)


def paged(settings: Settings, name: str, **receiver: Any) -> Settings:
    """The same settings, by which a webhook is paged."""
    hook = {"name": name, "kind": "webhook", "url": "http://127.0.0.1:1"} | receiver
    paging = PagingSettings.model_validate({"who": "direct", "receivers": [hook]})
    return settings.model_copy(update={"paging": paging})


def test_reloads_that_come_together_leave_one_pager_and_it_is_the_last_ones(simulator: Simulator) -> None:
    async def work(scene: Scene) -> None:
        daemon, names = scene.daemon, ("one", "two", "three")
        await use_paging(daemon, paged(scene.settings, "none"))
        await asyncio.gather(*(use_paging(daemon, paged(scene.settings, name)) for name in names))
        await asyncio.sleep(0)  # let the other tasks run
        running = [task for task in asyncio.all_tasks() if "Pager._run" in str(task.get_coro())]
        assert len(running) == 1
        assert daemon.paging.pager is not None
        assert [delivery.receiver.name for delivery in daemon.paging.pager.deliveries] == ["three"]
        await daemon.paging.pager.close()

    play(simulator, work)


def test_the_page_of_a_workload_has_the_alerts_and_silences_of_direct_paging(simulator: Simulator) -> None:
    async def work(scene: Scene) -> None:
        at_once = AlertSettings.model_validate({"wait": {"DataRobotWorkloadErrored": 0}})
        settings = paged(scene.settings, "page").model_copy(update={"alerts": at_once})
        await scene.sweep()
        states = scene.daemon.accounts.monitors["eu"].workloads.values()
        failed = next(each.workload.id for each in states if each.workload.status == "errored")
        assert "(critical) fires" not in (await scene.get(f"/workloads/{failed}"))[1].decode()
        await use_paging(scene.daemon, settings)
        assert scene.daemon.paging.pager is not None
        await scene.daemon.paging.pager.evaluate()
        await scene.daemon.paging.pager.silence(Silence({"workload_id": failed}, scene.time.wall + 60, "jane"))
        assert '<td data-label="Author">jane</td>' in (await scene.get(f"/workloads/{failed}"))[1].decode()
        await scene.daemon.paging.pager.close()
        timeline = (await scene.get(f"/workloads/{failed}"))[1].decode().partition('id="timeline"')[2]
        assert re.search(r"DataRobotWorkloadErrored \(\w+\) fires", timeline)
        assert "first observed by this exporter" in timeline

    play(simulator, work)


def test_a_bad_certificate_of_a_receiver_leaves_the_traces_as_they_were(simulator: Simulator) -> None:
    async def work(scene: Scene) -> None:
        traces = TraceSettings.model_validate({"endpoint": "http://127.0.0.1:1"})
        bad = paged(scene.settings, "page", ca_file=__file__)
        scene.next = bad.model_copy(update={"traces": traces})
        (problem,) = await scene.daemon.reload()
        assert problem.startswith("paging.receivers.ca_file: of page cannot be used")
        assert (scene.daemon.traces.sender, scene.daemon.settings) == (None, scene.settings)

    play(simulator, work)


def test_an_account_that_is_dropped_by_a_reload_is_gone_from_the_page(simulator: Simulator) -> None:
    async def work(scene: Scene) -> None:
        await scene.sweep()
        other = scene.settings.accounts[0].model_copy(update={"name": "us"})
        scene.next = scene.settings.model_copy(update={"accounts": (other,)})
        await scene.daemon.reload()
        await scene.daemon.sweep("us")
        await scene.daemon.publish()
        assert await scene.value("datarobot_workload_info", account="eu") is None
        assert await scene.value("datarobot_exporter_api_up", account="eu") is None
        assert await scene.value("datarobot_exporter_sweeps_total", account="eu") == 1
        assert await scene.value("datarobot_exporter_api_up", account="us") == 1

    play(simulator, work)


def test_one_sweep_alone_recalls_nothing(simulator: Simulator) -> None:
    async def work(scene: Scene) -> None:
        traces = TraceSettings.model_validate({"endpoint": "http://127.0.0.1:9", "backfill": "1h"})
        once = Daemon(scene.settings.model_copy(update={"traces": traces}), scene.load, clock=scene.time.clock)
        await sweep_once(once)
        assert once.accounts.monitors["eu"].backfilling is None

    play(simulator, work)


def test_two_accounts_stand_side_by_side(simulator: Simulator, tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        other = scene.settings.accounts[0].model_copy(update={"name": "us"})
        use_accounts(scene.daemon, scene.settings.model_copy(update={"accounts": (*scene.settings.accounts, other)}))
        await asyncio.gather(scene.daemon.sweep("eu"), scene.daemon.sweep("us"))
        each = [await scene.value("datarobot_workload_info", account=name) for name in ("eu", "us")]
        assert each[0] == each[1] == len(simulator.world.listed(scene.time.wall))

    play(simulator, work)


async def has_a_page_for_days(scene: Scene) -> None:
    """The workload that has just vanished still has a page when it is on no other any more."""
    (gone,) = scene.daemon.accounts.monitors["eu"].snapshot.gone
    await scene.sweep(after=7200)
    await scene.sweep(after=30)
    assert f"workloads/{gone}" not in (await scene.get(f"/?q={gone}"))[1].decode()
    status, body = await scene.get(f"/workloads/{gone}")
    assert (status, "the API responds with 404" in body.decode()) == (200, True)


def test_a_workload_that_is_deleted_is_shown_as_vanished_after_two_complete_sweeps() -> None:
    with Simulator(workloads=30) as simulator:

        async def work(scene: Scene) -> None:
            await scene.sweep()
            for _ in range(80):
                await scene.sweep(after=30)
                gone = await scene.value("datarobot_workload_vanished_timestamp_seconds")
                if gone is not None:
                    assert gone == pytest.approx(scene.time.wall)
                    await has_a_page_for_days(scene)
                    return
            raise AssertionError("nothing vanished in forty minutes")

        play(simulator, work)


def test_every_reason_is_on_the_page_from_the_start(simulator: Simulator) -> None:
    async def work(scene: Scene) -> None:
        await scene.daemon.publish()
        for reason in REASONS:
            assert await scene.value("datarobot_exporter_sweep_failures_total", reason=reason) == 0

    play(simulator, work)


def test_the_demo_as_the_specification_says_is_digested_without_a_reject() -> None:
    with Simulator(workloads=60, strict=True) as simulator:

        async def work(scene: Scene) -> None:
            await scene.sweep()
            assert await scene.workloads() == len(simulator.world.listed(scene.time.wall))
            assert await scene.value("datarobot_exporter_api_rejects_total") is None

        play(simulator, work)


def test_the_status_page_shows_what_was_swept_how_old_it_is_and_what_fails(simulator: Simulator) -> None:
    async def work(scene: Scene) -> None:
        await scene.sweep()
        swept = len(simulator.world.listed(scene.time.wall))
        simulator.odd = {"unavailable@/workloads"}
        await scene.sweep(after=240)
        status, body = await scene.get("/")
        assert status == 200
        page = body.decode()
        assert f"1 to 100 of {swept}<" in page
        assert "4 min ago</time>" in page
        assert "returned 503: no healthy upstream" in page
        assert 'href="./metrics"' in page
        assert "/debug/config" not in page
        assert "demo-token" not in page

    play(simulator, work)


def test_the_page_of_a_workload_shows_what_was_swept_and_sends_no_request(simulator: Simulator) -> None:
    async def work(scene: Scene) -> None:
        path = "/workloads/4782513e70c7d06a6345ac0a"
        assert (await scene.get(path))[0] == 503, "no sweep yet"
        await scene.sweep()
        requests = simulator.requests.total()
        status, body = await scene.get(f"{path}?account=eu")
        assert (status, "<h1>not-ready-11 <" in body.decode()) == (200, True)
        assert "demo-token" not in body.decode()
        assert f'href=".{path}?account=eu"' in (await scene.get("/?q=not-ready-11"))[1].decode()
        assert (await scene.get(f"{path}?account=asia"))[0] == 404
        assert (await scene.get("/workloads/unknown"))[0] == 404
        status, body = await scene.get("/workloads/Not-Ready-11")
        assert (status, f'href="..{path}?account=eu"' in body.decode()) == (404, True)
        assert "Workloads of this name" in body.decode()
        assert simulator.requests.total() == requests

    play(simulator, work)


def test_host_names_apply_from_the_start_and_after_a_reload(simulator: Simulator) -> None:
    async def work(scene: Scene) -> None:
        named = scene.settings.web.model_copy(update={"hosts": ("exporter.example.test",)})
        changed = scene.next = scene.settings.model_copy(update={"web": named})
        before = scene.daemon.application.hosts
        assert await scene.daemon.reload() == []
        started = Daemon(changed, lambda: changed)
        hosts = [before, scene.daemon.application.hosts, started.application.hosts]
        assert hosts == [(), ("exporter.example.test",), ("exporter.example.test",)]

    play(simulator, work)


def test_episodes_in_progress_are_listed_if_the_settings_enable_it(simulator: Simulator) -> None:
    async def work(scene: Scene) -> None:
        await scene.sweep()
        assert (await scene.get("/debug/episodes"))[0] == 404
        shown = scene.settings.web.model_copy(update={"debug_config": True})
        scene.next = scene.settings.model_copy(update={"web": shown})
        await scene.daemon.reload()
        assert 'href="./debug/episodes"' in (await scene.get("/"))[1].decode()
        (hangs,) = [each for each in await scene.episodes() if each["workload"] == "not-ready-11"]
        assert hangs == {
            "account": "eu",
            "workload": "not-ready-11",
            "workload_id": "4782513e70c7d06a6345ac0a",
            "kind": "start",
            "since": "2026-11-18T11:06:40Z",
            "status": "launching",
            "trace_id": None,
        }
        while not (known := [each for each in await scene.episodes() if each["trace_id"]]):
            await scene.sweep(after=30)
        workload = scene.daemon.accounts.monitors["eu"].workloads[known[0]["workload_id"]].workload
        assert workload.replacement is not None
        key = "replacement", (workload.replacement.id or "",)
        assert known[0]["trace_id"] == trace_id(scene.settings.accounts[0].origin, workload.id, *key).hex()
        begun = [each["since"] for each in await scene.episodes()]
        assert begun == sorted(begun)

    play(simulator, work)


def test_the_status_page_of_an_account_that_was_not_swept_yet_claims_nothing(simulator: Simulator) -> None:
    async def work(scene: Scene) -> None:
        page = (await scene.get("/"))[1].decode()
        assert "first sweep not finished yet" in page
        assert "No workloads known yet, so no alert is evaluated." in page

    play(simulator, work)
