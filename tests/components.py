"""Programs of the system that tests use."""

import os
import shutil

import pytest

PACKAGES = {
    "promtool": "prometheus",
    "amtool": "prometheus-alertmanager",
    "systemd-analyze": "systemd",
    "node": "nodejs",
}


def component(name: str, *others: str) -> str:
    """The path of a program, under this name or another; a missing one fails in CI and is skipped, in words, else."""
    found = next(filter(None, map(shutil.which, (name, *others))), None)
    if found is None:
        words = f"{name} is missing; on Debian: apt-get install {PACKAGES.get(name, name)}"
        if os.environ.get("CI") == "true":
            pytest.fail(words)
        pytest.skip(words)  # on a desk only: in CI it is a failure, above
    return found
