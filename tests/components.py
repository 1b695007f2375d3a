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
    "groff": "groff-base",
}
NOT_IN_CI = {"helm": "no package of Debian; with Go: go install helm.sh/helm/v3/cmd/helm@v3.22.0"}
"""Programs that `.ci/run` does not install, with where to get them: without them a test is skipped everywhere."""


def component(name: str, *others: str) -> str:
    """The path of a program under one of its names. If it is missing, the test fails in CI and is skipped elsewhere."""
    found = next(filter(None, map(shutil.which, (name, *others))), None)
    if found is None:
        source = NOT_IN_CI.get(name, f"on Debian: apt-get install {PACKAGES.get(name, name)}")
        message = f"{name} is missing; {source}"
        if os.environ.get("CI") == "true" and name not in NOT_IN_CI:
            pytest.fail(message)
        pytest.skip(message)  # in CI this is a failure, see above
    return found
