"""The root of the exporter's own exceptions."""

from __future__ import annotations


class ExporterError(Exception):
    """A failure that the exporter expects and explains: its text is written for the user."""
