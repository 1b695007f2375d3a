"""Prometheus exporter for DataRobot workloads."""

__version__ = "0.1.0"
