"""The file of a recording: what can be read of it, whatever happened to the process that wrote it."""

import gzip
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from exporter.collect.recording_file import RecordingError, RecordingFile, read_recording
from exporter.recording.lines import Exchange, Lines, RecordedLine, TextCounts
from exporter.recording.redactor import Redactor
from tests.recorded import KEY
from tests.stage import START, Stage, played, simulated

ONE = Exchange("/workloads", "/api/v2/workloads/", {}, 200, {}, b'{"count": 1}')


def lines() -> Lines:
    return Lines(Redactor(KEY, START))


def test_a_file_that_was_completed_is_a_gzip_file_with_counts_at_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.rec"
    with RecordingFile(path, lines(), lambda: START) as file:
        file.add(ONE, None)
    assert gzip.decompress(path.read_bytes()).count(b"\n") == 3
    assert [type(line) for line in read_recording(path)[1]] == [RecordedLine, TextCounts]
    assert path.stat().st_mode & 0o777 == 0o600
    assert (file.responses, file.bytes, file.problem) == (1, path.stat().st_size, "")


def test_of_a_process_that_is_killed_all_but_the_last_second_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.rec"
    program = f"""
import os, signal
from pathlib import Path
from exporter.collect.recording_file import RecordingFile
from tests.collect.test_recording_file import ONE, lines
now = iter(range(1000))
file = RecordingFile(Path({str(path)!r}), lines(), lambda: 1795000000.0 + next(now) / 4)
for _ in range(100):
    file.add(ONE._replace(body=os.urandom(20).hex().join(('{{"note": "', '"}}')).encode()), None)
os.kill(os.getpid(), signal.SIGKILL)
"""
    child = subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[2], timeout=60)
    assert child.returncode == -9
    ats = [line.at for line in read_recording(path)[1] if isinstance(line, RecordedLine)]
    assert len(ats) > 90
    assert ats == sorted(ats)


@pytest.mark.parametrize("left", [0.3, 0.6, 0.9])
def test_a_file_that_was_cut_can_be_read_to_its_last_complete_line(tmp_path: Path, left: float) -> None:
    path = tmp_path / "a.rec"
    with RecordingFile(path, lines(), lambda: START) as file:
        for number in range(2000):
            file.add(ONE._replace(body=b'{"count": %d}' % number), None)
    whole = list(read_recording(path)[1])
    path.write_bytes(path.read_bytes()[: int(left * path.stat().st_size)])
    part = list(read_recording(path)[1])
    assert whole[: len(part)] == part
    assert 0 < len(part) < len(whole)


def test_what_is_damaged_ends_the_recording(tmp_path: Path) -> None:
    path = tmp_path / "a.rec"
    with RecordingFile(path, lines(), lambda: START) as file:
        file.add(ONE, None)
        file._flush(3)
    path.write_bytes(path.read_bytes()[:-30] + b"damaged")
    assert len(list(read_recording(path)[1])) <= 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_a_problem_with_the_reason_and_no_error_of_a_request(tmp_path: Path) -> None:
    path = tmp_path / "a.rec"
    file = RecordingFile(path, lines(), lambda: START)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, file._file.fileno())
    os.close(full)
    file.add(ONE, None)
    file.close()
    assert re.search(r"a\.rec: No space left on device; what was recorded before can be read", file.problem)
    file.add(ONE, None)


def test_a_file_that_exists_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a.rec"
    path.write_text("mine")
    with pytest.raises(RecordingError, match="exists"):
        RecordingFile(path, lines(), lambda: START)
    with pytest.raises(RecordingError, match="No such file"):
        RecordingFile(tmp_path / "absent" / "a.rec", lines(), lambda: START)
    with pytest.raises(RecordingError, match="first line"):
        read_recording(path)
    with pytest.raises(RecordingError, match="No such file"):
        read_recording(tmp_path / "absent")


def test_every_request_of_a_client_is_recorded_also_one_without_a_response() -> None:
    recorded: list[Exchange] = []
    simulator = simulated(1, odd=["huge@/account/info", "hanging@/workloads/{id}/events"])

    async def play(stage: Stage) -> None:
        stage.client.record = lambda exchange, _: recorded.append(exchange)
        await stage.run(60)
        assert len(recorded) == len(stage.sent)

    played(play, simulator)
    by_status = {(one.route, one.status) for one in recorded}
    assert {("/workloads", 200), ("/workloads/{id}/events", 0)} <= by_status
    assert all(one.path.startswith(("/api/v2/", "/config")) for one in recorded)
