"""Values that are logged as a warning once per account, not with each sweep."""

from __future__ import annotations

from collections.abc import Iterable

from structlog.stdlib import BoundLogger

MAX_LOGGED_VALUES = 100
"""Maximum number of values that are logged."""
MAX_VALUE_LENGTH = 64


REPEAT_SECONDS = 3600.0
"""Seconds after which a sweep like the one before is logged at the level info again."""


class LoggedOnce:
    """Logs each value once; the values beyond `MAX_LOGGED_VALUES` are not logged."""

    def __init__(self) -> None:
        self._logged: set[tuple[str, str]] = set()
        self._last_sweep: tuple[object, float] | None = None

    def is_news(self, sweep: object, now: float) -> bool:
        """Whether a sweep differs from the one before, or none was news for an hour; `now` is of the steady clock."""
        if self._last_sweep is not None and self._last_sweep[0] == sweep and now < self._last_sweep[1] + REPEAT_SECONDS:
            return False
        self._last_sweep = sweep, now
        return True

    def unknown_values(self, log: BoundLogger, field: str, values: Iterable[str]) -> None:
        """Log values of an enumeration that are not known."""
        for value in self._new(field, values):
            log.warning("unknown value, shown as other", field=field, value=value)

    def unused_prices(self, log: BoundLogger, bundles: Iterable[str]) -> None:
        """Log bundles that have a price in the settings and do not exist."""
        for bundle in self._new("costs.bundles", bundles):
            log.warning("costs.bundles has a price for a bundle that the catalogue does not list", bundle_id=bundle)

    def _new(self, kind: str, values: Iterable[str]) -> Iterable[str]:
        for value in values:
            key = (kind, value[:MAX_VALUE_LENGTH])
            if key not in self._logged and len(self._logged) < MAX_LOGGED_VALUES:
                self._logged.add(key)
                yield key[1]
