"""Prometheus exporter for DataRobot workloads."""

import os

__version__ = "0.1.0"
__revision__ = os.environ.get("WORKLOAD_EXPORTER_REVISION", "unknown")
"""The commit this was built from; an image sets it."""
