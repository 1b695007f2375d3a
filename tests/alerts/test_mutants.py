"""Rules with one thing changed are found out: the trials of an alert would notice each change of each threshold,
duration and label.

That takes promtool some two thousand runs, so what they proved is recorded in mutants.lock, under a key of all that
could change it. `make test` runs the mutants of alerts whose key is not there; `make mutants` does so too and
records them; `make test-all` runs all.
"""

import functools
import hashlib
import inspect
import json
import os
import re
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from tests import counts
from tests.alerts.cases import CASES, Case
from tests.alerts.mutants import Mutant, mutants
from tests.alerts.timeline import Expected, Phase, Trial, document, judged
from tests.alerts.trials import joined, written
from tests.components import component

pytestmark = [pytest.mark.real, pytest.mark.long]
RULES = written()

_KEPT = "its pods are kept for ten minutes anyway"
_MOST = "of two protons the one with more ready pods counts, so an old one has no effect"
_LEVEL = "the condition of its severity requires more than that"
_READS_FRESH = "it reads itself whether pods are reported"
EQUAL: dict[str, str] = {
    "DataRobotPodSnapshotMissing warning: no part of what is fresh": _READS_FRESH,
    "DataRobotPodSnapshotMissing warning: part without pods of what is fresh": _READS_FRESH,
    "DataRobotAutoscalerSaturated warning: part without pods of what is fresh": _KEPT,
    "DataRobotWorkloadReplicaLimitNear warning: part without pods of what is fresh": _KEPT,
    "DataRobotWorkloadForgotten info: no part of what is fresh": _KEPT,
    "DataRobotWorkloadUnreadable critical: no status at 211": _LEVEL,
    "DataRobotWorkloadUnreadable critical: no importance at 1229": _LEVEL,
    "DataRobotWorkloadUnreadable critical: importance without high at 1229": _LEVEL,
    "DataRobotWorkloadSingleReplica info: 1 is 1.25 at 521": "replicas are whole numbers",
    "DataRobotWorkloadSingleReplica info: no part of what is fresh": "without pods it fires already",
    "DataRobotWorkloadSingleReplica info: part without pods of what is fresh": "with pods, both halves read the same",
    "DataRobotFleetManyFailing critical: status without interrupted at 1574": "an interrupted workload fails anyway",
    "DataRobotAccountDetailsUnreadable warning: 3 is 2.25 at 455": "the number of workloads is whole",
    "DataRobotWorkloadMemoryNearLimit warning: part without pods of what is fresh": _KEPT,
    "DataRobotWorkloadMemoryNearLimit warning: no part of what is fresh": "pod memory is not reported with pods",
    "DataRobotWorkloadReplicasDegraded critical: part without pods of what is fresh": _MOST,
}
"""Mutants that do the same as the rule, each with its reason: ``alert severity: what``."""


RECORD = Path(__file__).with_name("mutants.lock")


class Proof(NamedTuple):
    """All that decides whether the mutants of an alert are detected: what promtool gets, and the code that runs it."""

    alert: str
    mutants: tuple[Mutant, ...]
    documents: Mapping[str, tuple[str, ...]]
    """Severity -> test files for promtool about its rule alone, most distinctive first."""
    equal: tuple[str, ...]
    """The mutants that nothing can detect."""
    promtool: str
    """Its version."""
    code: str

    @property
    def key(self) -> str:
        """Changes with any of it."""
        return hashlib.sha256(json.dumps(self, sort_keys=True).encode()).hexdigest()


@functools.cache
def version() -> str:
    """The version of the promtool on this machine, such as 2.42.0+ds."""
    ran = subprocess.run([component("promtool"), "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"version (\S+)", ran.stdout + ran.stderr)
    assert found is not None, ran
    return found[1]


def proof(case: Case) -> Proof:
    """What there is to prove of an alert."""
    return Proof(
        case.alert,
        tuple(mutants(RULES[case.alert])),
        {rule["labels"]["severity"]: _documents(case, rule["labels"]["severity"]) for rule in RULES[case.alert]},
        tuple(sorted(what for what in EQUAL if what.startswith(f"{case.alert} "))),
        version(),
        "\n".join(inspect.getsource(function) for function in (judged, undetected, _survives)),
    )


def _documents(case: Case, severity: str) -> tuple[str, ...]:
    """The trials of a case, as far as they are about one severity."""
    only = (
        trial._replace(
            expected=tuple(
                Expected(each.at, tuple(alert for alert in each.alerts if alert["labels"]["severity"] == severity))
                for each in trial.expected
            )
        )
        for trial in joined(case)
    )
    return tuple(json.dumps(document("case.rules.json", case.alert, [trial])) for trial in only)


def _survives(folder: Path, alert: str, chunks: list[str], number: int, mutant: Mutant) -> bool:
    """What found out one mutant goes first for the next, which is likely to be alike."""
    for place, chunk in enumerate(list(chunks)):
        name = f"{alert}-{number}-{place}"
        if not judged(folder, name, [mutant.rule], chunk.replace("case.rules.json", f"{name}.rules.json")).passed:
            chunks.remove(chunk)
            chunks.insert(0, chunk)
            return False
    return True


def undetected(wanted: Proof, folder: Path) -> set[str]:
    """Run all mutants; return those that pass all trials."""
    chunks = {severity: list(documents) for severity, documents in wanted.documents.items()}
    with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        survived = pool.map(
            lambda one: _survives(folder, wanted.alert, chunks[one[1].severity], *one), enumerate(wanted.mutants)
        )
        return {f"{wanted.alert} {one.what}" for one, lives in zip(wanted.mutants, survived, strict=True) if lives}


def recorded() -> dict[str, str]:
    """Alert -> the key of its last proof."""
    return dict(line.split() for line in RECORD.read_text().splitlines()) if RECORD.exists() else {}


def survivors(wanted: Proof, record: Mapping[str, str], folder: Path) -> set[str]:
    """The mutants that nothing detects: as recorded, where the proof is the recorded one; or else all of them run."""
    if record.get(wanted.alert) == wanted.key:
        return set(wanted.equal)
    return undetected(wanted, folder)


def _count(what: str, count: int) -> None:
    counts.numbers[what] = counts.numbers.get(what, 0) + count


@pytest.mark.parametrize("case", CASES, ids=[case.alert for case in CASES])
def test_the_record_says_of_each_changed_rule_that_it_is_detected_or_it_is_run(case: Case, tmp_path: Path) -> None:
    wanted = proof(case)
    assert len(wanted.mutants) >= 4
    if recorded().get(case.alert) != wanted.key:
        _count("alerts of which the changed rules ran, for no record is theirs (`make mutants` writes it)", 1)
    assert survivors(wanted, recorded(), tmp_path) == set(wanted.equal)
    _count("rules changed", len(wanted.mutants))
    _count("found out", len(wanted.mutants) - len(wanted.equal))
    if os.environ.get("RECORD_MUTANTS"):
        keys = {alert: key for alert, key in recorded().items() if alert in RULES} | {case.alert: wanted.key}
        RECORD.write_text("".join(f"{alert} {keys[alert]}\n" for alert in sorted(keys)))


@pytest.mark.exhaustive
@pytest.mark.parametrize("case", CASES, ids=[case.alert for case in CASES])
def test_a_changed_rule_is_found_out(case: Case, tmp_path: Path) -> None:
    wanted = proof(case)
    assert undetected(wanted, tmp_path) == set(wanted.equal)


TOY = Proof(
    "Toy",
    (
        Mutant("1 is 2", "info", {"alert": "Toy", "expr": "up < 2"}),
        Mutant("1 is 0", "info", {"alert": "Toy", "expr": "up < 0"}),
    ),
    {
        "info": (
            json.dumps(document("case.rules.json", "Toy", [Trial("up", (Phase(0, {"up": 1.0}),), (Expected(60.0),))])),
        )
    },
    (),
    "2.42.0",
    "def judged(): …",
)


@pytest.mark.parametrize(
    ("record", "alive"),
    [
        ({"Toy": TOY.key}, set()),
        ({}, {"Toy 1 is 0"}),
        ({"Toy": "0" * 64}, {"Toy 1 is 0"}),
        ({"Toy": TOY._replace(promtool="2.43.0").key}, {"Toy 1 is 0"}),
        ({"Other": TOY.key}, {"Toy 1 is 0"}),
    ],
    ids=["recorded", "not recorded", "key of nothing", "another promtool", "another alert"],
)
def test_mutants_run_unless_this_very_proof_is_recorded(
    record: dict[str, str], alive: set[str], tmp_path: Path
) -> None:
    assert survivors(TOY, record, tmp_path) == alive


def test_the_key_of_a_proof_changes_with_each_of_its_parts() -> None:
    (rule, *_), (document_, *_) = TOY.mutants, TOY.documents["info"]
    others = [
        TOY._replace(alert="Other"),
        TOY._replace(mutants=TOY.mutants[:1]),
        TOY._replace(mutants=(rule._replace(rule={"alert": "Toy", "expr": "up < 3"}), *TOY.mutants[1:])),
        TOY._replace(documents={"info": (document_.replace("60s", "120s"),)}),
        TOY._replace(documents={"info": ()}),
        TOY._replace(equal=("Toy 1 is 0",)),
        TOY._replace(promtool="2.43.0"),
        TOY._replace(code="def judged(): pass"),
    ]
    assert len({each.key for each in (TOY, *others)}) == 1 + len(others)
