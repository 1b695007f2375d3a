"""Exporter health: can what the other dashboards show be believed, and what does it cost."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard

from dashboards.asked import DATA_AGE, STALE, quantile, restarts_of_exporter
from dashboards.board import (
    ACCOUNT,
    EXPORTER,
    JOB,
    Column,
    Query,
    Row,
    board,
    chosen,
    course,
    fact,
    listing,
    none_is_good,
)
from dashboards.look import BAD, GOOD, NONE, NOT_REPORTED, WARNING
from exporter.alerting.alerts import DEFAULTS

_INSTANCE = chosen("instance", "instance", 'label_values(datarobot_exporter_build_info{job=~"$job"}, instance)')
_OURS = 'job=~"$job", instance=~"$instance"'
_RATE = "[$__rate_interval]"


def _own(name: str, *matchers: str, account: bool = False) -> str:
    told = [_OURS, *(['account=~"$account"'] if account else []), *matchers]
    return f"datarobot_exporter_{name}{{{', '.join(told)}}}"


def _rate(name: str, *matchers: str, by: str = "", account: bool = True) -> str:
    kept = f" by ({by})" if by else ""
    return f"sum{kept} (rate({_own(name, *matchers, account=account)}{_RATE}))"


def _quantile(name: str, share: float, *by: str, account: bool = True) -> str:
    kept = ", ".join(("le", *by))
    told = _own(f"{name}_bucket", account=account)
    return quantile(share, f"sum by ({kept}) (rate({told}{_RATE}))")


def _process(name: str) -> str:
    return f"{name}{{{_OURS}}}"


_THROTTLED = _rate("api_requests_total", 'code="429"')
_BUDGET = _own("api_budget_requests_per_second", account=True)
_AGES = _own("detail_age_seconds_bucket", account=True)
_UP = {"1": ("up", GOOD), "0": ("down", BAD)}
_ANSWERS = {"1": ("answers", GOOD), "0": ("does not answer", BAD)}


def made() -> dashboard.Dashboard:
    """The dashboard."""
    return board(
        EXPORTER,
        "DataRobot workloads: exporter health",
        "Can what the other dashboards show be believed, and what does it cost.",
        variables=[JOB, _INSTANCE, ACCOUNT],
        annotations=[restarts_of_exporter()],
        rows=[
            Row("", [
                fact("Exporter", "Whether Prometheus can scrape it.", Query(f"min(up{{{_OURS}}})"), texts=_UP,
                     no_value="not scraped", filled=True),
                fact("DataRobot API", "Whether the last sweep of every account was complete.",
                     Query(f"min({_own('api_up', account=True)})"), texts=_ANSWERS, no_value=NOT_REPORTED,
                     filled=True),
                fact("Data age", "Time since the last complete sweep, of the account that waits longest.",
                     Query(f"max({DATA_AGE})"), unit="s", steps=((None, GOOD), (STALE, BAD)), no_value=NOT_REPORTED),
                fact("Failed sweeps", "In the time that is shown, of every account and reason.",
                     Query(f"round(sum(increase({_own('sweep_failures_total', account=True)}[$__range])))"),
                     steps=none_is_good(colour=WARNING), no_value=NONE),
                fact("Details too old", "Workloads of which a part of the details is too old and withdrawn, summed "
                     "over the parts.", Query(f"sum({_own('detail_stale', account=True)})"),
                     steps=none_is_good(colour=WARNING), no_value=NOT_REPORTED),
                fact("Left out", "Items and fields of answers that were left out, in the time that is shown.",
                     Query(f"round(sum(increase({_own('api_rejects_total', account=True)}[$__range]))) or vector(0)"),
                     steps=none_is_good(colour=WARNING), no_value=NONE),
                fact("Settings", "Whether the settings, when last read, were good.",
                     Query(f"min({_own('config_last_reload_successful')})"),
                     texts={"1": ("good", GOOD), "0": ("bad: old ones in force", BAD)}, no_value=NOT_REPORTED),
                fact("Version", "Versions that run.", Query(f"max by (version) ({_own('build_info')})", "{{version}}"),
                     names=True, no_value=NOT_REPORTED),
            ]),
            Row("Is it in time", [
                course("Data age by account", "Time since the last complete sweep. The line: where the alert "
                       "calls it stale.", Query(DATA_AGE, "{{account}}"), unit="s", no_value=NOT_REPORTED, width=8,
                       steps=((None, GOOD), (STALE, BAD))),
                course("How long a sweep takes", "The slowest twentieth, by account. Dashed: the interval, which it "
                       "must not reach.",
                       Query(_quantile("sweep_duration_seconds", 0.95, "account"), "{{account}}"),
                       Query(f"max({_own('sweep_interval_seconds', account=True)})", "interval"),
                       unit="s", no_value=NOT_REPORTED, width=8, dashed=["interval"], colours={"interval": BAD}),
                course("Sweeps that were not complete", "By why. A failed sweep changes nothing that is shown.",
                       Query(f"{_rate('sweep_failures_total', by='account, reason')} * 60 > 0",
                             "{{account}} {{reason}}"), unit="cpm", no_value=NONE, width=8),
                course("Age of the details", "The oldest twentieth of each part of the details, over the fleet.",
                       Query(quantile(0.95, f"sum by (le, part) ({_AGES})"), "{{part}}"), unit="s",
                       no_value=NOT_REPORTED, width=8, height=10),
                course("What the details ask for", "Requests that they would take at their intervals, over what the "
                       "budget leaves. Above 1 they are looked at less often, evenly.",
                       Query(f"max by (account) ({_own('detail_load_ratio', account=True)})", "{{account}}"),
                       unit="percentunit", no_value=NOT_REPORTED, width=8, height=10,
                       steps=((None, GOOD), (1, WARNING))),
                course("Parts that wait", "Parts of details that are due.",
                       Query(f"max by (account) ({_own('detail_queue', account=True)})", "{{account}}"),
                       unit="short", no_value=NOT_REPORTED, width=8, height=10),
            ]),
            Row("What it asks of the API", [
                course("Requests by answer", "Requests a second by status code. Dashed: what the settings allow.",
                       Query(_rate("api_requests_total", by="code"), "{{code}}"),
                       Query(f"sum(max by (account) ({_BUDGET}))", "budget"),
                       unit="reqps", no_value=NONE, width=8, height=10, dashed=["budget"],
                       colours={"200": GOOD, "204": "light-green", "429": WARNING, "401": BAD, "502": BAD,
                                "error": BAD}),
                course("Requests by route", "Requests a second by route.",
                       Query(_rate("api_requests_total", by="endpoint"), "{{endpoint}}"), unit="reqps",
                       no_value=NONE, width=8, height=10),
                course("How long an answer takes", "The slowest twentieth by route, to the last byte.",
                       Query(_quantile("api_request_duration_seconds", 0.95, "endpoint"), "{{endpoint}}"),
                       unit="s", no_value=NONE, width=8, height=10),
                course("Share that is throttled", "Answers of 429. The line: where the alert fires.",
                       Query(f"{_THROTTLED} / ({_rate('api_requests_total')} > 0)", "429"),
                       unit="percentunit", no_value=NONE, width=8, most=0.1, steps=((None, GOOD),
                                                                        (DEFAULTS["throttled_ratio"], WARNING))),
                course("Tried again, and held back", "Requests that were tried again, by why; seconds for which "
                       "requests were held back, by what for.",
                       Query(f"{_rate('api_retries_total', by='reason')} * 60 > 0", "tried again: {{reason}}"),
                       unit="cpm", no_value=NONE, width=8),
                listing("Left out of answers", "By place and why, since the exporter began.",
                        [f"sum by (path, reason) ({_own('api_rejects_total', account=True)}) > 0"],
                        [Column("path", "Place"), Column("reason", "Why"), Column("A", "Times", width=80)],
                        sort="Times", width=8),
            ]),
            Row("What it costs", [
                course("Series of workloads", "On the page.", Query(f"sum by (instance) ({_own('series')})",
                                                                    "{{instance}}"),
                       unit="short", no_value=NOT_REPORTED, width=6),
                course("Processor", "Cores that the process uses.",
                       Query(f"sum by (instance) (rate({_process('process_cpu_seconds_total')}{_RATE}))",
                             "{{instance}}"), unit="short", axis="cores", no_value=NOT_REPORTED, width=6),
                course("Memory", "Resident memory of the process.",
                       Query(f"sum by (instance) ({_process('process_resident_memory_bytes')})", "{{instance}}"),
                       unit="bytes", no_value=NOT_REPORTED, width=6),
                course("How late it wakes", "The worst hundredth: how long a scrape may have to wait.",
                       Query(_quantile("event_loop_lag_seconds", 0.99, "instance", account=False), "{{instance}}"),
                       unit="s", no_value=NOT_REPORTED, width=6),
            ]),
        ],
    )  # fmt: skip
