"""Metric families of workloads and accounts, and their rendering as exposition text. No I/O."""
