"""``verify``: what it finds about servers that answer as assumed, otherwise, or not at all, and what a report lacks."""

import itertools
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from exporter.cli import verify_report
from exporter.cli.check import ROUTES
from exporter.cli.verification import Verified
from exporter.cli.verify import bar
from exporter.simulator import SimulatedApi, Simulator
from exporter.simulator.oddities import ODDITIES, SimulatedResponse
from tests.cli import spec_server
from tests.cli.test_main import run
from tests.cli.virtual import Respond, verify
from tests.stage import START


def api(workloads: int = 20, **facts: Any) -> Respond:
    """A simulated API, on whose clock a tenth of a second passes with each request."""
    simulated, requests = SimulatedApi(workloads=workloads, clock=lambda: START, **facts), itertools.count()

    def respond(path: str, query: str, headers: Mapping[str, str]) -> SimulatedResponse:
        at = START + next(requests) / 10
        simulated.clock = lambda: at
        return simulated.respond("GET", path, query, dict(headers))

    return respond


def verdicts(found: Verified) -> dict[str, str]:
    return {row.id: verdict for row, verdict, _ in found.verdicts()}


def texts(found: Verified) -> str:
    table = verify_report.text("prod", "https://dr.test/api/v2", found)
    return "\n".join((*table, json.dumps(verify_report.as_json(found))))


def report(found: Verified) -> str:
    return "\n".join(verify_report.report({"prod": found}))


# -- servers


def test_a_server_that_answers_as_assumed_is_as_expected() -> None:
    found = verify(api(60))
    assert found.as_expected
    assert not found.failure
    assert (found.workloads, found.sampled, found.release, found.api_version) == (60, 20, "11.14.0", "2.50.0")
    assert {each.route for each in found.routes} == {"/workloads", *(route.template for route in ROUTES)}
    assert found.offset is not None
    assert abs(found.offset) < 1.5
    assert "contradicted" not in verdicts(found).values()
    assert [*verdicts(found).values()].count("confirmed") >= 7
    shown = texts(found)
    assert "ok    response_time_is_quantile: confirmed (121 ms at quantile 0.5, 402 ms at 0.95)" in shown
    assert "status: 'Hibernating' (1)" in shown
    assert re.search(r"ok +/workloads/\{id\}/stats: 200 \(\d+ ms\)", shown)


@pytest.mark.parametrize(
    ("odd", "assumption"),
    [
        ("list-error-share", "list_error_rate_in_percent"),
        ("list-of-a-day", "list_window_of_seven_days"),
        ("mean-response-time", "response_time_is_quantile"),
        ("millicores", "nanocores_are_billionths"),
        ("all-active", "active_unless_stopped"),
        ("replica-limit", "replica_limit_of_workload"),
        ("heartbeat", "pod_report_time_of_change"),
        ("unprocessable@/quotas", "quotas_of_workloads"),
        ("slash-forbidden", "routes_end_with_slash"),
    ],
)
def test_a_server_that_answers_otherwise_is_reported_with_the_evidence(odd: str, assumption: str) -> None:
    found = verify(api(60, odd=[odd]))
    assert verdicts(found)[assumption] == "contradicted"
    assert not found.as_expected
    assert re.search(rf"NO +{assumption}: contradicted: \w+ \(.+\)", texts(found))
    assert f"| {assumption} | contradicted |" in report(found)


LIST_LOST = {"cut", "hanging", "huge"}
"""Oddities after which nothing can be read."""


@pytest.mark.long
def test_no_oddity_of_a_server_breaks_the_command() -> None:
    for name in ODDITIES:
        found = verify(api(8, odd=[f"{name}@/workloads" if name == "number-as-id" else name]), sample=2)
        assert texts(found)
        assert report(found)
        assert found.failure or name not in LIST_LOST


def test_a_server_that_refuses_everything_but_the_list() -> None:
    odd = [f"forbidden@{route.template}" for route in ROUTES]
    found = verify(api(odd=odd))
    assert (found.failure, found.workloads, found.as_expected) == ("", 20, False)
    refused = {each.route: each.reason for each in found.routes if each.result == "refused"}
    assert refused == {route.template: "forbidden" for route in ROUTES if "{pid}" not in route.template}
    assert "the token's user needs the role user on the workload; without it: no events" in texts(found)
    assert set(verdicts(found).values()) == {"unknown", "confirmed"}


def test_a_server_that_has_only_what_the_description_11_5_lists() -> None:
    found = verify(spec_server.respond)
    results = {each.route: (each.result, each.reason) for each in found.routes}
    absent = {"/account/info", "/mlops/compute/bundles", "/quotas"}
    absent |= {"/otel/workload/{id}/metrics/autocollectedValues"}
    assert {route for route, result in results.items() if result == ("refused", "not_found")} == absent
    assert {result for route, result in results.items() if route not in absent} == {("ok", "")}
    assert (found.workloads, found.sampled, found.rejects, found.unknown) == (1, 1, {}, {})
    assert found.values == {"event": {"an event": 1}}
    assert verdicts(found)["routes_end_with_slash"] == "contradicted"


def test_a_server_whose_list_cannot_be_read_fails() -> None:
    found = verify(api(), token="wrong")
    assert (found.failure, found.as_expected) == ("auth", False)
    assert "FAIL  GET /workloads returned 401: Invalid API key" in texts(found)
    assert "could not be read: auth" in report(found)


def test_a_list_that_is_incomplete_fails() -> None:
    found = verify(api(odd=["never-ending@/workloads"]))
    assert found.failure == "incomplete"
    assert "FAIL" in texts(found)


def test_what_cannot_be_read_is_listed() -> None:
    found = verify(api(odd=["wrong-type@/workloads/{id}/events", "empty@/account/info"]))
    assert {path for path, _ in found.rejects} == {"events $", "limits $"}
    assert re.search(r"limits \$: empty \(1\)", report(found))


def test_fields_that_no_source_describes_are_listed() -> None:
    simulated = api()

    def respond(path: str, query: str, headers: Mapping[str, str]) -> SimulatedResponse:
        response = simulated(path, query, headers)
        return response._replace(body=response.body.replace(b'"createdAt"', b'"Not a name": 1, "zone": 1, "createdAt"'))

    found = verify(respond, sample=2)
    assert found.unknown["/workloads"] == ["Not a name", "zone"]
    assert "/workloads: Not a name, zone" in texts(found)
    assert "- `/workloads`: `zone`, 1 others" in report(found)


# -- nothing that identifies anyone

CANARY = "Kanarienvogel"
KEPT = {"status", "type", "role", "unit", "otelName", "eventType", "level", "importance", "shareRecipientType", "rule"}
"""Fields of which the values are needed for anything to be found; with canaries in them, too, in the other case."""
_ID = re.compile(r"[0-9a-f]{24}")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ].*")


def planted(value: Any, kept: set[str], name: str = "") -> Any:
    """A JSON value with a canary in every text but ids and times."""
    if isinstance(value, dict):
        return {key: planted(part, kept, key) for key, part in value.items()}
    if isinstance(value, list):
        return [planted(part, kept, name) for part in value]
    is_free = isinstance(value, str) and name not in kept and not _ID.fullmatch(value) and not _TIME.fullmatch(value)
    return f"{value} {CANARY}" if is_free else value


@pytest.mark.parametrize("kept", [KEPT, set()], ids=["enumerations are kept", "no text is kept"])
@pytest.mark.parametrize("odd", [[], ["error-text@/quotas", "forbidden@/workloads/{id}/events"]])
def test_a_report_contains_no_text_and_no_id_of_the_fleet(kept: set[str], odd: list[str]) -> None:
    simulated, ids = api(odd=odd), set[str]()

    def respond(path: str, query: str, headers: Mapping[str, str]) -> SimulatedResponse:
        response = simulated(path, query, headers)
        if not response.body:
            return response
        body = json.dumps(planted(json.loads(response.body), kept))
        ids.update(_ID.findall(body))
        return response._replace(body=body.encode())

    found = verify(respond, sample=10)
    assert found.workloads == 20
    assert len(ids) > 50
    shown = report(found)
    assert CANARY.casefold() not in shown.casefold()
    assert not any(each in shown for each in ids)
    assert "api.test" not in shown
    assert "prod" not in shown


# -- the command


def test_the_command_prints_a_table_writes_a_report_and_exits_with_what_it_found(tmp_path: Path) -> None:
    file, settings = tmp_path / "report.md", tmp_path / "exporter.yaml"
    with Simulator(workloads=4, odd=["forbidden@/quotas"]) as simulator:
        values = f"name: default, endpoint: '{simulator.url}', token_env: TOKEN, requests_per_second: 1000"
        settings.write_text(f"accounts: [{{{values}}}]")

        def command(*flags: str, token: str = simulator.token) -> tuple[int, str, str]:
            return run("verify", f"--config.file={settings}", "--workloads=1", *flags, TOKEN=token)

        status, out, err = command(f"--report={file}")
        assert (status, err) == (3, "")
        assert "account default: " in out
        assert simulator.non_get_requests == 0
        simulator.odd = frozenset()
        status, out, _ = command("--json", "--account=default")
        (shown,) = json.loads(out)["accounts"]
        assert (status, shown["account"], shown["asExpected"], shown["workloads"]) == (0, "default", True, 4)
        assert command(token="wrong")[0] == 1
        status, _, err = command("--account=other")
        assert (status, "no account is called other; accounts: default" in err) == (2, True)
        text = file.read_text()
        assert "| `/quotas` | NO | forbidden |" in text
        assert simulator.url not in text


def test_the_progress_bar_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    bar("prod")(6, 24, "/quotas")
    assert capsys.readouterr().err == "\r\x1b[2Kprod [######..................] 6/24 /quotas"
