"""Files for other programs: listed, printed and written out."""

import json
from pathlib import Path

import pytest
import yaml

from exporter.alerting.alerts import ALERTS
from exporter.asset_files import asset_files
from exporter.cli.assets import assets
from tests.cli.test_main import run

ROOT = Path(__file__).parent.parent.parent


def test_list_shows_every_file() -> None:
    status, out, _ = run("assets", "list")
    assert (status, out.splitlines()) == (0, [*assets()])
    alerts = {str(file.relative_to(ROOT)) for file in (ROOT / "alerts").rglob("*") if file.is_file()}
    assert {place for place in assets() if place.startswith("alerts/")} == alerts
    assert {
        "alerts/alertmanager.example.yml",
        "alerts/rules.yml",
        "alerts/runbooks/DataRobotWatchdog.md",
        "completion/zsh/_workload-exporter",
        "dashboards/datarobot-fleet.json",
        "deploy/grafana/provisioning/dashboards/datarobot.yaml",
        "docs/settings.md",
        "man/man1/workload-exporter.1",
    } <= {*out.splitlines()}


def test_list_shows_the_files_of_a_folder() -> None:
    _, out, _ = run("assets", "list", "--only=deploy/grafana/provisioning/dashboards")
    assert out == "deploy/grafana/provisioning/dashboards/datarobot.yaml\n"
    assert run("assets", "list", "--only=dash") == (
        2, "", "workload-exporter: --only: no file is below dash; see `assets list`\n",
    )  # fmt: skip


@pytest.mark.parametrize("name", ["docs/paging.md", "paging.md", "docs/paging", "paging"])
def test_show_prints_a_page_with_or_without_its_ending(name: str) -> None:
    assert run("assets", "show", name) == (0, (ROOT / "docs/paging.md").read_text(), "")


@pytest.mark.parametrize("name", ["alerts/rules.yml", "rules.yml"])
def test_show_prints_a_file(name: str) -> None:
    assert run("assets", "show", name) == (0, (ROOT / "alerts/rules.yml").read_text(), "")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["assets", "show", "rule.yml"], "file: no file is called 'rule.yml'; did you mean 'rules.yml'?"),
        (
            ["assets", "show", "datarobot.yaml"],
            "file: 2 files are called 'datarobot.yaml'; give the path of one: "
            "deploy/grafana/provisioning/dashboards/datarobot.yaml, "
            "deploy/grafana/provisioning/datasources/datarobot.yaml",
        ),
        (["assets", "show"], "assets show: needs the name of a file; see --help"),
        (["assets", "export"], "assets export: needs a folder; see --help"),
        (["runbook", "Watchdogs"], "alert: no alert is called 'DataRobotWatchdogs'; did you mean 'DataRobotWatchdog'?"),
        (["dashboards", "flet"], "dashboard: no dashboard is called 'flet'; did you mean 'fleet'?"),
    ],
)
def test_a_name_that_does_not_exist_is_a_usage_error(arguments: list[str], problem: str) -> None:
    assert run(*arguments) == (2, "", f"workload-exporter: {problem}\n")


def test_export_writes_all_files_and_overwrites_only_with_force(tmp_path: Path) -> None:
    folder, count = tmp_path / "new" / "folder", len(assets())
    written = "{} of {} files written to {}; the others are up to date.\n"
    assert run("assets", "export", str(folder)) == (0, written.format(count, count, folder), "")
    for place, text in assets().items():
        assert (folder / place).read_text() == text()
    assert run("assets", "export", str(folder)) == (0, written.format(0, count, folder), "")

    rules, dashboard = folder / "alerts/rules.yml", folder / "dashboards/datarobot-fleet.json"
    rules.write_text("mine")
    dashboard.unlink()
    status, out, err = run("assets", "export", str(folder))
    assert (status, out) == (1, "")
    assert err == f"workload-exporter: {rules} would be overwritten; use --force, or another folder\n"
    assert (rules.read_text(), dashboard.exists()) == ("mine", False)
    assert run("assets", "export", str(folder), "--force") == (0, written.format(2, count, folder), "")
    assert rules.read_text() == (ROOT / "alerts/rules.yml").read_text()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    status, _, err = run("assets", "export", str(tmp_path / "file"))
    assert status == 1
    assert err.startswith(f"workload-exporter: {tmp_path}/file cannot be written: ")


@pytest.mark.parametrize("name", ["DataRobotWatchdog", "Watchdog", "DataRobotWatchdog.md"])
def test_a_runbook_is_printed_by_the_name_of_its_alert(name: str) -> None:
    assert run("runbook", name) == (0, (ROOT / "alerts/runbooks/DataRobotWatchdog.md").read_text(), "")


def test_without_a_name_the_runbooks_are_listed() -> None:
    _, out, _ = run("runbook")
    assert all(alert.name in out for alert in ALERTS)


def test_dashboards_are_listed_and_printed() -> None:
    _, out, _ = run("dashboards")
    for name in out.split():
        status, text, _ = run("dashboards", name)
        assert (status, json.loads(text)["uid"]) == (0, f"datarobot-{name}")
    assert run("dashboards", "datarobot-fleet.json") == run("dashboards", "fleet")


def test_an_installation_with_neither_folder_has_no_files(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "of another package.md").touch()
    assert asset_files(tmp_path / "exporter") == {}


def test_the_provisioning_is_valid_yaml() -> None:
    for place, file in asset_files().items():
        if place.endswith((".yaml", ".yml")):
            assert [*yaml.safe_load_all(file.read_text())], place
