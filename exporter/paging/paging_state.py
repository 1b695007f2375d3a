"""What direct paging must remember: alarms, what each receiver was notified of, and silences."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from exporter.alerting.alarms import Alarm
from exporter.alerting.alerts import BY_NAME
from exporter.alerting.delivery_state import Notified
from exporter.alerting.silences import Silence
from exporter.log import log
from exporter.state.store import StateError, Store, StoredPaging


class PagingState:
    """Changes of it are written by `save`. A state that cannot be read is replaced by an empty one."""

    def __init__(self, store: Store) -> None:
        self._store = store
        try:
            stored = store.load_paging()
        except StateError as error:
            log.error("the state of paging cannot be read; starting with an empty one", words=str(error))
            stored = StoredPaging({}, {}, {})
        # An alarm of another version may be of an alert that does not exist any more; its incident is then resolved.
        self.alarms: Mapping[str, Alarm] = {p: each for p, each in stored.alarms.items() if each.alert in BY_NAME}
        self.notified: dict[str, dict[str, Notified]] = {name: dict(each) for name, each in stored.notified.items()}
        """By receiver and incident, the last notification that was delivered, or may have been."""
        self.silences: dict[str, Silence] = dict(stored.silences)
        self._written = stored

    def add_silence(self, silence: Silence) -> str:
        """Put a silence in force; returns its id."""
        name = secrets.token_hex(4)
        self.silences[name] = silence
        self.save()
        return name

    def end_silence(self, name: str) -> bool:
        """End a silence; returns whether there was one with this id."""
        ended = self.silences.pop(name, None)
        self.save()
        return ended is not None

    def expire_silences(self, now: float) -> None:
        """Remove silences that have ended."""
        self.silences = {name: each for name, each in self.silences.items() if now < each.ends}

    def save(self) -> None:
        """Write what has changed. A failure is logged, and the changes are written the next time."""
        now = StoredPaging(self.alarms, self.notified, self.silences)
        if now == self._written:
            return
        try:
            self._store.save_paging(now, self._written)
        except StateError as error:
            log.error("the state of paging cannot be written; retrying", words=str(error))
            return
        notified = {name: dict(each) for name, each in self.notified.items()}
        self._written = StoredPaging(dict(self.alarms), notified, dict(self.silences))
