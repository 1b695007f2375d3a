"""Golden files: a difference and a missing file are reported with what to do."""

from pathlib import Path

import pytest

from tests.goldens import check_golden


def test_a_missing_and_a_different_golden_file_fail_and_an_update_writes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "new" / "story.txt"
    monkeypatch.delenv("UPDATE_GOLDEN", raising=False)
    with pytest.raises(AssertionError, match=r"story\.txt is missing: run this test with UPDATE_GOLDEN=1"):
        check_golden(file, "text")
    monkeypatch.setenv("UPDATE_GOLDEN", "1")
    check_golden(file, "text")
    monkeypatch.delenv("UPDATE_GOLDEN")
    check_golden(file, "text")
    with pytest.raises(AssertionError, match="if intended, run with UPDATE_GOLDEN=1"):
        check_golden(file, "other")
