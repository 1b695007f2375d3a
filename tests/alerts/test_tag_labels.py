"""Rules with labels from tags (`alerts.tag_labels`): they fire as the rules without, and never change their labels."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.alerting.rules import Options
from tests.alerts.cases import BY_NAME, CASES, Also, Case
from tests.alerts.pages import W, importance
from tests.alerts.timeline import BEGINS, STEP, Expected, Page, Phase, Trial, Verdict, document, judged
from tests.alerts.trials import ALL, ROWS, _begun, _evaluated, _settled, firing, silent, trials, written

pytestmark = pytest.mark.real
OPTIONS: Options = ALL._replace(tag_labels=("tag_env", "tag_team"))
RULES = written(OPTIONS)
CLAIMS, FRAUD = ({f'{W}tags{{tag_team="{team}",tag_zone="eu"}}': 1.0} for team in ("claims", "fraud"))
NO_CLAIMS: Page = dict.fromkeys(CLAIMS)
ABOUT_WORKLOADS = [case for case in CASES if ROWS[case.alert].component == "workload"]


def of_team(expected: Expected, team: str) -> Expected:
    """The same alerts with the label."""
    return expected._replace(
        alerts=tuple({**each, "labels": {**each["labels"], "tag_team": team}} for each in expected.alerts)
    )


def verdict(case: Case, found: list[Trial], folder: Path) -> Verdict:
    return judged(folder, "case", RULES[case.alert], json.dumps(document("case.rules.json", case.alert, found)))


def checked(case: Case, found: list[Trial], folder: Path) -> None:
    judgement = verdict(case, found, folder)
    assert judgement.passed, judgement.words


def _changed(case: Case) -> Iterator[Trial]:
    """The tag changes while the alert waits, or fires if its condition waits; its series ends; all begins again."""
    at = case.after + _evaluated(case.wait)
    begins = at if ROWS[case.alert].since is not None else 0
    well, bad = _begun(case)
    page, tagged = _settled(bad), {**NO_CLAIMS, **FRAUD}
    over, keep = at + 10 * STEP, case.keep_of(Also({}))
    again = over + keep + 5 * STEP
    phases = (
        well._replace(page={**well.page, **CLAIMS}),
        bad._replace(page={**bad.page, **CLAIMS}),
        Phase(BEGINS + begins + STEP, {**page, **tagged}),
        Phase(BEGINS + at + 5 * STEP, page),
        Phase(BEGINS + over, {**well.page, **tagged}),
        bad._replace(begins=BEGINS + again, page={**bad.page, **tagged}),
    )
    for_a_while = [of_team(firing(case, passed), "claims") for passed in range(int(at), int(over), STEP)]
    kept = [of_team(firing(case, over + keep - STEP, met=over - STEP), "claims")] if keep else []
    second = of_team(firing(case, at), "fraud")._replace(at=BEGINS + again + at)
    yield Trial("changed", phases, (silent(at - STEP), *for_a_while, *kept, silent(again - STEP), second))


@pytest.mark.parametrize("name", ["DataRobotWorkloadErrored", "DataRobotWorkloadUnschedulable"])
def test_an_alert_keeps_the_tag_with_which_it_began_and_neither_waits_nor_fires_again(
    name: str, tmp_path: Path
) -> None:
    """The first has its wait time in the condition, the second in `for`."""
    checked(BY_NAME[name], list(_changed(BY_NAME[name])), tmp_path)


def test_an_alert_that_becomes_more_severe_keeps_the_tag(tmp_path: Path) -> None:
    case = BY_NAME["DataRobotWorkloadErrored"]
    at = case.after + _evaluated(case.wait)
    well, bad = _begun(case, importance("low"))
    urgent = {**_settled(bad), **importance("high")}
    phases = (
        well._replace(page={**well.page, **CLAIMS}),
        bad._replace(page={**bad.page, **CLAIMS}),
        Phase(BEGINS + at + STEP, {**urgent, **NO_CLAIMS, **FRAUD}),
    )
    soft, loud = firing(case, at + STEP, Also({}, severity="warning"), met=at), firing(case, at + STEP)
    both = of_team(soft._replace(alerts=(*soft.alerts, *loud.alerts)), "claims")
    checked(case, [Trial("more severe", phases, (both,))], tmp_path)


def test_two_exporters_that_report_different_tags_do_not_end_an_alert(tmp_path: Path) -> None:
    """One of both was read earlier; if not, either counts. A join with two series of a workload would fail."""
    case = BY_NAME["DataRobotWorkloadErrored"]
    at = case.after + _evaluated(case.wait)
    well, bad = _begun(case)
    phases = tuple(phase._replace(page={**phase.page, **CLAIMS, **FRAUD}, also=("z:1",)) for phase in (well, bad))
    fired = verdict(case, [Trial("two", phases, (silent(at),))], tmp_path).words
    assert re.findall(r'tag_team="(\w+)"', fired) in (["claims"], ["fraud"]), fired


@pytest.mark.parametrize("case", ABOUT_WORKLOADS, ids=[case.alert for case in ABOUT_WORKLOADS])
def test_an_alert_has_the_tag_as_a_label_and_fires_without_it_if_there_is_no_such_series(
    case: Case, tmp_path: Path
) -> None:
    plain = next(trials(case))
    phases = tuple(phase._replace(page={**phase.page, **CLAIMS}) for phase in plain.phases)
    tagged = Trial("tagged", phases, tuple(of_team(each, "claims") for each in plain.expected))
    checked(case, [plain, tagged], tmp_path)


def test_alerts_about_accounts_and_exporters_have_no_tags() -> None:
    same = written(ALL)
    different = {name for name, rules in RULES.items() if rules != same[name]}
    assert different == {case.alert for case in ABOUT_WORKLOADS}
