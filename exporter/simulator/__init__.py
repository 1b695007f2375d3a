"""A simulated Workload API for the demo, the tests and the benchmarks, written from the API's description only."""

from exporter.simulator.api import SimulatedApi, list_page
from exporter.simulator.server import Simulator

__all__ = ["SimulatedApi", "Simulator", "list_page"]
