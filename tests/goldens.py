"""Comparison of a text with its golden file."""

import os
from pathlib import Path

ROOT = Path(__file__).parent.parent


def check_golden(file: Path, text: str) -> None:
    """Compare a text with a golden file; with the variable UPDATE_GOLDEN set, write the file first."""
    if os.environ.get("UPDATE_GOLDEN"):
        file.parent.mkdir(exist_ok=True, parents=True)
        file.write_text(text)
    place = file.relative_to(ROOT) if file.is_relative_to(ROOT) else file
    assert file.exists(), f"{place} is missing: run this test with UPDATE_GOLDEN=1 and review the new file"
    assert text == file.read_text(), f"{place}: if intended, run with UPDATE_GOLDEN=1 and review the difference"
