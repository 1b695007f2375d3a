"""System programs used by tests."""

import os
import shutil

import pytest

PACKAGES = {
    "postgres": "postgresql",
    "initdb": "postgresql",
    "promtool": "prometheus",
    "amtool": "prometheus-alertmanager",
    "systemd-analyze": "systemd",
    "node": "nodejs",
}


def component(name: str, *others: str) -> str:
    """The path of a program under one of its names. If it is missing, the test fails in CI and is skipped elsewhere."""
    found = next(filter(None, map(shutil.which, (name, *others))), None)
    if found is None:
        message = f"{name} is missing; on Debian: apt-get install {PACKAGES.get(name, name)}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)  # in CI this is a failure, see above
    return found
