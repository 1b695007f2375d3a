"""Alarms: what holds over time beside what fires, and what a receiver is told of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.alerting import alarms
from exporter.alerting.alarms import (
    Alarm,
    Alarms,
    Exporter,
    Fleet,
    Notified,
    Subject,
    Subscription,
    Sweeping,
    after,
    due,
    loudest,
    muted,
    remembered,
    trying,
)
from exporter.alerting.alerts import ALERTS
from exporter.alerting.notification import Notification
from exporter.alerting.rules import Options
from exporter.api.models import Workload
from exporter.api.pods import Pods, Proton, StatusDetails
from exporter.fleet import apply
from exporter.fleet.ledger import Ledger, Tally
from exporter.fleet.workload_state import Account, WorkloadState
from exporter.metrics.account_families import AccountFacts
from exporter.metrics.exposition import bounded
from tests.make import container, replica

ERRORED = "DataRobotWorkloadErrored"
OPTIONS = Options()
W = {"account": "acme", "workload": "chat", "workload_id": "w1"}
EVERY = 60.0


def subject(*is_met: str, told: bool = True, pods: bool = True, **labels: str) -> Subject:
    """A workload of which these hold, as ``alert:severity``, critical unless said."""
    pairs = [tuple(each.split(":")) if ":" in each else (each, "critical") for each in is_met]
    return Subject({**W, **labels}, frozenset((name, severity) for name, severity in pairs), told, pods)


def lived(*looks: Subject | None, options: Options = OPTIONS, alarms: Alarms | None = None) -> list[dict[str, Alarm]]:
    """The alarms after each look, a minute apart."""
    found: list[dict[str, Alarm]] = []
    now: Alarms = alarms or {}
    for number, context in enumerate(looks):
        now = after(now, [context] if context is not None else [], options, number * EVERY)
        found.append(dict(now))
    return found


def states(history: Sequence[Mapping[str, Alarm]]) -> str:
    """A letter for each look: ``-`` nothing, ``p`` it waits, ``F`` it fires, ``e`` it has ended."""
    return "".join(
        "-" if not alarms else "F" if (alarm := next(iter(alarms.values()))).firing else "e" if alarm.ended else "p"
        for alarms in history
    )


YES, NO, BLIND = subject(ERRORED), subject(), subject(told=False, pods=False)
SLOW = "DataRobotWorkloadLatencyHigh:warning"
CRASHES = "DataRobotContainerCrashLooping"


@pytest.mark.parametrize(
    ("looks", "fires"),
    [
        ([YES] * 7, "pppppFF"),
        ([YES] * 4 + [NO], "pppp-"),
        ([YES] * 6 + [NO] * 2, "pppppFee"),
        ([YES] * 6 + [NO, YES], "pppppFep"),
        ([YES] * 3 + [BLIND] * 3, "pppppF"),
        ([YES] * 6 + [BLIND] * 12, "pppppFFFFFFFFFFFee"),
        ([YES] * 6 + [BLIND] * 3 + [NO], "pppppFFFFe"),
        ([BLIND], "-"),
        ([YES] * 6 + [None], "pppppFe"),
        ([YES] * 6 + [NO] * 16, "pppppF" + "e" * 15 + "-"),
        ([subject("DataRobotWorkloadVanished:warning")], "F"),
        ([subject(SLOW)] * 11 + [NO] * 6, "ppppppppppFFFFFee"),
        ([subject(CRASHES)] * 5 + [subject(pods=False)] * 3, "ppppFFFF"),
        ([subject(CRASHES)] * 5 + [subject(told=False)] * 2, "ppppFee"),
        ([YES] * 6 + [subject(pods=False)], "pppppFe"),
    ],
)
def test_an_alarm_waits_fires_is_held_through_blindness_and_ends(looks: list[Subject | None], fires: str) -> None:
    assert states(lived(*looks)) == fires


@pytest.mark.parametrize("looks", [[YES] * 3, [YES] * 6, [YES] * 6 + [NO]], ids=["waiting", "firing", "over"])
def test_until_something_was_asked_after_a_start_everything_stays_as_it_was(looks: list[Subject]) -> None:
    before = lived(*looks)[-1]
    assert lived(*[NO._replace(asked=False)] * 30, alarms=before)[-1] == before


def test_an_alarm_has_the_name_that_its_workload_has_now() -> None:
    renamed = subject(ERRORED, workload="talk")
    (alarm,) = lived(YES, renamed)[-1].values()
    assert (alarm.labels["workload"], alarm.since) == ("talk", 0.0)


def test_a_wait_of_the_settings_counts() -> None:
    assert states(lived(YES, YES, options=Options(waits={ERRORED: 60.0}))) == "pF"


def test_what_becomes_louder_is_another_alarm_of_the_same_incident() -> None:
    told = lived(*[subject(f"{ERRORED}:warning")] * 6, *[YES] * 7)
    (quiet, loud) = sorted(told[-1].values(), key=lambda alarm: alarm.since)
    assert (quiet.severity, quiet.ended, loud.severity, loud.fired) == ("warning", 360.0, "critical", 660.0)
    assert quiet.key == loud.key == "datarobot/acme/DataRobotWorkloadErrored/w1"


# -- what holds


def state(status: str = "running", proton_id: str | None = None, **facts: Any) -> WorkloadState:
    told = Workload(id="w1", name="chat", status=status, importance="critical", proton_id=proton_id)
    return WorkloadState("acme", told, Ledger(0.0, 0.0), **facts)


GOOD = Sweeping("", 10.0, 30.0)


def fleet(*there: WorkloadState, sweeping: Sweeping = GOOD, told: bool = True) -> Fleet:
    return Fleet(AccountFacts(Account("acme"), None, Tally()), there, sweeping, told)


def is_met(*fleets: Fleet, exporter: Exporter | None = None) -> dict[str, set[tuple[str, str]]]:
    found = alarms.subjects(fleets, exporter or Exporter(), OPTIONS, 1000.0)
    return {"/".join(each.labels.values()): set(each.alerts) for each in found}


def test_everything_that_may_be_told_of_is_a_subject() -> None:
    assert is_met(fleet(state("errored"))) == {
        "acme/chat/w1": {(ERRORED, "critical")}, "acme": set(), "": {("DataRobotWatchdog", "none")},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("sweeping", "alerts"),
    [
        (GOOD, set()),
        (Sweeping("", 151.0, 30.0), {"DataRobotDataStale"}),
        (Sweeping("timeout", 10.0, 30.0), {"DataRobotApiUnreachable", "DataRobotExporterPartialSweep"}),
        (Sweeping("auth", 10.0, 30.0),
         {"DataRobotApiUnreachable", "DataRobotExporterPartialSweep", "DataRobotTokenRejected"}),
    ],
)  # fmt: skip
def test_how_sweeps_go_is_told_of_the_account(sweeping: Sweeping, alerts: set[str]) -> None:
    assert {alert for alert, _ in is_met(fleet(sweeping=sweeping))["acme"]} == alerts


@pytest.mark.parametrize(
    ("exporter", "alert"),
    [
        (Exporter(left_out=3), "DataRobotExporterSeriesLimit"),
        (Exporter(unwritten=10.0), "DataRobotExporterStateNotKept"),
        (Exporter(settings_good=False), "DataRobotExporterReloadFailed"),
        (Exporter(unheard=301.0), "DataRobotExporterCannotNotify"),
    ],
)
def test_what_the_exporter_knows_of_itself_is_told(exporter: Exporter, alert: str) -> None:
    assert {name for name, _ in is_met(exporter=exporter)[""]} == {alert, "DataRobotWatchdog"}
    assert is_met(exporter=Exporter(unwritten=900.0))[""] == {("DataRobotWatchdog", "none")}


def test_what_is_not_shown_any_more_is_not_judged() -> None:
    assert is_met(fleet(state("errored"), told=False))["acme/chat/w1"] == set()


def test_a_workload_that_one_sweep_does_not_tell_may_be_told_by_the_next() -> None:
    (missing, account, _) = alarms.subjects(
        [fleet()._replace(missing=(state("errored"),))], Exporter(), OPTIONS, 1000.0
    )
    assert missing == Subject(W, frozenset(), told=False, pods=False)
    assert account.told


def test_before_the_first_sweep_and_the_first_page_nothing_was_asked() -> None:
    told = alarms.subjects(
        [fleet(state())._replace(missing=(state(),), asked=False)], Exporter(begun=False), OPTIONS, 1.0
    )
    assert [each.asked for each in told] == [False] * 4


def test_a_name_is_that_of_the_metrics() -> None:
    named = state()._replace(workload=Workload(id="w1", name="a\x00" + "b" * 300, status="running"))
    assert is_met(fleet(named)).keys() == {f"acme/{bounded(named.workload.name or '')}/w1", "acme", ""}


def test_an_alarm_about_sweeps_is_not_held_for_lack_of_what_they_bring() -> None:
    blind = fleet(sweeping=Sweeping("timeout", 999.0, 30.0), told=False)
    well = fleet(told=False)
    known: Alarms = {}
    for number, each in enumerate([blind] * 4 + [well]):
        known = after(known, alarms.subjects([each], Exporter(), OPTIONS, number * EVERY), OPTIONS, number * EVERY)
    unreachable = next(alarm for alarm in known.values() if alarm.alert == "DataRobotApiUnreachable")
    assert (unreachable.fired, unreachable.ended) == (180.0, 240.0)


CRASHING = container(ready=False, status="waiting", reason="CrashLoopBackOff")
SERVES, DRAINS = Proton("p", status="running", role="active"), Proton("o", status="draining")


def through(*unread: str, heals: bool = False) -> str:
    """How the alarm about a crash loop stands at each look; `unread`: ids of protons that cannot be read then.

    The version that serves crash-loops, or is well from the ninth look on; another one drains.
    """
    now: Alarms = {}
    of, found = state(proton_id="p"), ""
    for number, ids in enumerate(unread):
        pod = container() if heals and number >= 8 else CRASHING
        told = {"p": StatusDetails(replicas=(replica(pod),)), "o": StatusDetails(replicas=(replica(container()),))}
        snapshots = {i: None if i in ids else each for i, each in told.items()}
        of, _ = apply.received(of, "pods", Pods((SERVES, DRAINS), snapshots, dict.fromkeys(ids, "server_error")), 0.0)
        now = after(now, alarms.subjects([fleet(of)], Exporter(), OPTIONS, number * EVERY), OPTIONS, number * EVERY)
        found += states([{k: each for k, each in now.items() if each.alert == CRASHES}])
    return found


@pytest.mark.parametrize(
    ("unread", "heals", "fires"),
    [
        ([""] * 12, False, "ppppFFFFFFFF"),
        (["o"] * 12, False, "ppppFFFFFFFF"),
        (["o"] * 12, True, "ppppFFFFeeee"),
        # Held for ten minutes, as the rules do, then over: it is not known any more.
        ([""] * 6 + ["p"] * 14, False, "ppppFFFFFFFFFFFFeeee"),
        ([""] * 6 + ["po"] * 6 + [""] * 2, False, "ppppFFFFFFFFFF"),
        ([""] * 6 + ["p"] * 6 + [""] * 2, True, "ppppFFFFFFFFee"),
        (["p"] * 12, False, "-" * 12),
    ],
    ids=[
        "all are read", "the one that drains is not", "and it heals", "the one that serves is not",
        "none is for a while", "it heals meanwhile", "the one that serves never is",
    ],
)  # fmt: skip
def test_an_alarm_about_pods_depends_on_those_of_the_version_that_serves(
    unread: list[str], heals: bool, fires: str
) -> None:
    assert through(*unread, heals=heals) == fires


def test_every_alert_about_the_exporter_is_raised_or_left_to_prometheus_on_purpose() -> None:
    ours = {*alarms.OF_SWEEPS, *alarms.OF_THE_EXPORTER}
    theirs = {alert.name for alert in ALERTS if alert.component == "exporter"} - ours
    assert theirs == {
        "DataRobotExporterDown", "DataRobotApiRateLimited", "DataRobotApiUnknownAnswers",
        "DataRobotExporterDetailsStale",
    }  # fmt: skip


# -- what is said


def alarm(alert: str = ERRORED, severity: str = "critical", ended: float | None = None, **labels: str) -> Alarm:
    return Alarm(alert, severity, {**W, **labels} if labels or alert != "-" else {}, 0.0, 300.0, 300.0, 300.0, ended)


def test_labels_are_those_of_the_rules() -> None:
    told = alarms.labels(alarm(), Options(labels={"team": "x"}, severity_label="level"))
    assert told == {**W, "alertname": ERRORED, "level": "critical", "component": "workload", "team": "x"}
    limit = Alarm("DataRobotExporterSeriesLimit", "warning", {}, 0.0, 0.0, 0.0, 0.0)
    assert alarms.labels(limit, OPTIONS)["job"] == "datarobot"
    assert "job" not in alarms.labels(limit, Options(selector=""))
    assert "job" not in alarms.labels(Alarm("DataRobotWatchdog", "none", {}, 0.0, 0.0, 0.0, 0.0), OPTIONS)


def test_texts_are_filled_in_and_a_number_that_only_prometheus_has_is_left_out() -> None:
    options = Options(runbooks="https://books.test/", dashboards="https://grafana.test", console="https://dr.test")
    told = alarms.notification(alarm(workload="a b", workload_id="w/1"), options)
    assert told.annotations["description"] == (
        "Workload a b (w/1) of account acme has been errored or failed for five minutes: it serves only in "
        "part or not at all."
    )
    assert told.annotations["dashboard_url"].endswith("var-account=acme&var-workload=w%2F1")
    assert told.links[0] == ("Runbook", "https://books.test/DataRobotWorkloadErrored.md")
    assert [title for title, _ in told.links] == ["Runbook", "Dashboard", "Console"]
    slow = alarms.notification(alarm("DataRobotWorkloadLatencyHigh", "warning"), OPTIONS)
    assert slow.annotations["description"] == slow.annotations["summary"] == "A workload responds slowly."
    assert slow.links == ()
    assert "{{" not in "".join(v for a in ALERTS for v in alarms.texts(alarm(a.name), options).values())


def test_a_notice_brings_its_evidence_and_what_to_route_by() -> None:
    about = alarms.About((("State", "errored"),), "high", {"team": "x"})
    told = alarms.notification(alarm(ended=600.0), OPTIONS, about)
    assert (told.evidence, told.importance, told.tags, told.status) == (
        (("State", "errored"),),
        "high",
        {"team": "x"},
        "resolved",
    )
    assert (told.began, told.ended, told.title) == (300.0, 600.0, "DataRobotWorkloadErrored: chat")


# -- what mutes


@pytest.mark.parametrize(
    ("firing", "names"),
    [
        ([alarm()], set()),
        ([alarm(), alarm("DataRobotWorkloadStuckStarting", "warning")], {"DataRobotWorkloadStuckStarting"}),
        ([alarm(), alarm("DataRobotWorkloadStuckStarting", "warning", workload_id="other")], set()),
        ([alarm(CRASHES), alarm()], {ERRORED}),
        ([alarm(CRASHES, "warning"), alarm()], {CRASHES}),
        ([alarm(CRASHES, "warning"), alarm(severity="warning")], {ERRORED}),
        ([alarm("DataRobotFleetManyFailing", workload_id=""), alarm()], {ERRORED}),
        ([alarm("DataRobotTokenRejected", workload_id=""), alarm("DataRobotApiUnreachable", workload_id="")],
         {"DataRobotApiUnreachable"}),
        ([alarm("DataRobotTokenRejected", workload_id=""), alarm()], set()),
        ([alarm("DataRobotTokenRejected", workload_id=""), alarm(severity="warning")], {ERRORED}),
        # One incident in two severities, while nobody knows which: it speaks for others, not for itself.
        ([alarm(), alarm(severity="warning")], set()),
    ],
)  # fmt: skip
def test_a_cause_speaks_for_what_it_brings_about(firing: list[Alarm], names: set[str]) -> None:
    assert {key.split("/")[2] for key in muted(firing)} == names


def test_the_mutes_are_the_inhibitions_of_the_shipped_alertmanager() -> None:
    file = Path(__file__).parents[2] / "alerts" / "alertmanager.example.yml"
    shipped = yaml.safe_load(file.read_text())["inhibit_rules"]

    def told(matchers: list[str]) -> tuple[frozenset[str], str, frozenset[str]]:
        pairs = {name.strip(" ="): frozenset(v.strip(' "').split("|")) for m in matchers for name, _, v in [_parted(m)]}
        (severity,) = pairs.get("severity", {""})
        return pairs.get("alertname", frozenset()), severity, pairs.get("component", frozenset())

    assert [
        ((m.sources, m.source[0], frozenset({m.source[1]} - {""})), (m.targets, *m.target), m.equal)
        for m in alarms.MUTES
    ] == [(told(r["source_matchers"]), told(r["target_matchers"]), tuple(r["equal"])) for r in shipped]


def _parted(matcher: str) -> tuple[str, str, str]:
    return matcher.partition("=~") if "=~" in matcher else matcher.partition("=")


# -- what a receiver is told


ALL = Subscription(lambda _: True, lambda _, __: False)
CRITICAL = Subscription(lambda told: told.labels["severity"] == "critical", lambda _, __: False)
FIRING = alarms.notification(alarm(), OPTIONS)
SOFT = alarms.notification(alarm(severity="warning"), OPTIONS)
KEY = FIRING.key
KNOWN = remembered({}, [FIRING], (), 7.0)
TRIED = trying({}, [FIRING], 7.0)


@pytest.mark.parametrize(
    ("firing", "told", "hushed", "subscription", "says"),
    [
        ([FIRING], {}, (), ALL, "firing critical"),
        ([FIRING], KNOWN, (), ALL, ""),
        ([], KNOWN, (), ALL, "resolved critical"),
        ([], {}, (), ALL, ""),
        ([FIRING], {}, (KEY,), ALL, ""),
        ([FIRING], KNOWN, (KEY,), ALL, ""),
        ([], KNOWN, (KEY,), ALL, "resolved critical"),
        ([SOFT], KNOWN, (), ALL, "firing warning"),
        ([SOFT], KNOWN, (), CRITICAL, "resolved critical"),
        ([SOFT], {}, (), CRITICAL, ""),
        ([FIRING], {}, (), CRITICAL._replace(quiet=lambda _, __: True), ""),
        ([], KNOWN, (), CRITICAL._replace(quiet=lambda _, __: True), "resolved critical"),
        ([], KNOWN, (), ALL._replace(ends=False), ""),
        ([FIRING], TRIED, (), ALL, "firing critical"),
        ([], TRIED, (), ALL, "resolved critical"),
    ],
)
def test_a_receiver_is_told_what_it_does_not_know_yet(
    firing: list[Notification],
    told: dict[str, Notified],
    hushed: tuple[str, ...],
    subscription: Subscription,
    says: str,
) -> None:
    found = due(loudest(firing, "severity"), told, hushed, subscription, 900.0)
    assert ", ".join(f"{each.status} {each.labels['severity']}" for each in found) == says


def test_what_is_on_its_way_is_known_or_not_by_what_is_heard_of_it() -> None:
    ended = FIRING._replace(ended=9.0)
    assert (TRIED[KEY].tried, KNOWN[KEY].tried, KNOWN[KEY].at) == (True, False, 7.0)
    assert remembered(TRIED, [FIRING], (), 7.0) == KNOWN
    assert remembered(TRIED, [], {KEY}, 7.0) == remembered(TRIED, [ended], (), 7.0) == {}
    assert remembered(TRIED, [], (), 7.0) == TRIED
    assert trying(KNOWN, [SOFT, ended], 9.0) == trying(KNOWN, [], 9.0) == KNOWN


def test_of_one_incident_the_loudest_counts() -> None:
    assert loudest([SOFT, FIRING, SOFT], "severity") == {KEY: FIRING}


def test_what_is_over_is_forgotten_by_who_is_not_told_of_ends() -> None:
    assert alarms.forgotten(KNOWN, {}, ALL) == KNOWN
    assert alarms.forgotten(KNOWN, {}, ALL._replace(ends=False)) == {}
    assert alarms.forgotten(KNOWN, {KEY: FIRING}, ALL._replace(ends=False)) == KNOWN


# -- laws


NAMES = st.sampled_from([ERRORED, f"{ERRORED}:warning", SLOW, CRASHES])
FETCHERS = st.lists(
    st.builds(
        lambda names, told, pods: subject(*names, told=told, pods=pods),
        st.lists(NAMES, max_size=2, unique_by=lambda name: name.split(":")[0]),
        st.booleans(), st.booleans(),
    ),
    max_size=40,
)  # fmt: skip


class _Receiver:
    """Takes what it is sent unless it is away, and what was told before is read from the state."""

    def __init__(self) -> None:
        self.told: dict[str, Notified] = {}
        self.log: list[tuple[str, str]] = []

    def turn(self, standing: Alarms, now: float, away: bool, unsure: bool = False) -> None:
        firing = loudest((alarms.notification(each, OPTIONS) for each in standing.values() if each.firing), "severity")
        hushed = muted(each for each in standing.values() if each.firing)
        said = due(firing, self.told, hushed, ALL, now)
        new = {each.key for each in said} - self.told.keys()
        self.told = trying(self.told, said, now)
        if unsure:  # it has them, or it has not: we never hear which
            self.log += [(each.key, each.status) for each in said if not away]
            return
        self.told = remembered(self.told, () if away else said, new if away else (), now)
        self.log += [(each.key, each.status) for each in said if not away]


def played(
    looks: Sequence[Subject], away: frozenset[int], cut: int = -1, unsure: frozenset[int] = frozenset()
) -> _Receiver:
    receiver, alarms = _Receiver(), dict[str, Alarm]()
    for number, context in enumerate(looks):
        alarms = after(alarms, [context], OPTIONS, number * EVERY)
        receiver.turn(alarms, number * EVERY, number in away, number in unsure)
        if number == cut:
            alarms = msgspec.json.decode(msgspec.json.encode(alarms), type=dict[str, Alarm])
            receiver.told = msgspec.json.decode(msgspec.json.encode(receiver.told), type=dict[str, Notified])
    return receiver


@given(FETCHERS, st.frozensets(st.integers(0, 40)), st.integers(0, 40))
def test_cut_anywhere_the_same_is_told(looks: list[Subject], away: frozenset[int], cut: int) -> None:
    assert played(looks, away, cut).log == played(looks, away).log


@given(FETCHERS, st.frozensets(st.integers(0, 40)))
def test_nothing_ends_for_a_receiver_that_did_not_hear_of_it_and_everything_ends_that_it_heard_of(
    looks: list[Subject], away: frozenset[int]
) -> None:
    receiver = played([*looks, *[NO] * 60], away)
    open_ones: set[str] = set()
    for key, status in receiver.log:
        if status == "firing":
            open_ones.add(key)
        else:
            assert key in open_ones
            open_ones.remove(key)
    assert open_ones == set()


@given(FETCHERS, st.frozensets(st.integers(0, 40)), st.frozensets(st.integers(0, 40)))
@example(
    [YES] * 9, frozenset({6}), frozenset({5})
)  # it arrives, nobody knows; then it certainly does not; then it heals
def test_whatever_opens_is_ended_though_nobody_knew_that_it_had_arrived(
    looks: list[Subject], away: frozenset[int], unsure: frozenset[int]
) -> None:
    receiver = played([*looks, *[NO] * 60], away, unsure=unsure)
    last = dict(receiver.log)
    assert {key: status for key, status in last.items() if status == "firing"} == {}


@given(FETCHERS)
def test_of_what_came_and_went_while_a_receiver_was_away_it_hears_nothing(looks: list[Subject]) -> None:
    everything = frozenset(range(len(looks) + 30))
    receiver = played([*looks, *[NO] * 30], everything)
    assert receiver.log == []
    assert played([*looks, *[NO] * 60], everything).log == []
