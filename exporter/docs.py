"""All files of the repository that are made from the rows they describe: see `files`."""

from __future__ import annotations

from typing import Any

import yaml
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from exporter.alerting.alerts import ALERTS, LIMITS
from exporter.alerting.expressions import duration
from exporter.alerting.rules import DEFAULT, Options, rules
from exporter.metrics.account_families import ACCOUNTS
from exporter.metrics.family import COMMON_LABELS
from exporter.metrics.registry import FAMILIES
from exporter.runbooks.page import pages as runbooks
from exporter.runbooks.page import severities, value
from exporter.settings.accounts import AccountSettings
from exporter.settings.alerts import AlertSettings
from exporter.settings.detail import DetailSettings
from exporter.settings.log import LogSettings
from exporter.settings.metrics import MetricsSettings
from exporter.settings.model import Settings
from exporter.settings.model_errors import kind_of
from exporter.settings.paging import PagingSettings
from exporter.settings.receivers import RECEIVERS, ReceiverSettings
from exporter.settings.select import SelectSettings
from exporter.settings.state import StateSettings
from exporter.settings.sweep import SweepSettings
from exporter.settings.traces import TraceSettings
from exporter.settings.web import WebSettings
from exporter.telemetry.own_metrics import OWN_METRICS, PREFIX

_NOTE = "<!-- Made by `workload-exporter docs`; a test keeps it so. Change the rows, not this page. -->\n"


def metrics_page() -> str:
    """``docs/metrics.md``: each family's type, labels, unit, source, and what its absence means."""
    lines = [
        "# Metrics\n",
        _NOTE,
        "## Workloads\n",
        f"Every sample has the labels {_code(COMMON_LABELS)}; `account` is the name in the settings, `workload` the "
        "name in DataRobot (not unique), `workload_id` its id. A value the API did not tell has no sample: unknown is "
        "never zero. What the list tells is read once an interval; after `sweep.stale_after` without a complete sweep "
        "all gauges are withdrawn, and `datarobot_exporter_*` says why. What a workload's own routes tell is read in "
        "turn, under the budget: `datarobot_workload_fresh` says which parts are recent, and a part that is too old is "
        "withdrawn.\n",
        "| Family | Type | More labels | Unit | Meaning | Source | No sample when | Stability | From profile |",
        "|---|---|---|---|---|---|---|---|---|",
        *(
            f"| `{f.name}` | {f.kind} | {_code(f.labels)} | {f.unit or '1'} | {f.help} | {_cell(f.source)} "
            f"| {f.absence} | {f.stability} | {f.profile} |"
            for f in FAMILIES
        ),
        "",
        "## Accounts\n",
        "The one common label is `account`. Limits are read every 15 minutes, the catalogue of bundles every hour.\n",
        "| Family | Type | More labels | Unit | Meaning | Source | No sample when | Stability | From profile |",
        "|---|---|---|---|---|---|---|---|---|",
        *(
            f"| `{a.name}` | {a.kind} | {_code(a.labels)} | {a.unit or '1'} | {a.help} | {_cell(a.source)} "
            f"| {a.absence} | {a.stability} | {a.profile} |"
            for a in ACCOUNTS
        ),
        "",
        "A stable family keeps its name, type and labels; an experimental one may change with an entry in the change "
        "log. `metrics.profile` chooses how much is served.\n",
        "## The exporter itself\n",
        "These are always served, whatever the API does. Standard `process_*` and `python_*` families stand beside "
        "them.\n",
        "| Family | Type | Labels | Meaning |",
        "|---|---|---|---|",
        *(
            f"| `{PREFIX}{o.name}{'_total' if o.kind == 'counter' else ''}` | {o.kind} | {_code(o.labels)} | {o.help} |"
            for o in OWN_METRICS
        ),
    ]
    return "\n".join(lines) + "\n"


def settings_page() -> str:
    """``docs/settings.md``: each setting's place, default and meaning."""
    parts: tuple[tuple[str, type[BaseModel]], ...] = (
        ("accounts[].", AccountSettings),
        ("sweep.", SweepSettings),
        ("detail.", DetailSettings),
        ("select.", SelectSettings),
        ("state.", StateSettings),
        ("metrics.", MetricsSettings),
        ("traces.", TraceSettings),
        ("alerts.", AlertSettings),
        ("paging.", PagingSettings),
        ("paging.receivers[].", ReceiverSettings),
        *(("paging.receivers[].", kind) for kind in RECEIVERS),
        ("web.", WebSettings),
        ("log.", LogSettings),
    )
    lines = [
        "# Settings\n",
        _NOTE,
        "One YAML file, given with `--config.file`. Without `accounts` in it, or without a file, the environment makes "
        "one account named `default`: `DATAROBOT_ENDPOINT`, and `DATAROBOT_API_TOKEN` or `DATAROBOT_API_TOKEN_FILE`. "
        "The file is read as YAML 1.2: only `true` and `false` are booleans, so `on`, `no` and `1:30` are text (a "
        "setting that is true or false takes `yes`, `no`, `on` and `off` too), and keys are text. "
        "Durations are written as Prometheus writes them (`30s`, `1h30m`) or as seconds, and are at most 366 days. "
        "`workload-exporter check` lists every mistake at once. SIGHUP or `POST /-/reload` reads the file again, "
        "all or nothing: everything that the new settings name (certificates, clients, receivers) is built before "
        "anything is replaced, and if one part cannot be built the old settings stay in force as a whole. "
        "`web.listen_address` and `web.config_file` need a restart to point elsewhere. `check`, the start and a reload "
        "build the same, so settings that `check` accepts can be started and reloaded.\n",
        "Where the file is silent about `traces`, OpenTelemetry's variables are heard: `OTEL_EXPORTER_OTLP_ENDPOINT`, "
        "`_PROTOCOL`, `_HEADERS`, `_COMPRESSION`, `_CERTIFICATE`, `_CLIENT_CERTIFICATE`, `_CLIENT_KEY`, `_TIMEOUT` "
        "(milliseconds), each also as `OTEL_EXPORTER_OTLP_TRACES_…`, which goes before; and "
        "`OTEL_RESOURCE_ATTRIBUTES`, without what is true of this process alone (`service.*`, `k8s.*` and such). "
        "`OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` is used as it stands, without `traces.path`. With "
        "`OTEL_TRACES_EXPORTER=none` none of them counts; with `OTEL_SDK_DISABLED=true` there are no traces at all, "
        "whatever the file says. `OTEL_SERVICE_NAME` names this exporter, never the workloads.\n",
        "Secrets are tokens, keys, passwords, URLs of webhooks and the values of headers, and the logins of proxies "
        "in `HTTP_PROXY` and such. A server or a receiver may repeat one in what it answers; `***` stands in its place "
        "in logs, metrics, traces, pages and on terminals, also where it is escaped as in JSON, a URL or HTML. A "
        "secret that was replaced stays hidden until the process ends. Not searched for: secrets of fewer than 6 "
        "characters or of digits alone (up to 15), and, of headers whose name does not speak of a credential and of "
        "the pieces of URLs, what reads like a short plain word, such as `tenant-1`; it would hide parts of names. "
        "That is hidden only in the answers of those to whom it is sent. Core files are off. Whoever sets "
        "`GRPC_VERBOSITY` has gRPC write to standard error by itself, secrets included.\n",
        "```yaml",
        "accounts:",
        "  - name: production",
        "    endpoint: https://app.datarobot.com",
        "    token_file: /run/secrets/datarobot-token",
        "sweep:",
        "  interval: 30s",
        "web:",
        "  listen_address: [127.0.0.1:10142]",
        "```\n",
        "Whom the exporter itself tells of alerts, where `paging.who` is not `rules`; `workload-exporter notify test "
        "NAME` sends a page that says that it is a test, and ends it:\n",
        "```yaml",
        "paging:",
        "  who: direct",
        "  receivers:",
        "    - {name: on-call, kind: pagerduty, routing_key_file: /run/secrets/pagerduty, severities: [critical]}",
        "    - {name: team, kind: slack, webhook_url_file: /run/secrets/slack, quiet_hours: ['22:00-07:00']}",
        "    - name: dead-man",
        "      kind: webhook",
        "      url_file: /run/secrets/dead-man-url",
        "      alerts: [DataRobotWatchdog]",
        "      repeat_interval: 1m",
        "```\n",
        "| Setting | Default | Meaning |",
        "|---|---|---|",
    ]
    for prefix, kind in parts:
        assert prefix.partition(".")[0].rstrip("[]") in Settings.model_fields
        shared = ReceiverSettings.model_fields if kind in RECEIVERS else {}
        of_kind = f" of `{kind_of(kind)}`" if shared else ""
        for name, field in kind.model_fields.items():
            if name == "kind":
                lines.append(f"| `{prefix}kind: {kind_of(kind)}` | none | {field.description} |")
            elif name not in shared:
                lines.append(f"| `{prefix}{name}`{of_kind} | {_default(field.default)} | {field.description} |")
    return "\n".join(lines) + "\n"


class _Written(yaml.SafeDumper):
    """YAML in which a text of several lines is one that people can read."""


_Written.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None),
)
RULES_FORMS = ("prometheus", "kubernetes")


def rules_page(options: Options = DEFAULT, form: str = "prometheus") -> str:
    """The alert rules as a rule file of Prometheus, or as a manifest for the Prometheus operator."""
    made: dict[str, object] = rules(options)
    note = "Load it under rule_files of Prometheus 2.42 or newer."
    if form == "kubernetes":
        made = {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": {"name": "datarobot-workload-exporter", "labels": {"app": "datarobot-workload-exporter"}},
            "spec": made,
        }
        note = "For the Prometheus operator; add the labels that its ruleSelector asks for."
    return f"# Made by `workload-exporter rules`; a test keeps it so. {note}\n" + yaml.dump(
        made, Dumper=_Written, sort_keys=False, allow_unicode=True, width=1000
    )


def alerts_page() -> str:
    """``docs/alerts.md``: the alerts and their thresholds."""
    lines = [
        "# Alerts\n",
        _NOTE,
        "The rules are in [alerts/rules.yml](../alerts/rules.yml), and for the Prometheus operator in "
        "[alerts/prometheusrule.yml](../alerts/prometheusrule.yml). `workload-exporter rules` writes them for other "
        "thresholds, waits, labels and links: see `alerts.*` in [settings.md](settings.md).\n",
        "What they share:\n",
        "- `critical` wakes somebody, `warning` is a ticket, `info` notifies nobody. An alert of both severities has "
        "one of them at a time.",
        "- An alert about a workload has the labels `account`, `workload` and `workload_id`, one about an account the "
        "label `account`; never `job`, `instance` or `pod`. So a new exporter fires nothing anew.",
        "- What is not known proves nothing. An alert that fires is held while nothing recent is told of its workload, "
        "for `alerts.hold` at the most, and ends at once when it is told that all is well.",
        "- Workloads that are scaled to zero, were stopped on purpose, or are drafts at their end wake nobody.\n",
        "Which alerts there are, and when they fire, is set so:\n",
        "```yaml",
        "alerts:",
        "  on: [DataRobotWorkloadTrafficStopped]     # off by default",
        "  off: [DataRobotImportantOnDraft]",
        "  thresholds: {starting_seconds: 1200, degraded_ratio: 0.7}",
        "  wait: {DataRobotWorkloadErrored: 10m}",
        "  labels: {team: ml-platform}",
        "```\n",
        "## The alerts\n",
        alerts_table("../alerts/runbooks/"),
        "## Thresholds\n",
        "| Name | Default | Why |",
        "|---|---|---|",
        *(f"| `{limit.name}` | {value(limit)} | {limit.why} |" for limit in LIMITS),
    ]
    return "\n".join(lines) + "\n"


def alerts_table(runbooks: str = "alerts/runbooks/") -> str:
    """A row for each alert."""
    lines = ["| Alert | Fires after | Severity | |", "|---|---|---|---|"]
    for alert in ALERTS:
        wait = duration(alert.wait) if alert.wait else "at once"
        asked = " Off by default." if alert.asked else ""
        lines.append(
            f"| [{alert.name}]({runbooks}{alert.name}.md) | {wait} | {severities(alert)} | {alert.summary}{asked} |"
        )
    return "\n".join(lines) + "\n"


PAGES = {"metrics": metrics_page, "settings": settings_page, "alerts": alerts_page}


def files(readme: str) -> dict[str, str]:
    """Every file that is made from rows, by its path in the repository; of `readme` only the table of alerts is."""
    begin, end = "<!-- alerts -->\n", "<!-- end of alerts -->\n"
    before, rest = readme.split(begin)
    return {
        "README.md": before + begin + alerts_table() + end + rest.split(end)[1],
        "alerts/rules.yml": rules_page(),
        "alerts/prometheusrule.yml": rules_page(form="kubernetes"),
        **{f"docs/{name}.md": page() for name, page in PAGES.items()},
        **{f"alerts/runbooks/{name}": text for name, text in runbooks().items()},
    }


def _code(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def _default(value: Any) -> str:
    if value is None or value is PydanticUndefined:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, float):
        return f"`{value:g}`"
    if isinstance(value, tuple | frozenset):
        value = ", ".join(map(str, value))
    return f"`{value}`" if value != "" else "none"
