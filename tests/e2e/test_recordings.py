"""Each recording in tests/recordings, replayed: the metrics at its end, and all notifications and traces.

A recording becomes a test by copying it there. `UPDATE_GOLDEN=1 pytest tests/e2e/test_recordings.py` writes what
is expected of it beside it: review these files by reading them. Times are in seconds since the start of the replay.
"""

import os
from pathlib import Path

import pytest

from tests.goldens import check_golden
from tests.recorded import Played, Replayed, play
from tests.stage import START

pytestmark = pytest.mark.long
FOLDER = Path(__file__).parent.parent / "recordings"
RECORDINGS = sorted(FOLDER.glob("*.rec"))
MAX_SECONDS = 3600.0
"""How much of a recording is replayed."""


def metrics(played: Played, expected: Path) -> str:
    """The samples at the end, without buckets of histograms and the zeros of `workload_status`.

    Only families in the file with what is expected, unless it is to be written: a new metric is no difference.
    """
    lines = []
    written = "" if os.environ.get("UPDATE_GOLDEN") or not expected.exists() else expected.read_text()
    families = {line.partition("{")[0] for line in written.splitlines()}
    for series, value in sorted(played.samples[-1].items()):
        name = series.partition("{")[0]
        if families and name not in families:
            continue
        if name.endswith("_bucket") or (name == "datarobot_workload_status" and value == "0.0"):
            continue
        at = f"{float(value) - START:+.0f} s" if name.endswith("_timestamp_seconds") else value
        lines.append(f"{series} {at}\n")
    return "".join(lines)


def notifications(played: Played, unknown: int) -> str:
    """A line for each notification, its evidence, and how many requests were not recorded."""
    lines = [f"{unknown} requests were not recorded\n"]
    for at, each in played.notified:
        what = each.labels["severity"] if each.ended is None else "resolved"
        subject = each.labels.get("workload", each.labels["account"])
        lines.append(f"\n+{at:.0f} s {what} {each.labels['alertname']} {subject}\n")
        lines += [f"  {title}: {text}\n" for title, text in each.evidence]
    return "".join(lines)


@pytest.mark.parametrize("file", RECORDINGS, ids=lambda file: file.stem)
def test_a_recording_has_the_metrics_notifications_and_traces_beside_it(file: Path) -> None:
    replayed = Replayed(file)
    played = play(replayed, min(replayed.replay.seconds, MAX_SECONDS))
    expected = file.with_suffix(".metrics.txt")
    check_golden(expected, metrics(played, expected))
    check_golden(file.with_suffix(".alerts.txt"), notifications(played, replayed.unknown.total()))
    check_golden(file.with_suffix(".traces.txt"), "\n\n".join(played.traces) + "\n")


def test_each_expectation_belongs_to_a_recording() -> None:
    expected = {file.stem + end for file in RECORDINGS for end in (".metrics.txt", ".alerts.txt", ".traces.txt")}
    assert {file.name for file in FOLDER.glob("*.txt")} == expected
    assert RECORDINGS
