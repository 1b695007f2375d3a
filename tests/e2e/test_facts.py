"""Each condition that a person may want to be paged for can be proven from /metrics alone, in a real Prometheus.

The stories are played in virtual time and their page is written every 30 seconds into a Prometheus (by promtool, as its
own blocks); then each expression must name exactly the workloads of the stories that it is about.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.simulator.stories import STORIES
from tests.alerts.history import families_read
from tests.e2e.backfill import Pages, filled
from tests.e2e.servers import Prometheus
from tests.stage import START, Stage, played, simulated

pytestmark = [pytest.mark.real, pytest.mark.long]
LASTS, EVERY = 5400.0, 30.0
_W = "datarobot_workload_"
_ON = "on (workload)"
ACTIVE = 'role="active"'

FACTS: dict[str, tuple[str, set[str]]] = {
    "1 failed": (
        f'max_over_time({_W}status{{status=~"errored|terminated"}}[90m:30s]) == 1',
        {"crash loop", "exit 0", "image pull", "terminated", "slow start"},
    ),
    "2 no ready replica while it should serve": (
        f"max by (workload) (datarobot_proton_replicas_ready{{{ACTIVE}}}) == 0 "
        f'and {_ON} min_over_time({_W}status{{status="running"}}[1m]) == 1 '  # pods are polled after the list
        f"unless {_ON} {_W}scaled_to_zero == 1",
        {"nobody ready"},
    ),
    "2a scaled to zero is no fault": (
        f"max_over_time({_W}scaled_to_zero[90m:30s]) == 1", {"scaled to zero", "woken from zero"},
    ),
    "3 crash loop": (
        f'max_over_time(datarobot_container_waiting_reason{{reason="CrashLoopBackOff",{ACTIVE}}}[90m:30s]) > 0',
        {"crash loop", "exit 0", "draining unreadable"},
    ),
    "3a restarts": (
        "max_over_time(increase(datarobot_container_restarts_total[15m])[75m:30s]) >= 3",
        {"crash loop", "exit 0", "reverted replacement", "draining unreadable"},
    ),
    "4 out of memory": (
        'increase(datarobot_container_terminations_total{reason="OOMKilled"}[90m]) > 0', {"out of memory"},
    ),
    "5 image pull": (
        f'datarobot_container_waiting_reason{{reason=~"ImagePullBackOff|ErrImagePull|InvalidImageName",{ACTIVE}}} > 0',
        {"image pull"},
    ),
    "6 unschedulable": (
        'max_over_time(datarobot_proton_replicas_unschedulable{resource="gpu"}[90m:30s]) > 0', {"unschedulable GPU"},
    ),
    "7 stuck starting": (
        f'max by (workload) ({_W}status{{status=~"submitted|initializing|provisioning|launching|warming"}}) == 1 '
        f"and {_ON} time() - {_W}status_since_timestamp_seconds > 2700",
        {"not ready", "monitor frozen"},
    ),
    "8 stuck stopping": (
        f'(max by (workload) (max_over_time({_W}status{{status="stopping"}}[90m:30s])) == 1) '
        f"and {_ON} sum_over_time({_W}status{{status='stopping'}}[90m:30s]) > 40",
        {"not stopping"},
    ),
    "9 rollout failed or reverted": (
        f'increase({_W}transitions_total{{transition="reverted"}}[90m]) > 0',
        {"reverted replacement", "silent revert", "no bundle for it"},
    ),
    "9a rollout completed": (
        f'increase({_W}replacements_total{{outcome="completed"}}[90m]) > 0',
        {"replacement", "settings change", "draining unreadable", "serving unreadable"},
    ),
    "10 rollout under way": (
        f"max_over_time({_W}replacement_active[90m:30s]) == 1",
        {"replacement", "reverted replacement", "silent revert", "settings change", "draining unreadable",
         "serving unreadable"},
    ),
    "11 degraded": (
        f"max by (workload) (datarobot_proton_replicas_ready{{{ACTIVE}}}) > 0 and {_ON} "
        f"max by (workload) (datarobot_proton_replicas_ready{{{ACTIVE}}}) < {_ON} {_W}replicas_min",
        {"degraded"},
    ),
    "12 saturated autoscaler": (
        f"{_W}autoscaling_load_ratio >= 1 and {_ON} "
        f"datarobot_proton_replicas_live{{{ACTIVE}}} == {_ON} {_W}autoscaling_replicas_max",
        {"saturated autoscaler"},
    ),
    "13 server errors": (
        f'{_W}window_server_error_ratio{{window="5m"}} > 0.05 and {_ON} {_W}window_requests{{window="5m"}} > 100',
        {"server errors", "outage"},
    ),
    "14 slow": (f'{_W}window_slow_ratio{{window="1h"}} > 0.1', {"slow"}),
    "14a latency at a quantile": (
        f'{_W}window_response_seconds{{window="5m",quantile="0.95"}} > 2', {"slow"},
    ),
    "15 refuses its callers": (f'{_W}window_client_error_ratio{{window="5m"}} > 0.5', {"callers refused"}),
    "17 draft near its end": (
        f"min_over_time(({_W}draft_expiry_timestamp_seconds - time())[90m:30s]) < 3600", {"draft about to end"},
    ),
    "18 important on a draft": (
        f'({_W}artifact_info{{artifact_status="draft"}} and {_ON} {_W}importance{{importance=~"critical|high"}})',
        {"draft about to end"},
    ),
    "19 single replica": (
        f'({_W}replicas_configured{{workload=~"draft.*|crash.*|unsched.*|out.*"}} == 1) '
        f'and {_ON} {_W}importance{{importance="high"}}',
        {"draft about to end", "crash loop", "unschedulable GPU"},
    ),
    "20 interrupted or suspended": (
        f'max_over_time({_W}status{{status=~"interrupted|suspended"}}[90m:30s]) == 1', {"interrupted", "suspended"},
    ),
    "21 vanished": (
        f"last_over_time({_W}vanished_timestamp_seconds[90m])", {"deleted", "access lost", "draft about to end"},
    ),
    "21a no longer shared": (
        f'last_over_time({_W}vanished_timestamp_seconds{{answer="forbidden"}}[90m])', {"access lost"},
    ),
    "22 snapshot missing": (
        "datarobot_proton_info unless on (workload, proton_id) datarobot_proton_replicas_live",
        {"monitor frozen", "bare"},
    ),
    "22a pods that could not be read": (
        f"max_over_time(datarobot_proton_unreadable{{{ACTIVE}}}[90m:30s])", {"serving unreadable"},
    ),
    "22b pods of a version that drains that could not be read": (
        'max_over_time(datarobot_proton_unreadable{role="outgoing"}[90m:30s])', {"draining unreadable"},
    ),
    "23 bundle gone": (f"{_W}bundle_offered == 0", {"bundle withdrawn"}),
    "24 traffic": (
        f'{_W}window_requests{{window="5m"}} == 0 and {_ON} time() - {_W}status_since_timestamp_seconds > 1800',
        {"scaled to zero", "nobody ready", "bare", "from the future"},  # with an unknown status it may have callers
    ),
    "26 memory near its bundle": (
        f'{_W}memory_usage_bytes{{level="pod"}} / {_ON} {_W}replica_memory_bytes > 0.9',
        {"out of memory", "memory near its bundle"},
    ),
    "consumer only": (f"{_W}consumer_only == 1", {"consumer only"}),
    "reset of the statistics": (f"{_W}stats_resets_total > 0", {"promoted"}),
    "values from the future": (f'{_W}status{{status="other"}} == 1', {"from the future"}),
}  # fmt: skip
ACCOUNT_FACTS = {
    "16 near the limit": "datarobot_account_workloads_active / datarobot_account_workloads_limit > 0.5",
    "25a values that are not in the API description": 'datarobot_exporter_api_unknown_values_total{field="status"} > 0',
    "starts have durations": "datarobot_account_start_duration_seconds_count > 0",
}
READ = families_read([{"expr": each} for each in (*(fact for fact, _ in FACTS.values()), *ACCOUNT_FACTS.values())])
_X = "datarobot_exporter_"
BLIND = {
    "unauthorized": f'increase({_X}sweep_failures_total{{reason="auth"}}[10m]) > 0',
    "forbidden": f'increase({_X}sweep_failures_total{{reason="forbidden"}}[10m]) > 0',
    "throttled": f'increase({_X}api_requests_total{{code="429"}}[10m]) > 0',
    "truncated": f'increase({_X}sweep_failures_total{{reason="decode"}}[10m]) > 0',
    "wrong-type": f"increase({_X}api_rejects_total[10m]) > 0",
    "bad-gateway": f"time() - {_X}sweep_last_success_timestamp_seconds > 300",
}
"""25, the exporter is blind: what a server does to cause it, and the query that shows it. On a good day it is empty."""


@pytest.mark.parametrize("oddity", BLIND)
def test_25_that_the_exporter_is_blind_is_proven_with_the_reason(tmp_path: Path, oddity: str) -> None:
    pages = Pages()
    simulator = simulated(3)

    async def play(stage: Stage) -> None:
        async def note() -> None:
            pages.add(stage.report.text().decode(), stage.wall)
            simulator.odd = {oddity} if stage.now >= 590 else ()

        await stage.run(1201, note)

    played(play, simulator)
    with filled(tmp_path, pages) as server:
        assert not server.query(BLIND[oddity], START + 595)
        assert server.query(BLIND[oddity], START + 1200)


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    pages = Pages(READ)
    simulator = simulated(len(STORIES), seed=11)

    async def play(stage: Stage) -> None:
        async def note() -> None:
            pages.add(stage.page() + stage.report.text().decode(), stage.wall)

        await stage.run(LASTS + 1, note)

    played(play, simulator)
    with filled(tmp_path_factory.mktemp("facts"), pages) as server:
        yield server


@pytest.mark.parametrize("fact", FACTS)
def test_a_fact_is_proven_for_the_workloads_of_its_stories_and_no_other(prometheus: Prometheus, fact: str) -> None:
    expression, stories = FACTS[fact]
    named = {
        re.sub(r"-\d+$", "", row["metric"]["workload"]).replace("-", " ")
        for row in prometheus.query(expression, START + LASTS)
    }
    assert named == {story.replace("-", " ") for story in stories}


@pytest.mark.parametrize("fact", ACCOUNT_FACTS)
def test_a_fact_about_the_account_is_proven(prometheus: Prometheus, fact: str) -> None:
    assert prometheus.query(ACCOUNT_FACTS[fact], START + LASTS)
