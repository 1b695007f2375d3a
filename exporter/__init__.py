"""Prometheus exporter for DataRobot workloads."""

import os
import sys

# httpx and structlog import rich where it is installed, which nothing here uses: a sixth of the time of a start.
sys.modules.setdefault("rich", None)  # type: ignore[arg-type]  # None: it cannot be imported

__version__ = "0.1.0"
__revision__ = os.environ.get("WORKLOAD_EXPORTER_REVISION", "")
"""The commit this was built from, which an image sets; empty: the version says it."""
