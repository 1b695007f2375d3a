"""``notify``: a test notification to one receiver."""

from __future__ import annotations

import argparse
import asyncio

from exporter.cli.context import Context
from exporter.cli.flags import add_settings_flags, duration
from exporter.paging.notify import notifiers
from exporter.paging.notify.trial import test_page
from exporter.settings.problems import BadSettings, Problem
from exporter.settings.values import nearest


def add_flags(parser: argparse.ArgumentParser) -> None:
    add_settings_flags(parser)
    parser.add_argument("action", choices=("test",), help="the only action")
    parser.add_argument("receiver", metavar="RECEIVER", help="name of a receiver in paging.receivers")
    parser.add_argument(
        "--hold",
        type=duration,
        default=5.0,
        metavar="TIME",
        help="time until the test is resolved, default 5s; Alertmanager drops alerts that end within its group_wait",
    )


def run(context: Context) -> int:
    options, settings = context.options, context.settings()
    receivers = {receiver.name: receiver for receiver in settings.paging.receivers}
    if options.receiver not in receivers:
        what = f"no receiver is called {options.receiver!r}{nearest(options.receiver, receivers)}"
        raise BadSettings([Problem("paging.receivers", what)])
    label = settings.alerts.severity_label

    async def send() -> bool:
        good = True
        receiver = notifiers(receivers[options.receiver], label, context.secrets)
        async for result in test_page(receiver, label, options.hold):
            print(result, flush=True)
            good = good and result.good
        return good

    return 0 if asyncio.run(send()) else 1
