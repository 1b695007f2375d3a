"""Programs of the system that tests use."""

import os
import shutil

import pytest

PACKAGES = {"promtool": "prometheus", "node": "nodejs"}


def component(name: str) -> str:
    """The path of a program; a missing one fails in CI and is skipped, loudly, elsewhere."""
    found = shutil.which(name)
    if found is None:
        words = f"{name} is missing; on Debian: apt-get install {PACKAGES.get(name, name)}"
        if os.environ.get("CI") == "true":
            pytest.fail(words)
        pytest.skip(words)
    return found
