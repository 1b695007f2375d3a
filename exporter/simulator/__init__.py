"""A Workload API of our own, written from the API's description alone: for the demo, the tests and the benchmarks."""

from exporter.simulator.server import Simulator, list_page

__all__ = ["Simulator", "list_page"]
