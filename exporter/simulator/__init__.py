"""A simulated Workload API for the demo, the tests and the benchmarks, written from the API's description only."""

from exporter.simulator.server import Simulator, list_page

__all__ = ["Simulator", "list_page"]
