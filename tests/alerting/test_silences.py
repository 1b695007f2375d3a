"""Silences: which notifications they match, and which requests for one are valid."""

from collections.abc import Mapping

import pytest

from exporter.alerting.notification import Notification
from exporter.alerting.silences import BadSilence, Silence, concerns, new_silence, silenced

LABELS = ("alertname", "account", "workload", "workload_id")
NOW = 1_795_000_000.0


@pytest.mark.parametrize(
    ("matchers", "now", "expected"),
    [
        ({"workload_id": "w1"}, 50.0, True),
        ({"workload_id": "w1", "severity": "critical"}, 50.0, True),
        ({"workload_id": "w1", "severity": "warning"}, 50.0, False),
        ({"workload_id": "w1"}, 100.0, False),
        ({"nothing": "x"}, 50.0, False),
    ],
)
def test_a_silence_matches_alerts_with_all_its_labels_until_it_ends(
    matchers: dict[str, str], now: float, expected: bool
) -> None:
    labels = {"alertname": "DataRobotWorkloadErrored", "workload_id": "w1", "severity": "critical"}
    notification = Notification("key", labels, {}, 0.0)
    assert silenced(notification, [Silence(matchers, 100.0, "jo")], now) == expected


def test_a_new_silence_begins_now_and_has_the_labels_of_its_request() -> None:
    parameters = {"account": "a", "workload_id": "w1", "for": "2h", "author": "jo", "comment": "planned"}
    assert new_silence(parameters, 7200.0, LABELS, 0, NOW) == Silence(
        {"account": "a", "workload_id": "w1"}, NOW + 7200, "jo", "planned", NOW
    )


@pytest.mark.parametrize(
    ("parameters", "seconds", "existing", "error"),
    [
        ({"author": "jo"}, 60.0, 0, "Give at least one label"),
        ({"account": "a"}, 60.0, 0, "Give at least one label"),
        ({"account": "a", "author": "jo"}, 0.0, 0, "Give at least one label"),
        ({"account": "a", "author": "jo"}, float("nan"), 0, "Give at least one label"),
        ({"account": "ac*", "author": "jo"}, 60.0, 0, "account: patterns are not supported; give the exact value"),
        ({"account": "~acme", "author": "jo"}, 60.0, 0, "account: patterns are not supported; give the exact value"),
        ({"acount": "a", "author": "jo"}, 60.0, 0, "No alert has the label 'acount'; did you mean 'account'?"),
        ({"zzz": "a", "author": "jo"}, 60.0, 0, "No alert has the label 'zzz'; labels: alertname, account, "),
        ({"account": "a", "author": "jo"}, 366 * 86400.0 + 1, 0, "A silence lasts at most 366 days."),
        ({"account": "a", "author": "jo"}, 60.0, 500, "There are already 500 silences"),
    ],
)
def test_an_invalid_silence_is_rejected_with_the_reason(
    parameters: Mapping[str, str], seconds: float, existing: int, error: str
) -> None:
    with pytest.raises(BadSilence, match=error.replace("?", r"\?")):
        new_silence(parameters, seconds, LABELS, existing, NOW)


@pytest.mark.parametrize(
    ("matchers", "ends", "expected"),
    [
        ({"workload_id": "w1"}, 200.0, True),
        ({"workload_id": "w1", "alertname": "any"}, 200.0, True),
        ({"alertname": "any"}, 200.0, True),
        ({"workload_id": "w2"}, 200.0, False),
        ({"workload_id": "w1", "component": "account"}, 200.0, False),
        ({"workload_id": "w1"}, 100.0, False),
    ],
)
def test_a_silence_concerns_a_subject_if_no_label_of_the_subject_differs_until_it_ends(
    matchers: Mapping[str, str], ends: float, expected: bool
) -> None:
    assert concerns(Silence(matchers, ends, "jane"), {"workload_id": "w1", "component": "workload"}, 100.0) is expected
