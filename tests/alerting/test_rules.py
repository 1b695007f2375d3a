"""Rules of Prometheus, as the options specify."""

from typing import Any, ClassVar

import pytest

from exporter.alerting.alerts import ALERTS
from exporter.alerting.expressions import Metric
from exporter.alerting.limits import DEFAULTS, LIMITS
from exporter.alerting.recording import BUDGET, RATIO
from exporter.alerting.rules import DEFAULT, Options, rule_file, rules


def written(options: Options = DEFAULT) -> dict[tuple[str, str], dict[str, Any]]:
    """Each rule by its alert and its severity."""
    groups: Any = rules(options)["groups"]
    return {(rule["alert"], rule["labels"].get("severity", "")): rule for group in groups for rule in group["rules"]}


ERRORED = ("DataRobotWorkloadErrored", "critical")
CRASHES = "DataRobotContainerCrashLooping", "critical"


def test_a_rule_has_its_wait_its_severity_and_what_a_person_reads() -> None:
    rule = written()[CRASHES]
    assert rule["for"] == "4m"
    assert rule["keep_firing_for"] == "13m"
    assert rule["labels"] == {"severity": "critical", "component": "workload"}
    assert rule["annotations"] == {
        "summary": "A container of a workload exits and restarts repeatedly.",
        "description": "Workload {{ $labels.workload }} ({{ $labels.workload_id }}) of account {{ $labels.account }} "
        "has a container that exits soon after each start. Check its last exit code and its log.",
        "runbook_url": "alerts/runbooks/DataRobotContainerCrashLooping.md",
    }


def test_a_wait_is_part_of_the_condition_if_a_metric_reports_since_when_it_is_met() -> None:
    rule = written(Options(waits={ERRORED[0]: 600}))[ERRORED]
    assert "for" not in rule
    assert "datarobot_workload_status_since_timestamp_seconds" in rule["expr"]
    assert ">= 600" in rule["expr"]


def test_how_long_an_alert_is_kept_is_an_option() -> None:
    made = written(Options(keeps={CRASHES[0]: 90, ERRORED[0]: 0}))
    assert made[CRASHES]["keep_firing_for"] == made[CRASHES[0], "warning"]["keep_firing_for"] == "90s"
    assert "keep_firing_for" not in made[ERRORED]


def test_a_note_of_the_settings_is_an_annotation_and_no_template() -> None:
    notes = {ERRORED[0]: "Call {{ the team }} at once.", "default": "Ask #ml."}
    found = {name: rule["annotations"].get("note") for (name, _), rule in written(Options(notes=notes)).items()}
    assert found.pop(ERRORED[0]) == 'Call {{ "{{" }} the team }} at once.'
    assert {*found.values()} == {"Ask #ml."}
    assert not [rule for rule in written().values() if "note" in rule["annotations"]]


def test_links_lead_to_the_workload_if_their_base_urls_are_set() -> None:
    found = Options(
        runbooks="https://r/",
        dashboards="https://g",
        console="https://c",
        status="https://e/x",
        traces="https://j/search?service=workload-{workload_id}",
    )
    made = written(found)[ERRORED]["annotations"]
    assert made["runbook_url"] == "https://r/DataRobotWorkloadErrored.md"
    assert made["dashboard_url"] == (
        "https://g/d/datarobot-workload?var-account={{ $labels.account | urlquery }}"
        "&var-workload={{ $labels.workload_id | urlquery }}"
    )
    assert made["console_url"] == "https://c/console-nextgen/workloads/{{ $labels.workload_id | urlquery }}/overview"
    assert made["trace_url"] == "https://j/search?service=workload-{{ $labels.workload_id | urlquery }}"
    assert made["status_url"] == (
        "https://e/x/workloads/{{ $labels.workload_id | urlquery }}?account={{ $labels.account | urlquery }}"
    )
    assert not [rule for rule in written().values() if "status_url" in rule["annotations"]]
    account = written(found)["DataRobotApiUnreachable", "critical"]["annotations"]
    assert account.keys() == {"summary", "description", "runbook_url"}


def test_thresholds_waits_selector_and_labels_are_those_of_the_options() -> None:
    rule = written(
        Options(
            selector='job="x", zone="eu"',
            thresholds={**DEFAULTS, "oom_seconds": 60},
            waits={"DataRobotContainerOOMKilled": 120},
            labels={"team": "ml"},
            severity_label="level",
        )
    )["DataRobotContainerOOMKilled", ""]
    assert rule["labels"] == {"level": "warning", "component": "workload", "team": "ml"}
    assert rule["for"] == "2m"
    assert '_timestamp_seconds{job="x", zone="eu"}) < 60' in rule["expr"]


def test_an_alert_may_have_the_labels_of_the_settings_beside_its_own() -> None:
    options = Options(labels={"team": "ml"}, severity_label="level")
    assert {"alertname", "component", "level", "team"} < {*options.label_names}
    assert "severity" not in options.label_names


def test_alerts_about_workloads_have_labels_from_the_tags_with_which_they_began_if_there_are_any() -> None:
    plain, labelled = written(), written(Options(tag_labels=("tag_team", "tag_env")))
    condition = "(\n" + "".join(f"  {line}\n" for line in plain[CRASHES]["expr"].strip().split("\n")) + ")"
    by = "account, workload_id, tag_team, tag_env"
    current = 'timestamp(datarobot_workload_tags{job="datarobot"})'
    begun = 'ALERTS{alertname="DataRobotContainerCrashLooping"} * 1e12'
    assert labelled[CRASHES]["expr"].strip() == (
        f"{condition}\n"
        f"* on (account, workload_id) group_left (tag_team, tag_env) group by ({by}) (\n"
        f"  topk by (account, workload_id) (1, max by ({by}) ({begun} or {current}))\n"
        ")\n"
        "or on (account, workload_id)\n"
        f"{condition}"
    )
    about_accounts = "DataRobotApiUnreachable", "critical"
    assert labelled[about_accounts]["expr"] == plain[about_accounts]["expr"]


def test_a_scale_divides_every_duration() -> None:
    rule = written(Options(scale=60))["DataRobotWorkloadStuckStarting", "warning"]
    assert rule["for"] == "2s"
    assert "> 15" in rule["expr"]
    assert "[10s]" in rule["expr"]


def test_an_alert_may_be_turned_off_or_on() -> None:
    found = {
        name
        for name, _ in written(Options(off=frozenset({ERRORED[0]}), on=frozenset({"DataRobotWorkloadTrafficStopped"})))
    }
    assert ERRORED[0] not in found
    assert "DataRobotWorkloadTrafficStopped" in found
    assert "DataRobotWorkloadTrafficStopped" not in {name for name, _ in written()}


def test_no_selector_is_no_matcher() -> None:
    assert "{}" in written(Options(selector=""))[ERRORED]["expr"]
    assert "fresh{part=" in written(Options(selector=""))[CRASHES]["expr"]


def test_groups_are_small_and_hold_each_alert_once_per_severity() -> None:
    groups: Any = rules()["groups"]
    assert all(len(group["rules"]) <= 20 for group in groups)
    assert len({group["name"] for group in groups}) == len(groups)
    found = [(rule["alert"], rule["labels"]["severity"]) for group in groups for rule in group["rules"]]
    assert len(found) == len(set(found)) == sum(len(alert.levels) for alert in ALERTS if not alert.opt_in)


@pytest.mark.parametrize("alert", ALERTS, ids=[alert.name for alert in ALERTS])
def test_a_name_is_short_and_ours_and_its_words_are_sentences(alert: Any) -> None:
    assert alert.name.startswith("DataRobot")
    assert len(alert.name) <= 40
    assert alert.name.isalpha()
    assert alert.summary.endswith(".")
    assert "{{" not in alert.summary
    assert alert.description.endswith(".")


def test_every_threshold_is_used_and_has_a_reason() -> None:
    text = str(rules(Options(on=frozenset(alert.name for alert in ALERTS), thresholds=Marked())))
    assert {limit.name for limit in LIMITS} == Marked.names
    assert text
    assert all(limit.reason for limit in LIMITS)


class Marked(dict[str, float]):
    """Thresholds that remember which were names for."""

    names: ClassVar[set[str]] = set()

    def __getitem__(self, name: str) -> float:
        self.names.add(name)
        return DEFAULTS[name]


def test_metrics_say_which_parts_of_the_details_they_read() -> None:
    assert Metric("proton_replicas_ready").reads == {"pods"}
    assert Metric("account_workloads_active").reads == frozenset()


DAY = 86400.0


def recorded(options: Options) -> set[str]:
    """The names that the rule file records."""
    groups: Any = rule_file(options)["groups"]
    return {rule["record"] for group in groups for rule in group["rules"] if "record" in rule}


def test_the_rule_file_records_the_windows_in_use() -> None:
    last = recorded(Options(objective_windows=(7.0 * DAY, 30.0 * DAY)))
    assert last == {f"{name}:{window}" for name in (RATIO, BUDGET) for window in ("7d", "30d")}
    assert recorded(DEFAULT) == {f"{RATIO}:28d", f"{BUDGET}:28d"}
