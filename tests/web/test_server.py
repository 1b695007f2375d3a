"""Responses of the server over real sockets."""

import asyncio
import re
import subprocess
from pathlib import Path

import pytest

from exporter.diagnosis.fleet_table import ATTENTION, Choice
from exporter.web.query import list_problem
from exporter.web.server import bind
from exporter.web.status_page import address
from tests.components import component
from tests.web.serving import PAGE, Served


def test_metrics_are_served_as_text_with_their_length() -> None:
    response = Served().request("GET", "/metrics", **{"accept-encoding": "identity"})
    assert (response.status_code, response.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert response.text == "# TYPE a gauge\n" + "a 1.0\n" * 1000 + "# B\nown 2.0\n"
    assert response.headers["content-length"] == str(len(response.content))
    assert response.headers["vary"] == "accept, accept-encoding"


def test_openmetrics_ends_with_eof() -> None:
    response = Served().request("GET", "/metrics", accept="application/openmetrics-text;version=1.0.0")
    assert response.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert response.headers["content-encoding"] == "gzip"
    assert response.text.endswith("# B2\nown 2.0\n# EOF\n")


def test_head_has_the_headers_and_no_body() -> None:
    response = Served().request("HEAD", "/metrics", **{"accept-encoding": "identity"})
    assert (response.status_code, response.content) == (200, b"")
    assert int(response.headers["content-length"]) > 6000


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/nothing", 404, None),
        ("POST", "/metrics", 405, "GET, HEAD"),
        ("DELETE", "/", 405, "GET, HEAD"),
        ("GET", "/-/reload", 405, "POST, PUT"),
        ("GET", "/debug/config", 404, None),
        ("GET", "/debug/episodes", 404, None),
    ],
)
def test_unknown_paths_are_404_and_unsupported_methods_are_405(
    method: str, path: str, status: int, allow: str | None
) -> None:
    served = Served()
    response = served.request(method, path)
    assert (response.status_code, response.headers.get("allow")) == (status, allow)
    assert served.counted == [(path if path != "/nothing" else "other", str(status))]


def test_health_depends_on_the_age_of_the_page() -> None:
    served = Served()
    assert served.request("GET", "/-/healthy").text == "healthy\n"
    served.age = 61.0
    response = served.request("GET", "/-/healthy")
    assert (response.status_code, "61 s ago" in response.text) == (503, True)


def test_readiness_states_its_reason() -> None:
    served = Served()
    served.reason = "account eu: no complete sweep yet"
    response = served.request("GET", "/-/ready")
    assert (response.status_code, response.text) == (503, "not ready: account eu: no complete sweep yet\n")


def test_a_failed_reload_responds_with_500_and_the_problems() -> None:
    served = Served()
    assert served.request("POST", "/-/reload").text == "reloaded\n"
    served.problems = ["sweep.interval: bad"]
    response = served.request("PUT", "/-/reload")
    assert (response.status_code, "sweep.interval: bad" in response.text) == (500, True)


def test_settings_are_served_if_enabled() -> None:
    served = Served()
    served.config = "accounts: []\n"
    assert served.request("GET", "/debug/config").text == "accounts: []\n"


def test_episodes_in_progress_are_served_as_json_if_enabled() -> None:
    served = Served()
    served.episodes = [{"kind": "start", "trace_id": None}]
    response = served.request("GET", "/debug/episodes")
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    assert response.text == '[{"kind":"start","trace_id":null}]'


def test_the_status_page_gets_its_query_and_allows_only_its_own_script() -> None:
    response = Served().request("GET", "/?q=a%20b&state=failed")
    assert response.text == "<p>q=a%20b&state=failed"
    policy = dict(part.partition(" ")[::2] for part in response.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert re.fullmatch(r"'sha256-[\w+/]+='", policy["script-src"])
    assert re.fullmatch(r"'sha256-[\w+/]+='", policy["style-src"])
    assert (response.headers["referrer-policy"], response.headers["cache-control"]) == ("no-referrer", "no-store")


def test_the_page_of_a_workload_gets_its_id_decoded_and_its_query_and_allows_no_script() -> None:
    served = Served()
    response = served.request("GET", "/workloads/a%2Fb%3Fc?account=eu%20x")
    assert (response.status_code, response.text) == (200, "<p>a/b?c account=eu%20x")
    policy = dict(part.partition(" ")[::2] for part in response.headers["content-security-policy"].split("; "))
    assert (policy["default-src"], policy.get("script-src"), policy.get("connect-src")) == ("'none'", None, None)
    assert re.fullmatch(r"'sha256-[\w+/]+='", policy["style-src"])
    assert (response.headers["referrer-policy"], response.headers["cache-control"]) == ("no-referrer", "no-store")
    assert served.request("GET", "/workloads/unknown").status_code == 404
    assert served.request("POST", "/workloads/a").status_code == 403
    assert served.counted == [("/workloads/", "200"), ("/workloads/", "404"), ("/workloads/", "403")], (
        "ids are no label"
    )


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("application/json", "application/json"),
        ("Application/JSON; q=0.9", "application/json"),
        ("*/*", "text/html"),
        ("text/html,application/json", "text/html"),
        ("", "text/html"),
    ],
)
def test_the_page_of_a_workload_is_json_for_a_client_that_accepts_json_and_no_html(accept: str, kind: str) -> None:
    for name, status in (("w1", 200), ("unknown", 404)):
        response = Served().request("GET", f"/workloads/{name}?account=eu", accept=accept)
        assert (response.status_code, response.headers["content-type"].partition(";")[0]) == (status, kind)
        assert f"{name} account=eu" in response.text


@pytest.mark.parametrize(
    ("kind", "content_type", "disposition"),
    [
        ("csv", "text/csv; charset=utf-8; header=present", 'attachment; filename="workloads.csv"'),
        ("json", "application/json; charset=utf-8", None),
    ],
)
def test_the_list_of_workloads_gets_its_query(kind: str, content_type: str, disposition: str | None) -> None:
    served = Served()
    response = served.request("GET", f"/workloads.{kind}?q=a&tag=b")
    assert (response.status_code, response.text) == (200, "<p>q=a&tag=b")
    assert (response.headers["content-type"], response.headers.get("content-disposition")) == (
        content_type,
        disposition,
    )
    assert response.headers["x-content-type-options"] == "nosniff"
    assert served.counted == [(f"/workloads.{kind}", "200")]


@pytest.mark.parametrize("kind", ["csv", "json"])
@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("state=down",
         f"unknown state down; use one of: {ATTENTION} failed indeterminate starting leaving up off vanished"),
        ("sort=name", "unknown sort name; use one of: state -state workload -workload since -since replicas -replicas "
         "importance -importance"),
        ("stat=failed", "unknown parameter stat; use q, tag, state, sort, page"),
        ("q=a&tag=", "tag has no value; give tag=VALUE"),
        ("&".join(f"tag={n}" for n in range(21)), "more than 20 parameters"),
    ],
)  # fmt: skip
def test_a_list_whose_filter_is_misspelled_is_not_that_of_all_workloads(kind: str, query: str, problem: str) -> None:
    response = Served().request("GET", f"/workloads.{kind}?{query}")
    assert (response.status_code, response.text) == (400, f"{problem}\n")


def test_all_links_of_the_status_page_to_a_list_are_valid() -> None:
    for choice in (Choice(), Choice("a b", "failed", "-since", 3, ("team=a", "env")), Choice(state=ATTENTION)):
        assert list_problem(address(choice).removeprefix("?")) == ""


def test_head_of_the_status_page_has_its_length_and_no_body() -> None:
    response = Served().request("HEAD", "/?q=a")
    assert (response.status_code, response.content, response.headers["content-length"]) == (200, b"", "6")


def test_curl_reads_the_whole_gzip_page(tmp_path: Path) -> None:
    async def work(host: str, port: int) -> bytes:
        command = (component("curl"), "--silent", "--noproxy", "*", "--compressed", f"http://{host}:{port}/metrics")
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        out, _ = await process.communicate()
        return out

    assert Served().serve(work) == b"".join(PAGE.text)


def test_an_address_in_use_is_named() -> None:
    (clients,) = bind(["127.0.0.1:0"])
    address = f"127.0.0.1:{clients.getsockname()[1]}"
    with pytest.raises(OSError, match=f"{address} is in use; stop the other program"):
        bind(["127.0.0.1:0", address])
    clients.close()


def test_an_address_of_another_machine_is_named() -> None:
    with pytest.raises(OSError, match=r"192\.0\.2\.1:1 cannot be bound: "):
        bind(["192.0.2.1:1"])
