"""Alarms over time, the subjects they are about, mutes, and what each receiver is notified of."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.alerting import messages, mutes, subjects
from exporter.alerting.alarms import Alarm, Alarms, next_alarms, only_kept
from exporter.alerting.alerts import ALERTS
from exporter.alerting.delivery_state import (
    Notified,
    Subscription,
    by_incident,
    due,
    remembered,
    trying,
    without_resolved,
)
from exporter.alerting.mutes import muted
from exporter.alerting.notification import Notification
from exporter.alerting.rules import Options
from exporter.alerting.subjects import AccountFleet, ExporterStatus, Subject, SweepStatus
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


def subject(*alerts: str, recent: bool = True, pods_recent: bool = True, **labels: str) -> Subject:
    """A workload for which the conditions of these alerts are met: ``alert:severity``, critical by default."""
    pairs = [tuple(alert.split(":")) if ":" in alert else (alert, "critical") for alert in alerts]
    return Subject({**W, **labels}, frozenset((name, severity) for name, severity in pairs), recent, pods_recent)


def history(
    *evaluations: Subject | None, options: Options = OPTIONS, alarms: Alarms | None = None
) -> list[dict[str, Alarm]]:
    """The alarms after each evaluation of a subject (None: there is none), a minute apart."""
    found: list[dict[str, Alarm]] = []
    now: Alarms = alarms or {}
    for number, evaluated in enumerate(evaluations):
        now = next_alarms(now, [evaluated] if evaluated is not None else [], options, number * EVERY)
        found.append(dict(now))
    return found


def states(alarms_over_time: Sequence[Mapping[str, Alarm]]) -> str:
    """A letter for each evaluation: ``-`` no alarm, ``p`` pending, ``F`` firing, ``e`` ended."""
    return "".join(
        "-" if not alarms else "F" if (alarm := next(iter(alarms.values()))).firing else "e" if alarm.ended else "p"
        for alarms in alarms_over_time
    )


STOPPED = "DataRobotWorkloadStopped:warning"
YES, NO, BLIND = subject(STOPPED), subject(), subject(recent=False, pods_recent=False)
UNREADABLE = BLIND._replace(blind=True)
SWEEPS = "DataRobotApiUnreachable"
SLOW = "DataRobotWorkloadLatencyHigh:warning"
CRASHES = "DataRobotContainerCrashLooping"
SOME_CRASH = f"{CRASHES}:warning"


@pytest.mark.parametrize(
    ("evaluations", "expected"),
    [
        ([YES] * 7, "pppppFF"),
        ([YES] * 4 + [NO], "pppp-"),
        ([YES] * 6 + [NO] * 2, "pppppFee"),
        ([YES] * 6 + [NO, YES], "pppppFep"),
        ([YES] * 3 + [BLIND] * 3, "pppppF"),
        ([YES] * 6 + [BLIND] * 12, "pppppFFFFFFFFFFFee"),
        ([YES] * 6 + [BLIND] * 3 + [NO], "pppppFFFFe"),
        # Of an account whose list cannot be read nothing is known, so nothing ends.
        ([YES] * 6 + [UNREADABLE] * 60, "pppppF" + "F" * 60),
        ([YES] * 6 + [UNREADABLE] * 60 + [BLIND] * 12, "pppppF" + "F" * 70 + "ee"),
        ([YES] * 6 + [UNREADABLE] * 60 + [NO], "pppppF" + "F" * 60 + "e"),
        ([YES] * 6 + [NO] + [UNREADABLE] * 15, "pppppF" + "e" * 15 + "-"),
        ([YES] * 3 + [UNREADABLE] * 3, "pppppF"),
        ([YES] * 1 + [UNREADABLE._replace(alerts=frozenset())] * 12, "pppppFFFFFFFF"),
        ([subject(SWEEPS)] * 4 + [UNREADABLE] * 12, "pppFFFFFFFFFFeee"),
        ([BLIND], "-"),
        ([YES] * 6 + [None], "pppppFe"),
        ([YES] * 6 + [NO] * 16, "pppppF" + "e" * 15 + "-"),
        ([subject("DataRobotContainerOOMKilled:warning")], "F"),
        # What comes back while it is kept, six or seven minutes, is the same incident.
        ([subject(SLOW)] * 9 + [NO] * 7, "ppppppppFFFFFFee"),
        ([subject(SOME_CRASH)] * 5 + [NO] * 8, "ppppFFFFFFFee"),
        ([subject(SOME_CRASH)] * 5 + ([NO] * 6 + [subject(SOME_CRASH)]) * 3, "pppp" + "F" * 22),
        ([subject(SOME_CRASH)] * 4 + [NO], "pppp-"),
        ([subject(CRASHES)] * 5 + [subject(pods_recent=False)] * 3, "ppppFFFF"),
        ([subject(CRASHES)] * 5 + [subject(recent=False)] * 2, "ppppFFF"),
        ([YES] * 6 + [subject(pods_recent=False)], "pppppFe"),
    ],
)
def test_an_alarm_waits_fires_keeps_its_state_without_recent_data_and_ends(
    evaluations: list[Subject | None], expected: str
) -> None:
    assert states(history(*evaluations)) == expected


@pytest.mark.parametrize("evaluations", [[YES] * 3, [YES] * 6, [YES] * 6 + [NO]], ids=["pending", "firing", "ended"])
def test_alarms_stay_as_they_are_until_data_is_requested_after_a_start(evaluations: list[Subject]) -> None:
    before = history(*evaluations)[-1]
    assert history(*[NO._replace(polled=False)] * 30, alarms=before)[-1] == before


def test_an_alarm_has_the_current_name_of_its_workload() -> None:
    renamed = subject(STOPPED, workload="talk")
    (alarm,) = history(YES, renamed)[-1].values()
    assert (alarm.labels["workload"], alarm.since) == ("talk", 0.0)


def test_the_wait_time_of_the_settings_is_used() -> None:
    assert states(history(YES, YES, options=Options(waits={STOPPED.split(":")[0]: 60.0}))) == "pF"


def test_how_long_the_settings_keep_an_alarm_is_used() -> None:
    kept = Options(keeps={CRASHES: 120.0})
    assert states(history(*[subject(CRASHES)] * 5, NO, NO, NO, options=kept)) == "ppppFFee"


def test_a_higher_severity_is_another_alarm_of_the_same_incident() -> None:
    alarms = history(*[subject(SOME_CRASH)] * 6, *[subject(CRASHES)] * 5)[-1]
    (warning, critical) = sorted(alarms.values(), key=lambda alarm: alarm.since)
    assert (warning.severity, warning.firing, critical.severity, critical.fired) == ("warning", True, "critical", 600.0)
    assert warning.key == critical.key == "datarobot/acme/DataRobotContainerCrashLooping/w1"


def test_a_higher_severity_does_not_wait_again_if_the_condition_has_the_time_since_when_it_is_met() -> None:
    before, after = history(subject(f"{ERRORED}:warning"), subject(ERRORED))
    assert [alarm.severity for alarm in before.values() if alarm.firing] == ["warning"]
    assert {alarm.severity for alarm in after.values() if alarm.firing} == {"warning", "critical"}


def of_team(team: str, *alerts: str) -> Subject:
    return subject(*alerts)._replace(tags={"tag_team": team} if team else {})


@pytest.mark.parametrize("team", ["fraud", ""])
@pytest.mark.parametrize("first", ["claims", ""])
def test_an_alarm_keeps_the_tags_with_which_it_began_and_the_next_one_has_those_of_its_beginning(
    first: str, team: str
) -> None:
    """While it waits, fires, becomes more severe, and is kept after its condition was met."""
    alarms = history(
        of_team(first, SOME_CRASH),
        *[of_team(team, SOME_CRASH)] * 5,
        of_team(team, CRASHES),
        of_team(team),
        *[of_team(team)] * 20,
        of_team(team, SOME_CRASH),
    )
    begun = {"tag_team": first} if first else {}
    assert {each.severity for each in alarms[6].values()} == {"warning", "critical"}
    assert [each.tags for alarms_then in alarms[:8] for each in alarms_then.values()] == [begun] * 9
    assert [each.tags for each in alarms[-1].values() if not each.ended] == [{"tag_team": team} if team else {}]


def test_a_changed_tag_is_no_news_for_a_receiver() -> None:
    options = Options(tag_labels=("tag_team",))
    before, after = history(of_team("claims", ERRORED), of_team("fraud", ERRORED), options=options)
    (sent,), (now,) = ([messages.notification(each, options) for each in found.values()] for found in (before, after))
    assert now.labels["tag_team"] == "claims"
    assert due({now.key: now}, remembered({}, [sent], (), 7.0), (), ALL, 60.0) == []


def test_a_new_name_of_the_workload_is_no_news_for_a_receiver_but_a_higher_severity_then_is() -> None:
    ticket = f"{ERRORED}:warning"
    alarms = history(subject(ticket), subject(ticket, workload="talk"), subject(ERRORED, workload="talk"))
    before, after, worse = (
        by_incident([messages.notification(each, OPTIONS) for each in found.values()], "severity") for found in alarms
    )
    notified = remembered({}, before.values(), (), 7.0)
    assert [each.labels["workload"] for each in after.values()] == ["talk"]
    assert due(after, notified, (), ALL, 60.0) == []
    assert [each.labels["severity"] for each in due(worse, notified, (), ALL, 60.0)] == ["critical"]


def test_an_incident_whose_condition_is_not_met_any_more_is_only_kept() -> None:
    alarms = history(*[subject(SOME_CRASH)] * 5, NO)
    assert [only_kept(each.values(), number * EVERY) for number, each in enumerate(alarms)][-2:] == [
        frozenset(),
        frozenset({"datarobot/acme/DataRobotContainerCrashLooping/w1"}),
    ]


def test_an_incident_is_not_only_kept_while_one_of_its_severities_is_met() -> None:
    alarms = history(*[subject(CRASHES)] * 6, *[subject(SOME_CRASH)] * 6)[-1]
    assert len([each for each in alarms.values() if each.firing]) == 2
    assert only_kept(alarms.values(), 11 * EVERY) == frozenset()


# -- subjects


def state(status: str = "running", proton_id: str | None = None, **facts: Any) -> WorkloadState:
    workload = Workload(id="w1", name="chat", status=status, importance="critical", proton_id=proton_id)
    return WorkloadState("acme", workload, Ledger(0.0, 0.0), **facts)


GOOD = SweepStatus("", 10.0, 30.0)


def fleet(*states: WorkloadState, sweep: SweepStatus = GOOD, recent: bool = True) -> AccountFleet:
    return AccountFleet(AccountFacts(Account("acme"), None, Tally()), states, sweep, recent)


def met(*fleets: AccountFleet, exporter: ExporterStatus | None = None) -> dict[str, set[tuple[str, str]]]:
    found = subjects.subjects(fleets, exporter or ExporterStatus(), OPTIONS, 1000.0)
    return {"/".join(each.labels.values()): set(each.alerts) for each in found}


def test_workloads_accounts_and_the_exporter_are_subjects() -> None:
    assert met(fleet(state("errored"))) == {
        "acme/chat/w1": {(ERRORED, "critical")}, "acme": set(), "": {("DataRobotWatchdog", "none")},
    }  # fmt: skip


def test_a_workload_has_the_labels_from_tags_that_the_settings_name_as_in_metrics() -> None:
    tagged = state("errored")._replace(tag_labels=(("tag_env", "prod"), ("tag_team", "t" * 300)))
    options = Options(tag_labels=("tag_team", "tag_zone"))
    found = {
        each.labels.get("workload_id"): each.tags for each in subjects.subjects([fleet(tagged)], None, options, 400.0)
    }
    assert found == {"w1": {"tag_team": bounded("t" * 300)}, None: {}}


@pytest.mark.parametrize(
    ("sweep", "alerts"),
    [
        (GOOD, set()),
        (SweepStatus("", 151.0, 30.0), {"DataRobotDataStale"}),
        (SweepStatus("timeout", 10.0, 30.0), {"DataRobotApiUnreachable"}),
        (SweepStatus("auth", 10.0, 30.0), {"DataRobotApiUnreachable", "DataRobotTokenRejected"}),
    ],
)  # fmt: skip
def test_alerts_about_sweeps_are_about_the_account(sweep: SweepStatus, alerts: set[str]) -> None:
    assert {alert for alert, _ in met(fleet(sweep=sweep))["acme"]} == alerts


@pytest.mark.parametrize(
    ("exporter", "alert"),
    [
        (ExporterStatus(left_out=3), "DataRobotExporterSeriesLimit"),
        (ExporterStatus(unwritten=10.0), "DataRobotExporterStateNotKept"),
        (ExporterStatus(settings_good=False), "DataRobotExporterReloadFailed"),
        (ExporterStatus(undelivered=301.0), "DataRobotExporterCannotNotify"),
    ],
)
def test_alerts_about_the_exporter_are_evaluated(exporter: ExporterStatus, alert: str) -> None:
    assert {name for name, _ in met(exporter=exporter)[""]} == {alert, "DataRobotWatchdog"}
    assert met(exporter=ExporterStatus(unwritten=900.0))[""] == {("DataRobotWatchdog", "none")}


def test_a_workload_that_is_no_longer_shown_is_not_evaluated() -> None:
    assert met(fleet(state("errored"), recent=False))["acme/chat/w1"] == set()


def test_a_workload_that_one_sweep_does_not_report_is_a_subject_without_recent_data() -> None:
    (missing, account, _) = subjects.subjects(
        [fleet()._replace(missing=(state("errored"),))], ExporterStatus(), OPTIONS, 1000.0
    )
    assert missing == Subject(W, frozenset(), recent=False, pods_recent=False)
    assert account.recent


def test_before_the_first_sweep_and_publication_no_data_was_requested() -> None:
    found = subjects.subjects(
        [fleet(state())._replace(missing=(state(),), swept=False)], ExporterStatus(published=False), OPTIONS, 1.0
    )
    assert [each.polled for each in found] == [False] * 4


def test_the_name_of_a_workload_is_that_in_metrics() -> None:
    named = state()._replace(workload=Workload(id="w1", name="a\x00" + "b" * 300, status="running"))
    assert met(fleet(named)).keys() == {f"acme/{bounded(named.workload.name or '')}/w1", "acme", ""}


@pytest.mark.parametrize(
    ("failure", "recent", "blind"),
    [("timeout", False, True), ("timeout", True, False), ("", False, False), ("", True, False)],
)
def test_an_account_is_blind_if_its_sweeps_fail_until_its_data_is_too_old(
    failure: str, recent: bool, blind: bool
) -> None:
    of = fleet(state(), sweep=SweepStatus(failure, 100.0, 30.0), recent=recent)._replace(missing=(state(),))
    found = subjects.subjects([of], ExporterStatus(), OPTIONS, 1.0)
    assert [each.blind for each in found] == [blind, blind, blind, False]


def test_an_alarm_about_sweeps_does_not_keep_its_state_without_recent_data() -> None:
    failing = fleet(sweep=SweepStatus("timeout", 999.0, 30.0), recent=False)
    healthy = fleet(recent=False)
    known: Alarms = {}
    for number, each in enumerate([failing] * 4 + [healthy] * 11):
        known = next_alarms(
            known, subjects.subjects([each], ExporterStatus(), OPTIONS, number * EVERY), OPTIONS, number * EVERY
        )
    unreachable = next(alarm for alarm in known.values() if alarm.alert == "DataRobotApiUnreachable")
    assert (unreachable.fired, unreachable.held, unreachable.ended) == (180.0, 180.0, 780.0)


CRASHING = container(ready=False, status="waiting", reason="CrashLoopBackOff")
SERVES, DRAINS = Proton("p", status="running", role="active"), Proton("o", status="draining")


def crash_loop_states(*unread: str, recovers: bool = False) -> str:
    """The states of the alarm about a crash loop; `unread`: ids of protons that cannot be read at each evaluation.

    The serving version crash-loops, and with `recovers` is healthy from the ninth evaluation; another one drains.
    """
    now: Alarms = {}
    of, found = state(proton_id="p"), ""
    for number, ids in enumerate(unread):
        pod = container() if recovers and number >= 8 else CRASHING
        reports = {"p": StatusDetails(replicas=(replica(pod),)), "o": StatusDetails(replicas=(replica(container()),))}
        snapshots = {i: None if i in ids else each for i, each in reports.items()}
        of, _ = apply.received(of, "pods", Pods((SERVES, DRAINS), snapshots, dict.fromkeys(ids, "server_error")), 0.0)
        now = next_alarms(
            now, subjects.subjects([fleet(of)], ExporterStatus(), OPTIONS, number * EVERY), OPTIONS, number * EVERY
        )
        found += states([{k: each for k, each in now.items() if each.alert == CRASHES}])
    return found


@pytest.mark.parametrize(
    ("unread", "recovers", "expected"),
    [
        ([""] * 12, False, "ppppFFFFFFFF"),
        (["o"] * 12, False, "ppppFFFFFFFF"),
        (["o"] * 22, True, "pppp" + "F" * 16 + "ee"),
        # Keeps its state for ten minutes, as rules do, and then for as long as each time: there is no more data.
        ([""] * 6 + ["p"] * 24, False, "pppp" + "F" * 24 + "ee"),
        ([""] * 6 + ["po"] * 6 + [""] * 2, False, "ppppFFFFFFFFFF"),
        ([""] * 6 + ["p"] * 6 + [""] * 14, True, "pppp" + "F" * 20 + "ee"),
        (["p"] * 12, False, "-" * 12),
    ],
    ids=[
        "all are read", "the draining one is not", "and it recovers", "the serving one is not",
        "none is for a while", "it recovers meanwhile", "the serving one never is",
    ],
)  # fmt: skip
def test_an_alarm_about_pods_depends_on_those_of_the_serving_version(
    unread: list[str], recovers: bool, expected: str
) -> None:
    assert crash_loop_states(*unread, recovers=recovers) == expected


def test_only_these_alerts_about_the_exporter_are_left_to_prometheus() -> None:
    own = {*subjects.SWEEP_ALERTS, *subjects.EXPORTER_ALERTS}
    others = {alert.name for alert in ALERTS if alert.component == "exporter"} - own
    assert others == {
        "DataRobotExporterDown", "DataRobotAccountNotHeld", "DataRobotExporterLeasesExpired",
        "DataRobotApiRateLimited", "DataRobotApiUnknownAnswers", "DataRobotExporterDetailsStale",
    }  # fmt: skip


# -- notifications


def alarm(alert: str = ERRORED, severity: str = "critical", ended: float | None = None, **labels: str) -> Alarm:
    return Alarm(alert, severity, {**W, **labels} if labels or alert != "-" else {}, 0.0, 300.0, 300.0, 300.0, ended)


def test_labels_are_those_of_the_rules() -> None:
    labels = messages.labels(alarm(), Options(labels={"team": "x"}, severity_label="level"))
    assert labels == {**W, "alertname": ERRORED, "level": "critical", "component": "workload", "team": "x"}
    tagged = msgspec.structs.replace(alarm(), tags={"tag_team": "claims", "tag_env": "prod"})
    options = Options(tag_labels=("tag_team", "tag_zone"))
    assert messages.labels(tagged, options) == messages.labels(alarm(), OPTIONS) | {"tag_team": "claims"}
    limit = Alarm("DataRobotExporterSeriesLimit", "warning", {}, 0.0, 0.0, 0.0, 0.0)
    assert messages.labels(limit, OPTIONS)["job"] == "datarobot"
    assert "job" not in messages.labels(limit, Options(selector=""))
    assert "job" not in messages.labels(Alarm("DataRobotWatchdog", "none", {}, 0.0, 0.0, 0.0, 0.0), OPTIONS)


def test_templates_are_filled_in_and_values_that_only_prometheus_has_are_left_out() -> None:
    options = Options(
        runbooks="https://runbooks.test/",
        dashboards="https://grafana.test",
        console="https://dr.test",
        status="https://exporter.test",
    )
    full = messages.notification(alarm(workload="a b", workload_id="w/1"), options)
    assert full.annotations["description"] == (
        "Workload a b (w/1) of account acme is errored or failed: it may serve only in part or not at all."
    )
    assert full.annotations["dashboard_url"].endswith("var-account=acme&var-workload=w%2F1")
    assert full.annotations["console_url"] == "https://dr.test/console-nextgen/workloads/w%2F1/overview"
    assert full.links[0] == ("Runbook", "https://runbooks.test/DataRobotWorkloadErrored.md")
    assert full.links[1] == ("Status", "https://exporter.test/workloads/w%2F1?account=acme")
    assert [title for title, _ in full.links] == ["Runbook", "Status", "Dashboard", "Console"]
    slow = messages.notification(alarm("DataRobotWorkloadLatencyHigh", "warning"), OPTIONS)
    assert slow.annotations["description"] == slow.annotations["summary"] == "A workload responds slowly."
    assert slow.links == ()
    assert "{{" not in "".join(v for a in ALERTS for v in messages.texts(alarm(a.name), options).values())


def test_a_notification_has_its_times_and_what_it_is_routed_by() -> None:
    ended = messages.notification(alarm(ended=600.0), OPTIONS, "high", {"team": "x"})
    assert (ended.importance, ended.tags, ended.status) == ("high", {"team": "x"}, "resolved")
    assert (ended.began, ended.ended, ended.title) == (300.0, 600.0, "DataRobotWorkloadErrored: chat (account acme)")


def test_a_note_and_the_command_for_details_are_annotations_with_the_names_filled_in() -> None:
    options = Options(notes={ERRORED: "Call {{ $labels.workload }} team."})
    texts = messages.texts(alarm(), options)
    assert texts["note"] == "Call {{ $labels.workload }} team.", "it is the users' own text, and no template"
    assert texts["explain"] == "workload-exporter explain w1 --log-lines=20"
    assert texts["silence"] == (
        "workload-exporter silence add alertname=DataRobotWorkloadErrored account=acme workload_id=w1 --for=2h"
    )
    odd = messages.texts(alarm(account="a b", workload_id="w;1"), options)["silence"]
    assert odd.endswith("'account=a b' 'workload_id=w;1' --for=2h")
    of_account = messages.texts(alarm("DataRobotDataStale", workload_id=""), options)
    assert not {"note", "explain"} & of_account.keys()
    assert of_account["silence"] == ("workload-exporter silence add alertname=DataRobotDataStale account=acme --for=2h")
    assert "silence" not in messages.texts(alarm("DataRobotWatchdog", "none", workload_id=""), options)


@pytest.mark.parametrize(
    ("labels", "title"),
    [
        ({"workload": "chat", "workload_id": "w1", "account": "acme"}, "X: chat (account acme)"),
        ({"workload": "", "workload_id": "w1", "account": "acme"}, "X: w1 (account acme)"),
        ({"account": "acme"}, "X: account acme"),
        ({}, "X"),
    ],
)
def test_every_title_names_the_account(labels: dict[str, str], title: str) -> None:
    assert Notification("key", {"alertname": "X", **labels}, {}, 0.0).title == title


# -- mutes


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
        # One incident with two severities does not mute itself.
        ([alarm(), alarm(severity="warning")], set()),
    ],
)  # fmt: skip
def test_a_cause_mutes_its_consequences(firing: list[Alarm], names: set[str]) -> None:
    assert {key.split("/")[2] for key in muted(firing, 300.0)} == names


NOT_READY, PULL = "DataRobotWorkloadNoReadyReplica", "DataRobotWorkloadImagePullFailing"


def paged(alert: str, fired: float, held: float = 900.0, severity: str = "critical", **labels: str) -> Alarm:
    return Alarm(alert, severity, {**W, **labels}, 0.0, held, held, fired)


@pytest.mark.parametrize(
    ("firing", "names"),
    [
        ([paged(ERRORED, 300.0), paged(CRASHES, 420.0)], {CRASHES}),
        ([paged(CRASHES, 300.0), paged(NOT_READY, 900.0), paged(ERRORED, 420.0)], {NOT_READY, ERRORED}),
        ([paged(PULL, 300.0), paged(CRASHES, 420.0)], {CRASHES}),
        # As the table says: both are new, or the first one may be over, or it is only a ticket, or another workload.
        ([paged(NOT_READY, 900.0), paged(CRASHES, 900.0)], {CRASHES}),
        ([paged(ERRORED, 300.0, held=840.0), paged(CRASHES, 900.0)], {ERRORED}),
        ([paged(NOT_READY, 300.0, held=840.0), paged(CRASHES, 420.0)], {CRASHES}),
        ([paged(CRASHES, 300.0, severity="warning"), paged(NOT_READY, 900.0)], {CRASHES}),
        ([paged(ERRORED, 300.0), paged(CRASHES, 420.0, workload_id="other")], set()),
        # The page of the account mutes the first one as well; a ticket about the workload stays muted.
        ([paged("DataRobotFleetManyFailing", 600.0, workload_id=""), paged(ERRORED, 300.0), paged(CRASHES, 420.0)],
         {ERRORED, CRASHES}),
        ([paged(CRASHES, 300.0), paged(ERRORED, 420.0, severity="warning")], {ERRORED}),
    ],
)  # fmt: skip
def test_one_outage_is_one_page_in_any_order_of_its_alerts(firing: list[Alarm], names: set[str]) -> None:
    assert {key.split("/")[2] for key in muted(firing, 900.0)} == names


def test_a_silenced_incident_is_not_the_page_about_an_outage() -> None:
    crashes, down, errored = paged(CRASHES, 300.0), paged(NOT_READY, 900.0), paged(ERRORED, 600.0)
    assert muted([crashes, down], 900.0, {crashes.key}) == {crashes.key}
    assert muted([crashes, errored, down], 900.0, {crashes.key}) == {crashes.key, down.key}


def test_the_mutes_are_the_inhibitions_of_the_shipped_alertmanager() -> None:
    file = Path(__file__).parents[2] / "alerts" / "alertmanager.example.yml"
    shipped = yaml.safe_load(file.read_text())["inhibit_rules"]

    def parsed(matchers: list[str]) -> tuple[frozenset[str], str, frozenset[str]]:
        pairs = {name.strip(" ="): frozenset(v.strip(' "').split("|")) for m in matchers for name, _, v in [_split(m)]}
        (severity,) = pairs.get("severity", {""})
        return pairs.get("alertname", frozenset()), severity, pairs.get("component", frozenset())

    assert [
        ((m.sources, m.source[0], frozenset({m.source[1]} - {""})), (m.targets, *m.target), m.equal)
        for m in mutes.MUTES
    ] == [(parsed(r["source_matchers"]), parsed(r["target_matchers"]), tuple(r["equal"])) for r in shipped]


def _split(matcher: str) -> tuple[str, str, str]:
    return matcher.partition("=~") if "=~" in matcher else matcher.partition("=")


# -- what receivers are notified of


ALL = Subscription(lambda _: True, lambda _, __: False)
CRITICAL = Subscription(lambda notification: notification.labels["severity"] == "critical", lambda _, __: False)
FIRING = messages.notification(alarm(), OPTIONS)
SOFT = messages.notification(alarm(severity="warning"), OPTIONS)
KEY = FIRING.key
KNOWN = remembered({}, [FIRING], (), 7.0)
TRIED = trying({}, [FIRING], 7.0)


@pytest.mark.parametrize(
    ("firing", "notified", "suppressed", "subscription", "expected"),
    [
        ([FIRING], {}, (), ALL, "firing critical"),
        ([FIRING], KNOWN, (), ALL, ""),
        ([], KNOWN, (), ALL, "resolved critical"),
        ([], {}, (), ALL, ""),
        ([FIRING], {}, (KEY,), ALL, ""),
        ([FIRING], KNOWN, (KEY,), ALL, ""),
        ([], KNOWN, (KEY,), ALL, "resolved critical"),
        ([SOFT], KNOWN, (), ALL, ""),  # it became less severe: no news
        ([SOFT], KNOWN, (), CRITICAL, "resolved critical"),
        ([SOFT], {}, (), CRITICAL, ""),
        ([FIRING], {}, (), CRITICAL._replace(quiet=lambda _, __: True), ""),
        ([], KNOWN, (), CRITICAL._replace(quiet=lambda _, __: True), "resolved critical"),
        ([], KNOWN, (), ALL._replace(ends=False), ""),
        ([FIRING], TRIED, (), ALL, "firing critical"),
        ([], TRIED, (), ALL, "resolved critical"),
    ],
)
def test_a_receiver_gets_what_it_was_not_notified_of(
    firing: list[Notification],
    notified: dict[str, Notified],
    suppressed: tuple[str, ...],
    subscription: Subscription,
    expected: str,
) -> None:
    found = due(by_incident(firing, "severity"), notified, suppressed, subscription, 900.0)
    assert ", ".join(f"{each.status} {each.labels['severity']}" for each in found) == expected


def test_a_notification_that_is_being_sent_counts_by_its_result() -> None:
    ended = FIRING._replace(ended=9.0)
    assert (TRIED[KEY].tried, KNOWN[KEY].tried, KNOWN[KEY].at) == (True, False, 7.0)
    assert remembered(TRIED, [FIRING], (), 7.0) == KNOWN
    assert remembered(TRIED, [], {KEY}, 7.0) == remembered(TRIED, [ended], (), 7.0) == {}
    assert remembered(TRIED, [], (), 7.0) == TRIED
    assert trying(KNOWN, [SOFT, ended], 9.0) == trying(KNOWN, [], 9.0) == KNOWN


def test_the_highest_severity_of_an_incident_counts() -> None:
    assert by_incident([SOFT, FIRING, SOFT], "severity") == {KEY: FIRING}


def test_resolved_incidents_are_removed_for_a_receiver_without_resolve_notifications() -> None:
    assert without_resolved(KNOWN, {}, ALL) == KNOWN
    assert without_resolved(KNOWN, {}, ALL._replace(ends=False)) == {}
    assert without_resolved(KNOWN, {KEY: FIRING}, ALL._replace(ends=False)) == KNOWN


# -- laws


NAMES = st.sampled_from([ERRORED, f"{ERRORED}:warning", SLOW, CRASHES])
SUBJECTS = st.lists(
    st.builds(
        lambda names, recent, pods_recent: subject(*names, recent=recent, pods_recent=pods_recent),
        st.lists(NAMES, max_size=2, unique_by=lambda name: name.split(":")[0]),
        st.booleans(), st.booleans(),
    ),
    max_size=40,
)  # fmt: skip


class _Receiver:
    """A receiver that accepts what it is sent unless it is unavailable."""

    def __init__(self) -> None:
        self.notified: dict[str, Notified] = {}
        self.log: list[tuple[str, str]] = []

    def turn(self, alarms: Alarms, now: float, away: bool, unsure: bool = False) -> None:
        firing = by_incident(
            (messages.notification(each, OPTIONS) for each in alarms.values() if each.firing), "severity"
        )
        suppressed = muted((each for each in alarms.values() if each.firing), now)
        sent = due(firing, self.notified, suppressed, ALL, now)
        new = {each.key for each in sent} - self.notified.keys()
        self.notified = trying(self.notified, sent, now)
        if unsure:  # the result is unknown
            self.log += [(each.key, each.status) for each in sent if not away]
            return
        self.notified = remembered(self.notified, () if away else sent, new if away else (), now)
        self.log += [(each.key, each.status) for each in sent if not away]


def played(
    evaluations: Sequence[Subject], away: frozenset[int], cut: int = -1, unsure: frozenset[int] = frozenset()
) -> _Receiver:
    receiver, alarms = _Receiver(), dict[str, Alarm]()
    for number, evaluated in enumerate(evaluations):
        alarms = next_alarms(alarms, [evaluated], OPTIONS, number * EVERY)
        receiver.turn(alarms, number * EVERY, number in away, number in unsure)
        if number == cut:
            alarms = msgspec.json.decode(msgspec.json.encode(alarms), type=dict[str, Alarm])
            receiver.notified = msgspec.json.decode(msgspec.json.encode(receiver.notified), type=dict[str, Notified])
    return receiver


@given(SUBJECTS, st.frozensets(st.integers(0, 40)), st.integers(0, 40))
def test_a_restart_at_any_time_sends_the_same_notifications(
    evaluations: list[Subject], away: frozenset[int], cut: int
) -> None:
    assert played(evaluations, away, cut).log == played(evaluations, away).log


@given(SUBJECTS, st.frozensets(st.integers(0, 40)))
def test_exactly_the_incidents_that_a_receiver_was_notified_of_are_resolved(
    evaluations: list[Subject], away: frozenset[int]
) -> None:
    receiver = played([*evaluations, *[NO] * 60], away)
    open_ones: set[str] = set()
    for key, status in receiver.log:
        if status == "firing":
            open_ones.add(key)
        else:
            assert key in open_ones
            open_ones.remove(key)
    assert open_ones == set()


@given(SUBJECTS, st.frozensets(st.integers(0, 40)), st.frozensets(st.integers(0, 40)))
@example(
    [YES] * 9, frozenset({6}), frozenset({5})
)  # arrives, but with unknown result; then it certainly does not arrive; then it recovers
def test_an_incident_is_resolved_even_if_it_was_unknown_whether_it_arrived(
    evaluations: list[Subject], away: frozenset[int], unsure: frozenset[int]
) -> None:
    receiver = played([*evaluations, *[NO] * 60], away, unsure=unsure)
    last = dict(receiver.log)
    assert {key: status for key, status in last.items() if status == "firing"} == {}


@given(SUBJECTS)
def test_incidents_that_end_while_a_receiver_is_unavailable_are_not_sent(evaluations: list[Subject]) -> None:
    everything = frozenset(range(len(evaluations) + 30))
    receiver = played([*evaluations, *[NO] * 30], everything)
    assert receiver.log == []
    assert played([*evaluations, *[NO] * 60], everything).log == []


def test_several_replicas_are_as_bad_as_the_worst_of_them() -> None:
    first = ExporterStatus(left_out=1, unwritten=None, settings_good=True, undelivered=7.0)
    second = ExporterStatus(left_out=2, unwritten=30.0, settings_good=False, undelivered=0.0)
    assert subjects.worst([first, second]) == ExporterStatus(3, 30.0, False, 7.0, True)
    assert subjects.worst([first, first]).unwritten is None


def test_an_exporter_for_which_another_replica_speaks_is_no_subject() -> None:
    assert list(subjects.subjects([], None, OPTIONS, 1000.0)) == []
