"""Who is notified of what, by example."""

from datetime import UTC, datetime

import pytest

from exporter.alerting.alerts import ALERTS
from exporter.alerting.notification import Notification
from exporter.alerting.routing import Wants, chosen, quiet

LOUD = frozenset({"critical", "warning"})
NOON = "12:00"
WORKLOAD = Notification(
    "k",
    {"alertname": "DataRobotWorkloadErrored", "severity": "warning", "account": "acme", "workload_id": "w1"},
    {},
    began=0.0,
    importance="HIGH",
    tags={"team": "claims", "beta": ""},
)
CRITICAL = WORKLOAD._replace(labels={**WORKLOAD.labels, "severity": "critical"})
ENDED = WORKLOAD._replace(ended=9.0)
ACCOUNT = Notification(
    "a", {"alertname": "DataRobotDataStale", "severity": "critical", "account": "acme"}, {}, began=0.0
)
EXPORTER = Notification("e", {"alertname": "DataRobotExporterReloadFailed", "severity": "warning"}, {}, began=0.0)
UNKNOWN = WORKLOAD._replace(importance="")
RENAMED = WORKLOAD._replace(labels={"alertname": "A", "level": "critical"})
NIGHT = Wants(LOUD, quiet=((22 * 3600, 7 * 3600),))
SIESTA = Wants(LOUD, quiet=((12 * 3600, 13 * 3600), (15 * 3600, 86400)))


@pytest.mark.parametrize(
    ("receiver", "notification", "wanted"),
    [
        (Wants(LOUD), WORKLOAD, True),
        (Wants(frozenset({"critical"})), WORKLOAD, False),
        (Wants(frozenset({"critical"})), CRITICAL, True),
        (Wants(frozenset({"none"})), RENAMED, True),
        (Wants(LOUD, severity_label="level"), RENAMED, True),
        (Wants(LOUD, alerts=frozenset({"DataRobotWorkloadErrored"})), WORKLOAD, True),
        (Wants(LOUD, alerts=frozenset({"DataRobotWatchdog"})), WORKLOAD, False),
        (Wants(LOUD, accounts=frozenset({"acme"})), WORKLOAD, True),
        (Wants(LOUD, accounts=frozenset({"other"})), WORKLOAD, False),
        (Wants(LOUD, accounts=frozenset({"other"})), EXPORTER, True),
        (Wants(LOUD, importance=frozenset({"critical", "high"})), WORKLOAD, True),
        (Wants(LOUD, importance=frozenset({"critical"})), WORKLOAD, False),
        (Wants(LOUD, importance=frozenset({"critical"})), ACCOUNT, True),
        (Wants(LOUD, importance=frozenset({"critical"})), UNKNOWN, True),
        (Wants(LOUD, tags={"team": "claims"}), WORKLOAD, True),
        (Wants(LOUD, tags={"team": None, "beta": None}), WORKLOAD, True),
        (Wants(LOUD, tags={"team": "claims", "beta": "yes"}), WORKLOAD, False),
        (Wants(LOUD, tags={"owner": None}), WORKLOAD, False),
        (Wants(LOUD, tags={"team": "claims"}), ACCOUNT, False),
        (Wants(LOUD), ENDED, True),
        (Wants(LOUD, resolved=False), ENDED, False),
        (Wants(LOUD, resolved=False), WORKLOAD, True),
    ],
)
def test_a_receiver_is_notified_of_what_it_wants(receiver: Wants, notification: Notification, wanted: bool) -> None:
    assert chosen(receiver, notification) is wanted


@pytest.mark.parametrize(
    ("receiver", "notification", "time", "wanted"),
    [
        (NIGHT, WORKLOAD, "21:59", True),
        (NIGHT, WORKLOAD, "22:00", False),
        (NIGHT, WORKLOAD, "00:00", False),
        (NIGHT, WORKLOAD, "06:59", False),
        (NIGHT, WORKLOAD, "07:00", True),
        (NIGHT, CRITICAL, "03:00", True),
        (NIGHT, ENDED, "03:00", True),
        (SIESTA, WORKLOAD, "11:59", True),
        (SIESTA, WORKLOAD, "12:30", False),
        (SIESTA, WORKLOAD, "13:00", True),
        (SIESTA, WORKLOAD, "23:59", False),
        (SIESTA, WORKLOAD, "00:00", True),
    ],
)
def test_quiet_hours_delay_all_but_critical_and_resolve_notifications(
    receiver: Wants, notification: Notification, time: str, wanted: bool
) -> None:
    assert (chosen(receiver, notification) and not quiet(receiver, notification, at(time))) is wanted


def at(time: str) -> float:
    return datetime.fromisoformat(f"2026-05-04T{time}").replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("alert", "ended", "heading", "lasting"),
    [
        ("DataRobotWorkloadErrored", None, "firing", ""),
        ("DataRobotWorkloadErrored", 9.0, "resolved", ""),
        ("DataRobotWorkloadStopped", None, "firing", ""),
        ("DataRobotWorkloadStopped", 9.0, "ended", "It is still stopped or suspended, unless it was started again."),
        ("AnAlertOfAnEarlierRelease", 9.0, "resolved", ""),
    ],
)
def test_resolved_is_only_what_is_no_problem_any_more(
    alert: str, ended: float | None, heading: str, lasting: str
) -> None:
    shown = Notification("a", {"alertname": alert}, {}, 1.0, ended)
    assert (shown.heading, shown.lasting) == (heading, lasting)


def test_alerts_that_report_a_change_end_although_it_lasts() -> None:
    assert [alert.name for alert in ALERTS if alert.lasting] == [
        "DataRobotWorkloadTerminated",
        "DataRobotWorkloadStopped",
        "DataRobotWorkloadVanished",
        "DataRobotDraftExpiring",
        "DataRobotReplacementFailed",
    ]
