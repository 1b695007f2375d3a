"""The command line with incidents that end soon: the time for which an alert is kept is divided by `HASTE`."""

import sys

from exporter.alerting.alerts import Alert
from exporter.cli.main import main

HASTE = 60.0
_keep_of = Alert.keep_of


def _soon(self: Alert, severity: str) -> float:
    return _keep_of(self, severity) / HASTE


if __name__ == "__main__":
    Alert.keep_of = _soon  # type: ignore[method-assign]
    sys.exit(main())
