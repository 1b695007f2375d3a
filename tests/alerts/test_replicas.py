"""Alerts do not depend on which replica of the exporter serves, nor on how many: the same fire, at the same time."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.alerts.cases import BEGUN, BY_NAME, CASES, NEVER, Also, Case
from tests.alerts.timeline import BEGINS, STEP, Phase, Trial, document, judged
from tests.alerts.trials import ROWS, _begun, _evaluated, _settled, firing, joined, silent, trials, written

pytestmark = pytest.mark.real
RULES = written()
OF_A_REPLICA = {
    "DataRobotExporterDown",
    "DataRobotAccountNotHeld",
    "DataRobotExporterLeasesExpired",
    "DataRobotExporterReloadFailed",  # its settings are its own
    "DataRobotExporterCannotNotify",  # so is its connection to a receiver
}
"""Alerts about replicas themselves."""
SHARED = [case for case in CASES if case.alert not in OF_A_REPLICA]
each_case = pytest.mark.parametrize(
    "case",
    [
        # `make test` tries a third of them.
        pytest.param(case, id=case.alert, marks=pytest.mark.exhaustive if number % 3 else ())
        for number, case in enumerate(SHARED)
    ],
)


def _checked(case: Case, found: Iterable[Trial], folder: Path) -> None:
    # Accounts have many workloads: joined and doubled, these would be too many for promtool.
    found = joined(case, found) if ROWS[case.alert].component == "workload" else found
    tests = json.dumps(document("case.rules.json", case.alert, found))
    verdict = judged(folder, "case", RULES[case.alert], tests)
    assert verdict.passed, verdict.words


@each_case
def test_two_replicas_that_serve_the_same_fire_what_one_does(case: Case, tmp_path: Path) -> None:
    """As long as one of both does not know that the other one has taken its account."""
    doubled = (
        trial._replace(phases=tuple(phase._replace(also=("z:1",)) for phase in trial.phases)) for trial in trials(case)
    )
    _checked(case, doubled, tmp_path)


@each_case
def test_an_account_that_moves_twice_fires_what_one_exporter_does(case: Case, tmp_path: Path) -> None:
    _checked(case, _moved(case), tmp_path)


def _moved(case: Case) -> Iterator[Trial]:
    """From a to b while it waits, if it waits for longer than a scrape; then to c while it fires."""
    at = case.after + _evaluated(case.wait)
    moves = [at - STEP] if case.wait > STEP else []
    moves += [at + 3 * STEP] if case.ends is None or case.ends > at + 5 * STEP else []
    well, bad = _begun(case)
    page, phases = _settled(bad), [well, bad]
    for move, instance in zip(moves, ("b:1", "c:1"), strict=False):
        phases += [Phase(BEGINS + move, {}, served=False), Phase(BEGINS + move + STEP, page, instance=instance)]
    lasts = at + 8 * STEP if case.ends is None else min(at + 8 * STEP, case.ends - STEP)
    through = [firing(case, passed, Also({})) for passed in range(int(at), int(lasts) + 1, STEP)]
    before = [silent(at - 2 * STEP)] if at >= STEP else []
    yield Trial("moves", tuple(phases), (*before, *through))


def test_the_age_of_data_counts_on_when_another_replica_takes_the_account_over(tmp_path: Path) -> None:
    case = BY_NAME["DataRobotDataStale"]
    well, bad = _begun(case)
    new = {**bad.page, **NEVER, BEGUN: BEGINS + 150.0}
    phases = (well, bad, Phase(BEGINS + 120, {}, served=False), Phase(BEGINS + 180, new, instance="b:1"))
    _checked(case, [Trial("taken over", phases, (silent(180), firing(case, 240)))], tmp_path)
