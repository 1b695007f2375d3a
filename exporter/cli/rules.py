"""``rules``: the alert rules as the settings say."""

from __future__ import annotations

import argparse
import sys

from exporter.alerting.rules import DEFAULT
from exporter.cli.context import Context
from exporter.cli.flags import add_settings_flags
from exporter.docs import RULES_FORMS, rules_page


def add_flags(parser: argparse.ArgumentParser) -> None:
    add_settings_flags(parser)
    rules = parser.add_argument_group("rules; for more, see alerts.* in `workload-exporter docs settings`")
    rules.add_argument("--format", choices=RULES_FORMS, default="prometheus", help="default prometheus")
    rules.add_argument(
        "--grafana.datasource-uid",
        dest="datasource_uid",
        default="prometheus",
        metavar="UID",
        help="uid of the data source that has the metrics, with --format=grafana; default prometheus",
    )
    rules.add_argument("--alerts.selector", dest="alerts.selector", metavar="MATCHERS", help='default job="datarobot"')
    rules.add_argument(
        "--alerts.runbook-url", dest="alerts.runbook_url", metavar="URL", help="URL prefix of runbooks, before NAME.md"
    )
    rules.add_argument("--alerts.dashboard-url", dest="alerts.dashboard_url", metavar="URL", help="base URL of Grafana")
    rules.add_argument(
        "--alerts.status-url", dest="alerts.status_url", metavar="URL", help="base URL of this exporter, for people"
    )
    rules.add_argument("--alerts.console-url", dest="alerts.console_url", metavar="URL", help="base URL of DataRobot")
    rules.add_argument(
        "--alerts.trace-url", dest="alerts.trace_url", metavar="URL", help="URL of the traces of {workload_id}"
    )


def run(context: Context) -> int:
    settings = context.settings("replaced")
    windows = tuple(sorted({each.window for each in settings.objectives})) or DEFAULT.objective_windows
    options = settings.alerts.options._replace(objective_windows=windows)
    sys.stdout.write(rules_page(options, context.options.format, context.options.datasource_uid))
    return 0
