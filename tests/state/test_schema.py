"""Random workload lists within the published schema are decoded and rendered correctly."""

import asyncio
import http.server
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

from exporter.api.decoding import workload_page
from exporter.api.models import folded
from exporter.daemon.daemon import Daemon
from exporter.daemon.once import sweep_once
from exporter.metrics.exposition import Exposition, bounded
from exporter.settings.model import Settings
from tests.daemon.test_daemon import Time
from tests.examples import page
from tests.make import sight

TEXT = st.one_of(
    st.text(max_size=60),
    st.just(""),
    st.integers(9_000, 10_000).map(lambda size: "n" * size),
    st.just('a\x00b\n"\\é💥'),
)
MOMENTS = st.sampled_from(
    [
        "1900-01-01T00:00:00Z",
        "2026-11-20T10:14:58.120000+00:00",
        "9999-12-31T23:59:59.999999+14:00",
        "0001-01-01T00:00:00Z",
    ]
)
COUNTS = st.integers(-(2**70), 2**70)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | COUNTS


def nullable(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


def shaped(required: dict[str, Any], **optional: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(required, optional=optional)


STATUS = st.sampled_from(
    "unknown submitted initializing provisioning launching running warming draining stopping stopped errored".split()
)
USER = shaped({"id": TEXT}, email=nullable(TEXT), fullName=nullable(TEXT))
ARTIFACT = shaped(
    {"id": TEXT},
    artifactRepositoryId=nullable(TEXT),
    name=nullable(TEXT),
    status=st.sampled_from(["draft", "locked"]),
    type=st.sampled_from(["service", "nim"]),
    version=nullable(COUNTS),
)
POLICY = shaped(
    {"scalingMetric": TEXT, "target": NUMBERS, "minCount": COUNTS, "maxCount": COUNTS}, priority=nullable(COUNTS)
)
GROUP = shaped(
    {},
    name=TEXT,
    replicaCount=COUNTS,
    autoscaling=nullable(shaped({"policies": st.lists(POLICY, max_size=2)}, enabled=st.booleans())),
    resourceBundles=st.lists(TEXT, max_size=2),
    resolvedBundle=nullable(
        shaped(
            {"id": TEXT, "cpuCount": NUMBERS, "memoryBytes": COUNTS},
            gpuCount=nullable(NUMBERS),
            gpuMaker=nullable(TEXT),
        )
    ),
    containers=st.lists(
        shaped(
            {"name": TEXT},
            resourceAllocation=nullable(
                shaped({}, cpu=nullable(NUMBERS), memory=nullable(COUNTS | TEXT), gpu=nullable(COUNTS))
            ),
        ),
        max_size=2,
    ),
)
STATS = shaped(
    {},
    totalRequests=COUNTS,
    errorRate=NUMBERS,
    errorRates=st.lists(COUNTS, max_size=7),
    requestRates=st.lists(COUNTS, max_size=7),
    responseTime=COUNTS,
    concurrentRequests=COUNTS,
    lastRequestAt=nullable(MOMENTS),
)
ITEM = shaped(
    {"id": st.sampled_from(["a", "b", "c", "d"]) | TEXT, "name": TEXT, "createdAt": MOMENTS, "updatedAt": MOMENTS},
    description=nullable(TEXT),
    status=STATUS,
    type=st.sampled_from(["service", "nim"]),
    importance=st.sampled_from(["critical", "high", "moderate", "low"]),
    artifactId=nullable(TEXT),
    protonId=nullable(TEXT),
    artifact=nullable(ARTIFACT),
    endpoint=nullable(TEXT),
    replacement=nullable(shaped({}, status=TEXT, strategy=TEXT, candidateProtonIds=st.lists(TEXT, max_size=2))),
    requestStats=nullable(STATS),
    lastResponse=nullable(MOMENTS),
    runtime=shaped({}, containerGroups=st.lists(GROUP, max_size=2)),
    creator=nullable(USER),
    owners=st.lists(USER, max_size=1),
    permissions=st.lists(TEXT, max_size=2),
    tags=st.lists(shaped({"id": TEXT, "name": TEXT, "value": TEXT}), max_size=2),
)
PAGES = st.lists(ITEM, max_size=4, unique_by=lambda item: item["id"])


def running(families: Any) -> set[str]:
    """The ids of the workloads shown as running; parses the whole page."""
    return {
        sample.labels["workload_id"]
        for family in families
        for sample in family.samples
        if family.name == "datarobot_workload_status" and sample.labels["status"] == "running" and sample.value == 1
    }


@given(PAGES)
@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_random_values_lose_no_workload_and_show_none_as_running_by_mistake(
    items: list[Any],
) -> None:
    decoded = workload_page(page(*items))
    assert {w.id for w in decoded.items} == {item["id"] for item in items if item["id"]}
    assert decoded.size == len(items)
    exposition = Exposition()
    exposition.update([sight(workload, 1.0, 1.0) for workload in decoded.items])
    expected = {item["id"] for item in items if item["id"] and folded(item.get("status")) == "running"}
    text, openmetrics = exposition.text().decode(), exposition.openmetrics().decode() + "# EOF\n"
    shown = running(text_string_to_metric_families(text))
    assert shown == {bounded(i) for i in expected}
    assert running(openmetrics_families(openmetrics)) == shown  # type: ignore[no-untyped-call]  # the library has no types


class Api(http.server.BaseHTTPRequestHandler):
    body = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", str(len(Api.body)))
        self.end_headers()
        self.wfile.write(Api.body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def api() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@given(items=PAGES)
@settings(
    deadline=None,
    max_examples=8,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)
def test_the_same_over_http(api: str, items: list[Any]) -> None:
    Api.body = page(*items)

    async def inside() -> tuple[str, str]:
        account = {"endpoint": api, "token": "t", "requests_per_second": 1000}
        given = Settings.model_validate({"accounts": [account], "metrics": {"profile": "full"}})
        daemon = Daemon(given, lambda: given, clock=Time().clock)
        page_, failure = await sweep_once(daemon)
        return page_.decode(), failure

    text, failure = asyncio.run(inside())
    assert failure == ""
    expected = [item for item in items if item["id"] and folded(item.get("status")) == "running"]
    assert len(running(text_string_to_metric_families(text))) == len(expected)
