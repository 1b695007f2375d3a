"""When evidence decides about an assumption, and when it changes what was decided."""

from collections.abc import Sequence

import pytest

from exporter.api.assumptions import ASSUMED, ASSUMPTIONS, BY_ID, Indication, Judgement, effect

ROW = BY_ID["response_time_is_quantile"]
ASSUMED_READING, OTHER = (reading.name for reading in ROW.readings)


NOTHING = Judgement()


def judged(*runs: tuple[str, int], before: Judgement = NOTHING, subject: str = "") -> Judgement:
    """The judgement after runs of evidence for a reading; each is about another subject, or all about one."""
    after, number = before, 0
    for reading, times in runs:
        for _ in range(times):
            number += 1
            after = after.after([Indication(ROW.id, reading, subject or f"{id(before)} {number}", f"text {number}")])
    return after


@pytest.mark.parametrize(
    ("runs", "verdict"),
    [
        ([], "unknown"),
        ([(ASSUMED_READING, 4)], "unknown"),
        ([(ASSUMED_READING, 5)], "confirmed"),
        ([(OTHER, 4)], "unknown"),
        ([(OTHER, 5)], "contradicted"),
        ([(OTHER, 4), (ASSUMED_READING, 4), (OTHER, 4)], "unknown"),
        ([(ASSUMED_READING, 5), (OTHER, 4), (ASSUMED_READING, 1), (OTHER, 4)], "confirmed"),
        ([(ASSUMED_READING, 5), (OTHER, 5)], "contradicted"),
        ([(ASSUMED_READING, 5), (OTHER, 5), (ASSUMED_READING, 9)], "contradicted"),
        ([(ASSUMED_READING, 5), (OTHER, 5), (ASSUMED_READING, 10)], "confirmed"),
        ([(ASSUMED_READING, 5), (OTHER, 5), (ASSUMED_READING, 10), (OTHER, 19)], "confirmed"),
    ],
)
def test_a_verdict_takes_evidence_in_a_row_and_each_change_takes_twice_as_much(
    runs: Sequence[tuple[str, int]], verdict: str
) -> None:
    assert judged(*runs).verdict(ROW) == verdict


def test_the_same_subject_counts_once() -> None:
    assert judged((OTHER, 50), subject="w1").verdict(ROW) == "unknown"


def test_the_readings_in_force_are_those_that_contradict_an_assumption() -> None:
    assert judged((ASSUMED_READING, 5)).readings is ASSUMED
    assert judged((OTHER, 5)).readings == {OTHER}


def test_evidence_that_changes_nothing_makes_no_new_judgement() -> None:
    before = judged((OTHER, 5))
    assert judged((OTHER, 5), before=before) is before
    assert before.decision(ROW).text == "text 5"


def test_each_reading_has_an_effect_and_a_name_of_its_own() -> None:
    names = [reading.name for row in ASSUMPTIONS for reading in row.readings]
    assert len({*names}) == len(names)
    assert effect(ROW, OTHER) == ROW.readings[1].effect
    assert effect(ROW, "") == ROW.readings[0].effect
