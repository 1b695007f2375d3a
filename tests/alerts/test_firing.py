"""Each alert in Prometheus's rule engine (promtool): when it fires, with which words, and what leaves it silent."""

import json
from pathlib import Path

import pytest

from tests import counts
from tests.alerts.cases import CASES, Case
from tests.alerts.timeline import Expected, Phase, Trial, Verdict, document, judged
from tests.alerts.trials import ROWS, joined, trials, written

pytestmark = pytest.mark.real
RULES = written()


@pytest.mark.parametrize("case", CASES, ids=[case.alert for case in CASES])
def test_it_fires_when_it_should_and_only_then(case: Case, tmp_path: Path) -> None:
    found = list(trials(case))
    counts.numbers["trials of alerts"] = counts.numbers.get("trials of alerts", 0) + len(found)
    verdict = _verdict(case, joined(case), tmp_path)
    # Each alone says which one it is.
    alone = () if verdict.passed else (_verdict(case, [trial], tmp_path) for trial in found)
    assert verdict.passed, next((each.words for each in alone if not each.passed), verdict.words)


def _verdict(case: Case, found: list[Trial], folder: Path) -> Verdict:
    return judged(folder, "case", RULES[case.alert], json.dumps(document("case.rules.json", case.alert, found)))


def test_the_watchdog_fires_always(tmp_path: Path) -> None:
    row = ROWS["DataRobotWatchdog"]
    labels = {"severity": "none", "component": "exporter"}
    words = {"summary": row.summary, "description": row.description, "runbook_url": f"alerts/runbooks/{row.name}.md"}
    expected = tuple(Expected(at, ({"labels": labels, "annotations": words},)) for at in (0.0, 600.0))
    tests = json.dumps(document("case.rules.json", row.name, [Trial("always", (Phase(0, {}),), expected)]))
    verdict = judged(tmp_path, "case", RULES[row.name], tests)
    assert verdict.passed, verdict.words


def test_every_alert_has_its_case() -> None:
    """A case shows the wait, the words, each severity that the row has, and something that leaves it silent."""
    counts.numbers["alerts"] = len(ROWS)
    assert {case.alert for case in CASES} == ROWS.keys() - {"DataRobotWatchdog"}
    for case in CASES:
        row = ROWS[case.alert]
        assert case.wait == row.wait, case.alert
        assert case.keep == row.keep, case.alert  # both are (critical, warning)
        assert case.silent, case.alert
        shown = {case.severity, *(variant.severity for variant in case.also.values() if variant.severity)}
        assert shown == {level.severity for level in row.levels}, case.alert
        names = [trial.name for trial in trials(case)]
        assert len(set(names)) == len(names), case.alert
        if row.component != "exporter":
            for severity in shown:
                assert f"{severity} fires on through a gap" in names
                assert f"{severity} fires on when the exporter is replaced" in names


TWINS = {
    "at zero": {"DataRobotWorkloadErrored", "DataRobotWorkloadStuckStarting", "DataRobotWorkloadReplicasDegraded"},
    "stopped by a user": {"DataRobotWorkloadErrored", "DataRobotWorkloadInterrupted", "DataRobotWorkloadStopped",
        "DataRobotWorkloadNotServing", "DataRobotWorkloadTrafficStopped", "DataRobotDraftExpiring",
        "DataRobotFleetManyFailing"},
    "a state from before the first observation": {"DataRobotWorkloadTerminated", "DataRobotWorkloadStopped"},
    "no limit": {"DataRobotAccountWorkloadLimitNear", "DataRobotWorkloadReplicaLimitNear"},
    "least is most": {"DataRobotAutoscalerSaturated", "DataRobotWorkloadReplicaLimitNear"},
    "status running": {"DataRobotWorkloadErrored", "DataRobotWorkloadStuckStopping", "DataRobotWorkloadInterrupted"},
}  # fmt: skip
"""Situations that look like a problem but are none, and the alerts that could fire wrongly."""


@pytest.mark.parametrize("twin", TWINS)
def test_situations_that_are_no_problem_are_covered(twin: str) -> None:
    assert {case.alert for case in CASES if twin in case.silent} >= TWINS[twin]
