"""Rules with one thing changed are found out: the trials of an alert would notice each change of each threshold,
duration and label.
"""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import counts
from tests.alerts.cases import CASES, Case
from tests.alerts.mutants import Mutant, mutants
from tests.alerts.timeline import Trial, document, judged
from tests.alerts.trials import trials, written

pytestmark = [pytest.mark.real, pytest.mark.long]
RULES = written()
AT_ONCE = 2
"""How many trials promtool gets at once: most mutants are found out by the first ones."""

_KEPT = "what its pods were is kept for ten minutes all the same"
_MOST = "of two protons the one with more ready pods counts, so what an old one was holds nothing"
_ASKS = "it asks itself whether its pods are told"
EQUAL: dict[str, str] = {
    "DataRobotPodSnapshotMissing warning: 0 is -0.01 at 533": "no count is below 0",
    "DataRobotPodSnapshotMissing warning: no part of what is fresh": _ASKS,
    "DataRobotPodSnapshotMissing warning: part without pods of what is fresh": _ASKS,
    "DataRobotAutoscalerSaturated warning: part without pods of what is fresh": _KEPT,
    "DataRobotWorkloadMemoryNearLimit warning: part without pods of what is fresh": _KEPT,
    "DataRobotWorkloadMemoryNearLimit warning: no part of what is fresh": "a pod's memory is not told with the pods",
    "DataRobotWorkloadReplicasDegraded critical: part without pods of what is fresh": _MOST,
    "DataRobotWorkloadReplicasDegraded warning: part without pods of what is fresh": _MOST,
}
"""Mutants that do the same as the rule, each with its reason: ``alert severity: what``."""


def _survives(folder: Path, alert: str, chunks: list[str], number: int, mutant: Mutant) -> bool:
    """What found out one mutant goes first for the next, which is likely to be alike."""
    for place, chunk in enumerate(list(chunks)):
        name = f"{alert}-{number}-{place}"
        if not judged(folder, name, mutant.rules, chunk.replace("case.rules.json", f"{name}.rules.json")).passed:
            chunks.remove(chunk)
            chunks.insert(0, chunk)
            return False
    return True


def _chunks(case: Case) -> list[str]:
    told = list(trials(case))
    first = [trial for trial in told if not trial.name.startswith("no ")]
    ordered: list[Trial] = [*first, *(trial for trial in told if trial not in first)]
    parts = [ordered[begin : begin + AT_ONCE] for begin in range(0, len(ordered), AT_ONCE)]
    return [json.dumps(document("case.rules.json", case.alert, part)) for part in parts]


@pytest.mark.parametrize("case", CASES, ids=[case.alert for case in CASES])
def test_a_changed_rule_is_found_out(case: Case, tmp_path: Path) -> None:
    made, chunks = list(mutants(RULES[case.alert])), _chunks(case)
    assert len(made) >= 4
    with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        survived = pool.map(lambda one: _survives(tmp_path, case.alert, chunks, *one), enumerate(made))
        alive = {f"{case.alert} {mutant.what}" for mutant, lives in zip(made, survived, strict=True) if lives}
    counts.told["rules changed"] = counts.told.get("rules changed", 0) + len(made)
    counts.told["found out"] = counts.told.get("found out", 0) + len(made) - len(alive)
    assert alive == {what for what in EQUAL if what.startswith(f"{case.alert} ")}
