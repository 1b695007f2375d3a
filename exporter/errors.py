"""The root of the exporter's own exceptions."""

from __future__ import annotations


class ExporterError(Exception):
    """A failure that the exporter expects. Its text is written for the user and names the cause.

    Derived: `BadSettings` (settings), `NotDecodable` (API response), `ApiError` (API request), `BadSilence` (request
    for a silence), `StateError` (state), `MissingRunbook` (alert table), `WorkloadNotFound` (`explain`),
    `DaemonUnavailable` (`waste`, `objectives`).
    """
