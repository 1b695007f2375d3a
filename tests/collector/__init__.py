"""A collector of OpenTelemetry, built from `main.go` beside this file by ``make collector``."""

import hashlib
import os
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def binary() -> Path:
    """Where ``make collector`` puts the program: outside the repository, under a name that changes with its sources."""
    sources = b"".join((HERE / name).read_bytes() for name in ("main.go", "go.mod", "go.sum"))
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return caches / "workload-exporter" / f"otel-collector-{hashlib.sha256(sources).hexdigest()[:16]}"


def built() -> Path:
    """The program; the test is skipped if it was not built. `.ci/run` does not build it: that takes minutes."""
    if not binary().exists():
        pytest.skip("the OpenTelemetry Collector is missing; with Go: make collector")
    return binary()
