"""Requests to the Workload API: the client, sweeps, and the poller of details."""
