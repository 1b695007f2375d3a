"""What ``waste`` prints of a page of metrics."""

import json
from pathlib import Path

import pytest

from exporter.cli.context import Context
from exporter.cli.main import main, parser
from exporter.cli.waste import NO_PRICES, as_json, lines, report_of, run
from exporter.fleet.tag_labels import TagSelection
from exporter.fleet.workload_state import Costs
from exporter.redaction import Secrets
from exporter.simulator.stories import FOREVER, STORIES, Story, StoryStep
from exporter.simulator.waste import PRICES, WASTE
from tests.cli.test_own_server import responding
from tests.stage import Stage, played, simulated

NOW = 1_795_000_000.0


def of(workload: str, family: str, value: float = 1, **labels: str) -> str:
    """A sample of a workload, which is given with its id."""
    name, _, workload_id = workload.partition("/")
    named = {"account": "acme", **labels, "workload": name, "workload_id": workload_id}
    pairs = ",".join(f'{label}="{text}"' for label, text in named.items())
    return f"datarobot_workload_{family}{{{pairs}}} {value}\n"


EMBEDDINGS, REPORT = "embeddings/w1", "report/w2"
PAGE = "".join([
    "# HELP datarobot_workload_cost_per_hour Price.\n",
    of(EMBEDDINGS, "cost_per_hour", 2.2, currency="EUR"),
    of(REPORT, "cost_per_hour", 0.8, currency="EUR"),
    of("chat/w3", "cost_per_hour", 9.0, currency="EUR"),
    of(REPORT, "waste_per_month", 438, currency="EUR", reason="oversized"),
    of(EMBEDDINGS, "waste_per_month", 1606, currency="EUR", reason="idle"),
    of(EMBEDDINGS, "idle_since_timestamp_seconds", NOW - 12 * 86400),
    of(EMBEDDINGS, "sizing_info", finding="oversized", fitting_bundle_id="cpu.small"),
    of(REPORT, "sizing_info", finding="oversized", fitting_bundle_id="cpu.small"),
    of('scor\\"\u009bing/w4', "sizing_info", finding="undersized", fitting_bundle_id=""),
    of(REPORT, "bundle_info", bundle_id="cpu.medium", gpu_maker="", gpu_type=""),
    of(REPORT, "tags", tag_env="prod", tag_team="search"),
    of("chat/w3", "status", status="running"),
    'datarobot_account_workloads_active{account="acme"} 48\n',
    'datarobot_account_workloads_limit{account="acme"} 60\n',
    f'datarobot_account_workloads_full_timestamp_seconds{{account="acme"}} {NOW + 10 * 86400}\n',
    f'datarobot_account_forecast_start_timestamp_seconds{{account="acme"}} {NOW - 86400}\n',
    f'datarobot_account_workloads_full_timestamp_seconds{{account="other"}} {NOW - 1}\n',
    'datarobot_account_workloads_active{account="young"} 5\n',
    'datarobot_account_workloads_limit{account="young"} 60\n',
    f'datarobot_account_forecast_start_timestamp_seconds{{account="young"}} {NOW + 3600}\n',
])  # fmt: skip


def test_the_most_expensive_waste_is_first() -> None:
    assert list(lines(report_of(PAGE), NOW)) == [
        "WASTE/MONTH  COST/HOUR  WORKLOAD    REASON                 WOULD FIT  TAGS                  ACCOUNT  ID",
        "1606.00 EUR   2.20 EUR  embeddings  idle for 12d                                            acme     w1",
        " 438.00 EUR   0.80 EUR  report      oversized: cpu.medium  cpu.small  env=prod team=search  acme     w2",
        '          -          -  scor" ing   undersized             no bundle                        acme     w4',
        "2044.00 EUR per month in total",
        "Account acme: 48 of 60 active workloads; full on 2026-11-28 11:06 UTC, in 10 d, if the trend goes on.",
        "Account other: unknown active workloads; the limit is reached.",
        "Account young: 5 of 60 active workloads; no forecast before 2026-11-18 12:06 UTC: observed for less than "
        "costs.min_history.",
    ]


def test_the_keys_of_the_json_are_stable() -> None:
    found = as_json(report_of(PAGE))
    first, second, _ = json.loads(json.dumps(found["workloads"]))
    assert second == {
        "account": "acme",
        "workload": "report",
        "workload_id": "w2",
        "reason": "oversized",
        "per_month": 438.0,
        "per_hour": 0.8,
        "currency": "EUR",
        "idle_since": None,
        "bundle": "cpu.medium",
        "fitting_bundle": "cpu.small",
        "tags": {"env": "prod", "team": "search"},
    }
    assert first["idle_since"] == "2026-11-06T11:06:40Z"
    assert found["accounts_full_at"] == {"acme": "2026-11-28T11:06:40Z", "other": "2026-11-18T11:06:39Z"}
    assert json.loads(json.dumps(found["accounts"]))[::2] == [
        {
            "account": "acme",
            "active": 48.0,
            "limit": 60.0,
            "full_at": "2026-11-28T11:06:40Z",
            "forecast_from": "2026-11-17T11:06:40Z",
        },
        {
            "account": "young",
            "active": 5.0,
            "limit": 60.0,
            "full_at": None,
            "forecast_from": "2026-11-18T12:06:40Z",
        },
    ]


def test_without_prices_and_findings_it_says_so() -> None:
    assert list(lines(report_of(""), NOW)) == [
        NO_PRICES,
        "No workload is known to be idle or in a bundle that does not fit.",
    ]


@pytest.mark.parametrize(("seconds", "shown"), [(30, "0m"), (7000, "117m"), (7200, "2h"), (172_800, "2d")])
def test_how_long_something_takes_is_in_a_unit_that_fits(seconds: float, shown: str) -> None:
    page = of("w/w1", "idle_since_timestamp_seconds", NOW - seconds)
    assert f"idle for {shown} " in "".join(lines(report_of(page), NOW))


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_it_requests_the_metrics_of_the_running_daemon(
    flags: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with responding(200, PAGE) as (address, received):
        options = parser("waste").parse_args(
            ["waste", f"--web.listen-address={address}", "--web.telemetry-path=/m", *flags]
        )
        assert run(Context(options, Secrets())) == 0
    assert received == ["localhost/m"]
    assert "embeddings" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["waste", "objectives"])
def test_a_daemon_that_does_not_respond_is_an_error(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with responding(503, "busy") as (address, _):
        assert main([command, f"--web.listen-address={address}"]) == 1
    assert capsys.readouterr().err == f"workload-exporter: http://{address}/metrics returned 503: busy\n"


def test_a_name_may_contain_separators_of_lines() -> None:
    (row,) = report_of(of("a\u2028b\x85c/w", "idle_since_timestamp_seconds", NOW)).rows
    assert row.workload == "a\u2028b\x85c"


@pytest.mark.long
def test_the_example_in_the_docs_is_what_the_demo_fleet_shows() -> None:
    shown: list[str] = []

    async def play(stage: Stage) -> None:
        await stage.run(600.0)
        shown.extend(lines(report_of(stage.page()), stage.wall))

    simulator = simulated(60, seed=7, stories=(*STORIES, *WASTE))
    costs = Costs("EUR", PRICES, min_history=0.0)
    played(play, simulator, costs=costs, tags=TagSelection(("team", "env")))
    text = (Path(__file__).parent.parent.parent / "docs" / "capacity-and-cost.md").read_text()
    example = text.partition("$ workload-exporter waste\n")[2].partition("```")[0]
    assert example == "".join(f"{line.replace('acme', 'demo')}\n" for line in shown)


def test_the_demo_shows_within_minutes_what_wastes_most_and_when_the_account_is_full() -> None:
    busy = Story("busy", "a healthy service", (StoryStep(FOREVER, "running"),))
    found = []

    async def play(stage: Stage) -> None:
        await stage.run(200.0)
        found.append(report_of(stage.page()))

    simulator = simulated(len(WASTE) + 10, stories=(*WASTE, *(busy,) * 10))
    played(play, simulator, costs=Costs("EUR", PRICES, min_history=0.0))
    (report,) = found
    assert [(row.workload, row.reason, row.per_month) for row in report.rows] == [
        ("idle-model-0", "idle", 3504.0),
        ("oversized-3", "oversized", 876.0),
        ("idle-trial-1", "idle", 803.0),
        ("idle-service-2", "idle", 438.0),
        ("undersized-4", "undersized", None),
    ]
    assert [row.fitting_bundle for row in report.rows][-1] == "cpu.medium"
    assert report.accounts["acme"].full is not None
