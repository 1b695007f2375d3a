"""The exporter's logger: a fixed message, and fields as keyword arguments; `log.bind` adds fields to all its lines.

Each call becomes a record of the standard library's logger ``exporter``, so that lines of libraries take the same path.
`exporter.telemetry.logs` formats them.
"""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

import structlog
from structlog.stdlib import BoundLogger


def _record(_logger: object, _method: str, event: MutableMapping[str, Any]) -> tuple[tuple[str], dict[str, Any]]:
    """The arguments for a method of `logging.Logger`."""
    fields = dict(event)
    message, error = fields.pop("event"), fields.pop("exc_info", None)
    return (message,), {"extra": {"fields": fields}, "exc_info": error}


log: BoundLogger = structlog.wrap_logger(
    logging.getLogger("exporter"), [structlog.stdlib.filter_by_level, _record], wrapper_class=BoundLogger
)
