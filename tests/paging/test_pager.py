"""The pager: what each receiver is sent over time, through failures, restarts and reloads."""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from exporter.alerting.delivery_state import Subscription
from exporter.alerting.notification import Notification
from exporter.alerting.rules import Options
from exporter.alerting.silences import Silence
from exporter.alerting.subjects import AccountFleet, ExporterStatus, SweepStatus
from exporter.api.details import RequestMetrics
from exporter.api.models import Tag, Workload
from exporter.clock import Clock
from exporter.fleet.ledger import Ledger, Tally
from exporter.fleet.workload_state import Account, Details, Window, WorkloadState
from exporter.metrics.account_families import AccountFacts
from exporter.paging.delivery import MAX_PAUSE_SECONDS
from exporter.paging.notify.contract import Sent
from exporter.paging.pager import Pager
from exporter.paging.paging_state import PagingState
from exporter.paging.receiver import Receiver
from exporter.state.database import StateError
from exporter.state.rights import Rights
from exporter.state.store import Store, StoredPaging
from exporter.telemetry.report import Report
from tests.disks import full_disk

ALL = Subscription(lambda notification: notification.labels["severity"] != "none", lambda _, __: False)


DELIVERED = Sent("", "delivered")


class Phone:
    """A receiver that responds as scripted, and remembers what it received."""

    def __init__(self) -> None:
        self.received: list[str] = []
        self.notifications: list[Notification] = []
        self.answer: Sent | Exception = DELIVERED

    async def send(self, notifications: Sequence[Notification], _: float) -> list[Sent]:
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer.fate == "delivered":
            self.received += [f"{each.status} {each.title}" for each in notifications]
            self.notifications += notifications
        return [self.answer._replace(key=each.key) for each in notifications]


class Scene:
    """A fleet of one workload, a pager with one phone, and a clock that only `passes` moves."""

    options = Options()

    def __init__(
        self,
        path: Path | None = None,
        *,
        standing: bool = False,
        subscription: Subscription = ALL,
        repeat: float = 0.0,
        change: Any = None,
        wants: Callable[[Notification], bool] = lambda _: True,
        evidence: Any = lambda state, *_: (("State", state.workload.status or ""),),
        account_evidence: Any = lambda alert, fleet, _: ((alert, fleet.sweep.failure),),
    ) -> None:
        self.now, self.step, self.fresh = 1_795_000_000.0, 0.0, True
        self.status = "running"
        self.phone, self.path = Phone(), path
        self.standing, self.subscription, self.repeat, self.change = standing, subscription, repeat, change
        self.wants, self.evidence, self.account_evidence = wants, evidence, account_evidence
        self.failure = ""
        self.recorded: list[tuple[str, float | None, float | None, float]] = []
        self.transitions: dict[str, int] = {}
        self.exporter = ExporterStatus()
        self.start()

    @property
    def status(self) -> str:
        """The status of the workload."""
        return self._status

    @status.setter
    def status(self, status: str) -> None:
        self._status, self._since = status, self.now

    def start(self) -> None:
        """The exporter is started, with the state that there is."""
        self.store: Store = Store(self.path)
        self.report = Report(self.now)
        self.pager = self.made()

    def made(self, before: Pager | None = None) -> Pager:
        """A pager of these settings."""
        receiver = Receiver(
            "phone", self.phone.send, self.subscription, self.standing, self.repeat, self.change, self.wants
        )
        clock = Clock(lambda: self.now, lambda: self.now - self.step, asyncio.sleep)
        return Pager(
            state=before.state if before else PagingState(self.store),
            report=self.report, options=self.options, receivers=[receiver], evidence=self.evidence,
            fleets=self.fleets, exporter=lambda: self.exporter, clock=clock, before=before,
            account_evidence=self.account_evidence,
            record=lambda alarm, now: self.recorded.append((alarm.alert, alarm.fired, alarm.ended, now)),
        )  # fmt: skip

    def fleets(self) -> list[AccountFleet]:
        """What is known now."""
        workload = Workload(id="w1", name="chat", status=self.status, importance="critical", tags=(Tag("team", "x"),))
        known = AccountFacts(Account("acme"), None, Tally())
        return [
            AccountFleet(
                known,
                [WorkloadState("acme", workload, Ledger(0.0, self._since, transitions=self.transitions))],
                SweepStatus(self.failure, 1.0, 30.0),
                self.fresh,
            )
        ]

    def set_clock(self, seconds: float) -> None:
        """The wall clock is set forward or back, and with it, as the API's clock is right, nothing else."""
        self.now += seconds
        self.step += seconds
        self._since += seconds

    async def passes(self, seconds: float, every: float = 30.0) -> None:
        """Time goes by, half a minute at a time."""
        until = self.now + seconds
        while self.now < until:
            self.now = min(until, self.now + every)
            await self.pager.evaluate()
            await self.pager.notify()

    def value(self, name: str, **labels: str) -> float | None:
        """One of our own metrics."""
        return self.report.registry.get_sample_value(f"datarobot_exporter_{name}", labels)


def play(work: Callable[[Scene], Awaitable[None]], **facts: Any) -> Scene:
    scene = Scene(**facts)
    asyncio.run(work(scene))  # type: ignore[arg-type]  # every one is a coroutine
    return scene


CHAT = "DataRobotWorkloadErrored: chat (account acme)"
KEPT = 720
"""For how many seconds an incident lasts after the workload has recovered."""
FIRES, ENDS = f"firing {CHAT}", f"resolved {CHAT}"


def test_an_incident_opens_once_with_its_evidence_and_closes_once() -> None:
    async def work(scene: Scene) -> None:
        scene.status = "errored"
        await scene.passes(3600)
        assert scene.value("alerts_firing", alertname="DataRobotWorkloadErrored", severity="critical") == 1
        scene.status = "running"
        await scene.passes(KEPT + 3600)

    scene = play(work)
    assert scene.phone.received == [FIRES, ENDS]
    assert (scene.phone.notifications[0].evidence, scene.phone.notifications[0].tags) == (
        (("State", "errored"),),
        {"team": "x"},
    )
    assert scene.value("notifications_total", receiver="phone", fate="delivered") == 2
    assert scene.value("alerts_firing", alertname="DataRobotWorkloadErrored", severity="critical") is None


def test_each_alarm_is_recorded_once_when_it_fires_and_once_when_it_ends_also_over_a_restart(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        scene.status = "errored"
        await scene.passes(600)
        scene.store.close()
        scene.start()
        await scene.passes(600)
        scene.status = "running"
        await scene.passes(KEPT + 600)

    fires, ends = [each for each in play(work, path=tmp_path / "state").recorded if "Errored" in each[0]]
    assert fires[1:3] == (fires[3], None)
    assert ends == (fires[0], fires[1], ends[3], ends[3])


@pytest.mark.parametrize(
    "answer", [Sent("", "again", "timeout", "x"), Sent("", "failed", "forbidden", "x"), OSError("x")]
)
def test_a_receiver_that_is_unreachable_for_a_day_is_notified_of_what_still_fires(answer: Sent | Exception) -> None:
    async def work(scene: Scene) -> None:
        scene.phone.answer, scene.status = answer, "errored"
        await scene.passes(86400, every=600.0)
        assert scene.phone.received == []
        scene.phone.answer = DELIVERED
        await scene.passes(MAX_PAUSE_SECONDS + 60)
        assert scene.phone.received == [FIRES]

    play(work)


def test_a_receiver_that_hangs_delays_neither_evaluations_nor_others_nor_the_state(tmp_path: Path) -> None:
    async def hangs(*_: object) -> list[Sent]:
        await asyncio.Event().wait()
        raise AssertionError("it never answers")

    async def work(scene: Scene) -> None:
        clock = Clock(lambda: scene.now, lambda: scene.now, asyncio.sleep)
        receivers = [Receiver("stuck", hangs, ALL), Receiver("phone", scene.phone.send, ALL)]
        pager = scene.pager = Pager(
            state=PagingState(scene.store),
            report=scene.report,
            options=Options(),
            receivers=receivers,
            evidence=lambda *_: (),
            fleets=scene.fleets,
            exporter=ExporterStatus,
            clock=clock,
            interval=0.01,
        )
        scene.status = "errored"
        await scene.passes(600)
        assert [*scene.store.load_paging().notified["phone"]] == [*pager.state.notified["phone"]] != []
        scene.status = "running"
        await scene.passes(KEPT + 60)
        assert scene.phone.received == [FIRES, ENDS]
        await pager.close()

    play(work, path=tmp_path / "state.db")


def test_an_incident_that_ended_meanwhile_is_logged_but_not_sent(caplog: pytest.LogCaptureFixture) -> None:
    async def work(scene: Scene) -> None:
        scene.phone.answer, scene.status = Sent("", "again", "connect", "refused"), "errored"
        await scene.passes(3600)
        scene.status = "running"
        await scene.passes(KEPT + 3600)
        scene.phone.answer = DELIVERED
        await scene.passes(3600)
        assert scene.phone.received == []

    with caplog.at_level(logging.WARNING):
        play(work)
    messages = [record.message for record in caplog.records]
    assert [m for m in messages if m.startswith("alert ")] == ["alert fires", "alert has ended"]
    assert messages.count("a receiver could not be notified; retrying") == 1


def test_what_the_own_rate_limit_postpones_is_no_failure_of_the_receiver(caplog: pytest.LogCaptureFixture) -> None:
    async def work(scene: Scene) -> None:
        words = "not sent: at most 1 requests in 1 s"
        scene.phone.answer, scene.status = Sent("", "again", "throttled", words, 45.0, postponed=True), "errored"
        await scene.passes(330)
        assert (scene.value("notification_failing_seconds", receiver="phone"), scene.pager.failing) == (0, {})
        assert scene.value("notification_failures_total", receiver="phone", reason="throttled") is None
        assert (scene.value("notifications_total", receiver="phone", fate="again") or 0) >= 1
        scene.phone.answer = DELIVERED
        await scene.passes(120)
        assert scene.phone.received == [FIRES]

    with caplog.at_level(logging.INFO):
        play(work)
    levels = {record.levelname for record in caplog.records if "receiver" in record.message}
    postponed = [vars(record)["fields"] for record in caplog.records if record.message == "notifications are postponed"]
    assert levels == set()
    assert postponed[0] == {
        "receiver": "phone",
        "notifications": 1,
        "seconds": 45.0,
        "words": "not sent: at most 1 requests in 1 s",
    }


def test_that_a_receiver_fails_is_a_metric_and_a_fact_for_others() -> None:
    async def work(scene: Scene) -> None:
        scene.phone.answer, scene.status = Sent("", "again", "throttled", "429"), "errored"
        await scene.passes(1200)
        assert (scene.value("notification_failing_seconds", receiver="phone") or 0) > 600
        assert scene.pager.failing["phone"] > 600
        assert (scene.value("notification_failures_total", receiver="phone", reason="throttled") or 0) > 3
        scene.phone.answer = DELIVERED
        await scene.passes(120)
        assert (scene.value("notification_failing_seconds", receiver="phone"), scene.pager.failing) == (0, {})

    play(work)


def test_a_pause_requested_by_the_receiver_is_obeyed() -> None:
    async def work(scene: Scene) -> None:
        scene.phone.answer, scene.status = Sent("", "again", "throttled", "429", 200.0), "errored"
        await scene.passes(330)
        scene.phone.answer = DELIVERED
        await scene.passes(120)
        assert scene.phone.received == []
        await scene.passes(120)
        assert scene.phone.received == [FIRES]

    play(work)


@pytest.mark.parametrize("answer", [Sent("", "again", "throttled", "429", 300.0), Sent("", "failed", "auth", "401")])
def test_a_receiver_whose_secret_was_replaced_is_notified_at_once(answer: Sent) -> None:
    async def work(scene: Scene) -> None:
        scene.phone.answer, scene.status = answer, "errored"
        await scene.passes(330)
        scene.phone.answer = DELIVERED
        scene.pager.retry({"another"})
        await scene.passes(30)
        assert scene.phone.received == []
        scene.pager.retry({"phone"})
        (delivery,) = scene.pager.deliveries
        assert delivery.task is not None
        await delivery.task
        assert scene.phone.received == [FIRES]

    play(work)


@pytest.mark.parametrize("moments", [[60], [330], [360, 420], [900], [60, 120, 180, 240, 300, 360]])
def test_killed_at_any_moment_it_goes_on_as_if_nothing_had_been(tmp_path: Path, moments: list[int]) -> None:
    async def work(scene: Scene) -> None:
        scene.status, begun = "errored", scene.now
        for moment in moments:
            await scene.passes(moment - (scene.now - begun))
            scene.store.close()
            scene.start()
        await scene.passes(1200)
        scene.status = "running"
        await scene.passes(KEPT + 120)
        assert scene.phone.received == [FIRES, ENDS]
        opened, closed = scene.phone.notifications
        assert (opened.key, opened.labels) == (closed.key, closed.labels)
        assert opened.began - begun == 300.0

    play(work, path=tmp_path / "state.db")


def test_a_state_that_cannot_be_written_stops_no_page(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Full(Store):
        def save_paging(self, now: Any, before: Any) -> None:
            raise StateError("disk full")

    async def work(scene: Scene) -> None:
        scene.store = Full(None)
        scene.pager = scene.made()
        scene.status = "errored"
        await scene.passes(600)
        assert scene.phone.received == [FIRES]
        assert "the state of paging cannot be written" in caplog.text

    play(work)


class Hanging(Store):
    """A state on a disk that does not respond before `responds` is set."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.responds = threading.Event()

    def save_paging(self, now: Any, before: Any) -> None:
        self.responds.wait(60)
        super().save_paging(now, before)


def test_a_disk_that_does_not_respond_stops_no_page_and_is_written_once_it_does(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(scene: Scene) -> None:
        scene.store.close()
        store = Hanging(tmp_path / "state.db")
        scene.store = store
        scene.pager = scene.made()
        scene.status = "errored"
        await scene.passes(600)
        await scene.pager.silence(Silence({"workload_id": "w2"}, scene.now + 1800.0, "jo"))
        assert scene.phone.received == [FIRES]
        assert [record.message for record in caplog.records if record.levelname == "ERROR"] == [
            "the state of paging cannot be written; retrying"
        ]
        store.responds.set()
        await scene.passes(30)
        await scene.pager.close()
        store.close()
        scene.path = tmp_path / "state.db"
        scene.start()
        await scene.pager.state.load(scene.now)
        assert len(scene.pager.silences) == 1
        scene.status = "running"
        await scene.passes(KEPT + 120)
        assert scene.phone.received == [FIRES, ENDS]

    play(work, path=tmp_path / "other.db")


def test_an_incident_paged_on_a_full_disk_is_closed_after_a_kill(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        with full_disk(scene.store):
            scene.status = "errored"
            await scene.passes(600)
            scene.store.close()  # a kill: the pager is not closed
            scene.start()
        scene.status = "running"
        await scene.passes(KEPT + 120)
        assert scene.phone.received == [FIRES, ENDS]

    play(work, path=tmp_path / "state.db")


@pytest.mark.parametrize("seconds", [3600.0, -3600.0, 86400.0])
def test_a_clock_that_is_set_neither_delays_nor_hastens_pages_and_silences(seconds: float) -> None:
    async def work(scene: Scene) -> None:
        await scene.passes(60)
        await scene.pager.silence(Silence({"workload_id": "w2"}, scene.now + 900.0, "jo"))
        scene.status = "errored"
        await scene.passes(150)
        scene.set_clock(seconds)
        await scene.passes(120)
        assert scene.phone.received == []
        scene.set_clock(-seconds / 2)
        await scene.passes(90)
        assert scene.phone.received == [FIRES]
        assert len(scene.pager.silences) == 1
        scene.set_clock(seconds)
        await scene.passes(600)
        assert scene.phone.received == [FIRES]
        assert scene.pager.silences == {}
        scene.status = "running"
        await scene.passes(KEPT / 2)
        scene.set_clock(seconds)
        await scene.passes(KEPT / 2 - 60)
        assert scene.phone.received == [FIRES]
        await scene.passes(180)
        assert scene.phone.received == [FIRES, ENDS]

    play(work)


def test_an_alertmanager_is_sent_firing_alerts_every_minute_and_ended_ones_for_a_while() -> None:
    async def work(scene: Scene) -> None:
        scene.status = "errored"
        await scene.passes(330)
        assert scene.phone.received == [FIRES]
        await scene.passes(120)
        assert scene.phone.received == [FIRES] * 3
        scene.status = "running"
        await scene.passes(KEPT + 30)
        assert (set(scene.phone.received[3:-1]), scene.phone.received[-1]) == ({FIRES}, ENDS)
        ended = len(scene.phone.received)
        await scene.passes(3600)
        assert set(scene.phone.received[ended:]) == {ENDS}
        assert 14 <= len(scene.phone.received[ended - 1 :]) <= 17

    play(work, standing=True)


def test_a_silence_keeps_a_page_back_and_is_kept_itself(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        name = await scene.pager.silence(Silence({"workload_id": "w1"}, scene.now + 900.0, "jo", "we know", scene.now))
        scene.status = "errored"
        await scene.passes(600)
        scene.store.close()
        scene.start()
        await scene.pager.state.load(scene.now)
        assert list(scene.pager.silences) == [name]
        await scene.passes(270)
        assert (scene.phone.received, scene.value("silences")) == ([], 1)
        await scene.passes(60)
        assert (scene.phone.received, scene.value("silences")) == ([FIRES], 0)
        assert not await scene.pager.end_silence(name)

    play(work, path=tmp_path / "state.db")


def test_a_silence_that_is_ended_lets_the_page_through() -> None:
    async def work(scene: Scene) -> None:
        name = await scene.pager.silence(Silence({"severity": "critical"}, scene.now + 9000.0, "jo"))
        scene.status = "errored"
        await scene.passes(600)
        assert await scene.pager.end_silence(name)
        await scene.passes(30)
        assert scene.phone.received == [FIRES]

    play(work)


def test_a_dead_mans_switch_is_notified_repeatedly() -> None:
    async def work(scene: Scene) -> None:
        await scene.passes(600)

    watchdog = Subscription(
        lambda notification: notification.labels["alertname"] == "DataRobotWatchdog", lambda _, __: False
    )
    assert play(work, subscription=watchdog, repeat=60.0).phone.received == ["firing DataRobotWatchdog"] * 10


def test_a_rejected_notification_delays_no_other() -> None:
    class Choosy(Phone):
        async def send(self, notifications: Sequence[Notification], _: float) -> list[Sent]:
            good = [each for each in notifications if each.labels["alertname"] != "DataRobotWorkloadErrored"]
            self.received += [f"{each.status} {each.title}" for each in good]
            return [
                DELIVERED._replace(key=n.key) if n in good else Sent(n.key, "failed", "bad_request", "400")
                for n in notifications
            ]

    async def work(scene: Scene) -> None:
        scene.phone = Choosy()
        scene.start()
        scene.status, scene.exporter = "errored", ExporterStatus(settings_good=False)
        await scene.passes(1200)
        assert scene.phone.received == ["firing DataRobotExporterReloadFailed"]
        assert scene.pager.failing.keys() <= {"phone"}

    play(work)


def test_each_new_replacement_is_sent_once_as_a_change_event() -> None:
    received: list[str] = []

    async def change(summary: str, _: float) -> Sent:
        received.append(summary)
        return DELIVERED

    async def work(scene: Scene) -> None:
        scene.transitions = {"replaced": 3}
        await scene.passes(60)
        scene.transitions = {"replaced": 4, "reverted": 1}
        await scene.passes(90)

    play(work, change=change)
    assert received == [
        "Workload chat (w1) was replaced by another version",
        "Workload chat (w1) was not replaced: the replacement was reverted",
    ]


def test_change_events_that_cannot_be_sent_are_dropped() -> None:
    received: list[str] = []

    async def change(summary: str, _: float) -> Sent:
        received.append(summary)
        return Sent("", "again", "timeout", "x")

    async def work(scene: Scene) -> None:
        await scene.passes(30)
        scene.transitions = {"replaced": 1, "reverted": 1}
        await scene.passes(300)

    play(work, change=change)
    assert len(received) == 1


def test_a_receiver_gets_only_what_it_subscribed_to() -> None:
    async def work(scene: Scene) -> None:
        scene.status = "errored"
        await scene.passes(600)
        assert scene.phone.received == []

    play(
        work,
        subscription=Subscription(
            lambda notification: notification.labels["severity"] == "warning", lambda _, __: False
        ),
    )


def test_a_removed_receiver_is_not_reported_as_failing() -> None:
    async def work(scene: Scene) -> None:
        scene.phone.answer, scene.status = Sent("", "again", "connect", "x"), "errored"
        await scene.passes(900)
        assert (scene.value("notification_failing_seconds", receiver="phone") or 0) > 300
        await scene.pager.close()
        for name in ("notification_failing_seconds", "notifications_pending"):
            assert scene.value(name, receiver="phone") is None
        assert scene.value("alerts_firing", alertname="DataRobotWorkloadErrored", severity="critical") is None

    play(work)


def test_a_receiver_stops_failing_once_nothing_is_pending_for_it() -> None:
    async def work(scene: Scene) -> None:
        scene.phone.answer, scene.status = Sent("", "again", "connect", "x"), "errored"
        await scene.passes(360)
        assert "phone" in scene.pager.failing
        scene.status = "running"
        await scene.passes(KEPT + 60)
        assert scene.pager.failing == {}
        assert scene.value("notifications_pending", receiver="phone") == 0

    play(work)


def test_what_may_have_arrived_is_ended_though_it_heals_before_anybody_knows(tmp_path: Path) -> None:
    """Killed, or cut off, after the receiver has taken the page, and before that was written."""

    async def work(scene: Scene) -> None:
        scene.phone.answer, scene.status = Sent("", "again", "timeout", "x", maybe=True), "errored"
        await scene.passes(330)
        scene.store.close()
        scene.start()
        scene.status, scene.phone.answer = "running", DELIVERED
        await scene.passes(KEPT + 60)
        assert scene.phone.received == [ENDS]
        await scene.passes(600)
        assert scene.phone.received == [ENDS]

    play(work, path=tmp_path / "state.db")


def test_closing_waits_for_a_notification_in_progress() -> None:
    async def work(scene: Scene) -> None:
        async def slow(notifications: Sequence[Notification], _: float) -> list[Sent]:
            requested.set()
            await answer.wait()
            return await Phone.send(scene.phone, notifications, 0.0)

        requested, answer = asyncio.Event(), asyncio.Event()
        scene.phone.send = slow  # type: ignore[method-assign]  # replaces the method of one object
        scene.start()
        scene.status, scene.now = "errored", scene.now + 30
        await scene.pager.evaluate()
        scene.now += 300
        await scene.pager.evaluate()
        turn = asyncio.create_task(scene.pager.notify())
        await requested.wait()
        closing = asyncio.create_task(scene.pager.close())
        await asyncio.sleep(0)  # let the other tasks run
        answer.set()
        await closing
        await turn
        assert scene.phone.received == [FIRES]
        assert [each.tried for each in scene.store.load_paging().notified["phone"].values()] == [False]

    play(work)


@pytest.mark.parametrize(
    "answer", [Sent("", "failed", "forbidden", "403"), Sent("", "again", "throttled", "429", MAX_PAUSE_SECONDS)]
)
def test_an_alertmanager_is_sent_firing_alerts_before_they_expire(answer: Sent) -> None:
    async def work(scene: Scene) -> None:
        scene.status = "errored"
        await scene.passes(360)
        scene.phone.answer = answer
        await scene.passes(60)
        scene.phone.answer, before = DELIVERED, len(scene.phone.received)
        await scene.passes(90)
        assert len(scene.phone.received) > before

    play(work, standing=True)


def test_an_alert_that_this_version_does_not_know_is_dropped_and_stops_nothing(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        scene.status = "errored"
        await scene.passes(360)
        ((place, alarm),) = [
            (p, a) for p, a in scene.pager.state.alarms.items() if a.alert == "DataRobotWorkloadErrored"
        ]
        scene.pager.state.alarms = {
            **scene.pager.state.alarms,
            place: msgspec.structs.replace(alarm, alert="DataRobotOfLater"),
        }
        await scene.pager.state.save()
        scene.store.close()
        scene.start()
        await scene.passes(360)
        assert scene.phone.received == [FIRES]
        assert "DataRobotOfLater" not in {alarm.alert for alarm in scene.pager.state.alarms.values()}

    play(work, path=tmp_path / "state.db")


def test_a_repetition_heeds_silences_and_quiet_hours_and_a_restart(tmp_path: Path) -> None:
    quiet: list[bool] = [False]
    subscription = ALL._replace(quiet=lambda _, __: quiet[0])

    async def work(scene: Scene) -> None:
        scene.status = "errored"
        await scene.passes(300)
        scene.store.close()
        scene.start()
        await scene.passes(570)
        assert scene.phone.received == [FIRES]
        await scene.passes(60)
        assert scene.phone.received == [FIRES] * 2
        await scene.pager.silence(Silence({"workload_id": "w1"}, scene.now + 1800.0, "jo"))
        await scene.passes(1770)
        assert len(scene.phone.received) == 2
        await scene.passes(60)
        assert len(scene.phone.received) == 3
        quiet[0] = True
        await scene.passes(1800)
        assert len(scene.phone.received) == 3

    play(work, path=tmp_path / "state.db", subscription=subscription, repeat=600.0)


class Failing(Scene):
    """A workload that responds to so many of 1000 requests with a server error."""

    errors = 900

    def fleets(self) -> list[AccountFleet]:
        (fleet,) = super().fleets()
        metrics = RequestMetrics(total_requests=1000, server_errors=self.errors, user_errors=0)
        details = Details(windows={"5m": Window(self.now - 300, self.now, metrics)}, fresh={"pods": True})
        return [fleet._replace(workloads=[state._replace(details=details) for state in fleet.workloads])]


def test_an_incident_whose_condition_is_no_longer_met_is_not_notified_for_the_first_time() -> None:
    quiet = [True]

    async def work(scene: Failing) -> None:
        await scene.passes(600)
        scene.errors, quiet[0] = 0, False
        await scene.passes(30)
        assert scene.value("alerts_firing", alertname="DataRobotWorkloadNotServing", severity="critical") == 1

    subscription = Subscription(lambda each: each.labels["severity"] != "none", lambda _, __: quiet[0])
    scene = Failing(subscription=subscription)
    asyncio.run(work(scene))
    assert scene.phone.received == []


def test_an_alertmanager_gets_the_evidence_that_a_condition_is_no_longer_met() -> None:
    async def work(scene: Failing) -> None:
        await scene.passes(600)
        scene.errors = 0
        await scene.passes(90)

    scene = Failing(standing=True)
    asyncio.run(work(scene))
    last = [each for each in scene.phone.notifications if each.labels["alertname"] == "DataRobotWorkloadNotServing"][-1]
    title, words = last.evidence[-1]
    assert (last.status, title) == ("firing", "Recovering")
    assert words.endswith("it resolves 660 s after that")


def test_evidence_is_collected_for_notifications_that_are_sent_not_at_each_evaluation() -> None:
    collected: list[float] = []

    def evidence(_: object, now: float, __: object) -> tuple[tuple[str, str], ...]:
        collected.append(now)
        return ()

    async def work(scene: Scene) -> None:
        scene.status = "errored"
        await scene.passes(3600)
        scene.status = "running"
        await scene.passes(KEPT + 3600)

    scene = play(work, evidence=evidence)
    assert (scene.phone.received, len(collected)) == ([FIRES, ENDS], 1)


def test_a_notification_without_evidence_is_sent_anyway(caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_: object) -> tuple[tuple[str, str], ...]:
        raise ZeroDivisionError

    async def work(scene: Scene) -> None:
        scene.status = "errored"
        await scene.passes(360)

    scene = play(work, evidence=broken)
    assert scene.phone.received == [FIRES]
    assert [title for title, _ in scene.phone.notifications[0].evidence] == ["Unknown"]
    assert "evidence could not be collected" in caplog.text


def test_a_page_about_an_account_has_evidence_too_and_is_sent_without_it() -> None:
    def broken(*_: object) -> tuple[tuple[str, str], ...]:
        raise ZeroDivisionError

    async def work(scene: Scene) -> None:
        scene.failure = "auth"
        await scene.passes(150)

    rejected = "DataRobotTokenRejected"
    for evidence, shown in (({}, ((rejected, "auth"),)), ({"account_evidence": broken}, None)):
        scene = play(work, **evidence)
        (page,) = [each for each in scene.phone.notifications if each.labels["alertname"] == rejected]
        assert page.title == "DataRobotTokenRejected: account acme"
        assert page.evidence == shown if shown else page.evidence[0][0] == "Unknown"


class Many(Scene):
    """A fleet of so many workloads, every tenth of them critical; without the page about all of them."""

    options = Options(off=frozenset({"DataRobotFleetManyFailing"}))

    def fleets(self) -> list[AccountFleet]:
        (fleet,) = super().fleets()
        (one,) = fleet.workloads

        def named(n: int) -> WorkloadState:
            facts = {"id": f"w{n}", "name": f"w{n}", "importance": "critical" if n % 10 == 9 else "low"}
            return one._replace(workload=msgspec.structs.replace(one.workload, **facts))

        return [fleet._replace(workloads=[named(n) for n in range(50)])]


def test_the_most_severe_are_sent_first_in_batches() -> None:
    sizes: list[int] = []

    async def work(scene: Scene) -> None:
        async def counted(notifications: Sequence[Notification], _: float) -> list[Sent]:
            sizes.append(len(notifications))
            return await Phone.send(scene.phone, notifications, 0.0)

        scene.phone.send = counted  # type: ignore[method-assign]  # replaces the method of one object
        scene.start()
        scene.status = "errored"
        await scene.passes(330)

    scene = Many(
        subscription=Subscription(
            lambda notification: notification.labels["alertname"] == "DataRobotWorkloadErrored", lambda _, __: False
        )
    )
    asyncio.run(work(scene))
    assert sizes == [20, 20, 10]
    assert [each.labels["severity"] for each in scene.phone.notifications] == ["critical"] * 5 + ["warning"] * 45


def test_a_notification_at_which_sending_stopped_is_sent_last_the_next_time() -> None:
    class Stumbles(Phone):
        """Of one notice it never says a word; those after it are not tried."""

        async def send(self, notifications: Sequence[Notification], now: float) -> list[Sent]:
            poison = next(
                (n for n, each in enumerate(notifications) if each.labels["workload_id"] == "w9"), len(notifications)
            )
            await Phone.send(self, notifications[:poison], now)
            return [
                Sent(e.key, "delivered") if n < poison else Sent(e.key, "again", "timeout")
                for n, e in enumerate(notifications)
            ]

    async def work(scene: Scene) -> None:
        scene.phone = Stumbles()
        scene.start()
        scene.status = "errored"
        await scene.passes(600)

    scene = Many(
        subscription=Subscription(
            lambda notification: notification.labels["alertname"] == "DataRobotWorkloadErrored", lambda _, __: False
        )
    )
    asyncio.run(work(scene))
    assert {each.labels["workload_id"] for each in scene.phone.notifications} == {f"w{n}" for n in range(50)} - {"w9"}


def test_a_receiver_gets_no_change_events_it_did_not_subscribe_to() -> None:
    requested: list[Notification] = []

    async def change(*_: object) -> Sent:
        raise AssertionError("it is not to be workload")

    async def work(scene: Scene) -> None:
        await scene.passes(30)
        scene.transitions = {"replaced": 1}
        await scene.passes(60)

    def wants(notification: Notification) -> bool:
        requested.append(notification)
        return False

    play(work, change=change, wants=wants)
    (workload,) = requested
    assert (workload.labels["account"], workload.importance, workload.tags) == ("acme", "critical", {"team": "x"})


def test_after_a_reload_it_is_still_known_since_when_a_receiver_fails() -> None:
    async def work(scene: Scene) -> None:
        scene.phone.answer, scene.status = Sent("", "again", "connect", "x"), "errored"
        await scene.passes(600)
        before = dict(scene.pager.failing)
        await scene.pager.close()
        scene.pager = scene.made(scene.pager)
        assert scene.pager.failing == before
        assert before["phone"] > 200

    play(work)


class Unreadable(Store):
    """A state that cannot be read at first."""

    readable = False

    def load_paging(self, account: str | None = None) -> StoredPaging:
        if not self.readable:
            raise StateError("disk gone")
        return super().load_paging(account)


@pytest.mark.parametrize(("meanwhile", "then"), [("errored", []), ("running", [ENDS])])
def test_nothing_is_paged_before_the_state_is_read_and_nothing_again_or_forgotten_afterwards(
    meanwhile: str, then: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(scene: Scene) -> None:
        scene.status = "errored"
        await scene.passes(600)
        scene.store.close()
        scene.store = store = Unreadable(tmp_path / "state")
        scene.pager, scene.status = scene.made(), meanwhile
        await scene.passes(90)
        scene.pager.retry({"phone"})
        assert scene.phone.received == [FIRES]
        assert scene.value("paging_state_failures_total") == 3
        assert scene.pager.failing == {"phone": 60.0}
        assert scene.value("notification_failing_seconds", receiver="phone") == 60.0
        store.readable = True
        await scene.passes(KEPT + 600)
        assert scene.phone.received == [FIRES, *then]
        assert scene.pager.failing == {}

    with caplog.at_level(logging.INFO):
        play(work, path=tmp_path / "state")
    lines = [record.message for record in caplog.records if record.message.startswith("the state of paging")]
    assert lines == [
        "the state of paging cannot be read; nothing is paged before; retrying",
        "the state of paging could be read",
    ]


def test_a_state_that_stays_unreadable_does_not_silence_an_exporter_that_is_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(scene: Scene) -> None:
        scene.status = "errored"
        await scene.passes(600)
        scene.store.close()
        scene.store = Unreadable(tmp_path / "state")
        scene.pager = scene.made()
        await scene.passes(600)
        assert scene.phone.received == [FIRES, FIRES]
        assert scene.pager.failing == {}

    play(work, path=tmp_path / "state")
    lines = [record.message for record in caplog.records if record.message.startswith("the state of paging")]
    assert lines == [
        "the state of paging cannot be read; nothing is paged before; retrying",
        "the state of paging cannot be read; open incidents are paged again",
    ]


@pytest.mark.parametrize(("leased", "loaded"), [(False, [False, False, True]), (True, [False, False, False])])
def test_only_an_exporter_without_replicas_goes_on_without_its_state(leased: bool, loaded: list[bool]) -> None:
    async def work() -> list[bool]:
        state = PagingState(Unreadable(None), Rights(leased=leased))
        return [await state.load(at) for at in (1000.0, 1119.0, 1120.0)]

    assert asyncio.run(work()) == loaded


def test_silences_made_before_the_state_is_read_are_added_to_the_stored_ones(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        stored = await scene.pager.silence(Silence({"alertname": "A"}, scene.now + 86400, "ana", "x", scene.now))
        scene.store.close()
        scene.store = store = Unreadable(tmp_path / "state")
        scene.pager = scene.made()
        await scene.passes(60)
        made = await scene.pager.silence(Silence({"alertname": "B"}, scene.now + 86400, "ana", "x", scene.now))
        store.readable = True
        await scene.passes(60)
        assert {*scene.pager.silences} == {stored, made} == {*store.load_paging().silences}

    play(work, path=tmp_path / "state")


def test_a_connection_that_cannot_be_closed_does_not_block_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    closed: list[str] = []

    async def fails() -> None:
        raise OSError("x")

    async def closes() -> None:
        closed.append("the other")

    async def work(scene: Scene) -> None:
        clock = Clock(lambda: scene.now, lambda: scene.now, asyncio.sleep)
        await Pager(
            state=PagingState(scene.store),
            report=scene.report,
            options=Options(),
            receivers=[],
            evidence=lambda *_: (),
            fleets=scene.fleets,
            exporter=ExporterStatus,
            clock=clock,
            closers=[fails, closes],
        ).close()

    play(work)
    assert closed == ["the other"]
    assert "a connection could not be closed" in caplog.text


def test_it_runs_by_itself_until_it_is_closed() -> None:
    async def work(scene: Scene) -> None:
        scene.pager.start()
        scene.pager.start()
        await asyncio.sleep(0.05)  # real time, for a turn of its own
        await scene.pager.close()
        assert scene.value("silences") is None

    play(work)
