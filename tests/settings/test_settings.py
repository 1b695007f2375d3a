"""Settings: what is read, from where, and what is said about every mistake at once."""

import itertools
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, get_origin

import pytest
import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from exporter.alerting.routing import Wants
from exporter.docs import rules_page
from exporter.fleet.workload_state import Costs
from exporter.settings import secret_files
from exporter.settings.accounts import AccountSettings
from exporter.settings.alerts import AlertSettings
from exporter.settings.loader import load
from exporter.settings.model import Settings
from exporter.settings.model_errors import models_in
from exporter.settings.problems import BadSettings, Problem
from exporter.settings.receivers import RECEIVERS as KINDS
from exporter.settings.values import base_url, listen_address, seconds
from exporter.settings.yaml_file import read

ENVIRONMENT = {"DATAROBOT_API_TOKEN": "s3cret"}


def loaded(tmp_path: Path, text: str, environment: dict[str, str] = ENVIRONMENT, **flags: object) -> Settings:
    file = tmp_path / "exporter.yaml"
    file.write_text(text)
    return load(file, environment, {name.replace("__", "."): value for name, value in flags.items()})


def problems(tmp_path: Path, text: str, environment: dict[str, str] = ENVIRONMENT, **flags: object) -> list[str]:
    with pytest.raises(BadSettings) as raised:
        loaded(tmp_path, text, environment, **flags)
    return [str(problem) for problem in raised.value.problems]


def test_datarobots_two_variables_are_sufficient() -> None:
    settings = load(None, {"DATAROBOT_ENDPOINT": "https://dr.test/", "DATAROBOT_API_TOKEN": "s3cret"})
    (account,) = settings.accounts
    assert (account.name, account.endpoint) == ("default", "https://dr.test/api/v2")
    assert account.token_source({"DATAROBOT_API_TOKEN": " s3cret\n"})() == "s3cret"
    assert settings.web.listen_address == ("127.0.0.1:10142",)


def test_accounts_of_a_file_override_the_environment(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-file\n")
    settings = loaded(
        tmp_path,
        f"""
        accounts:
          - {{name: eu, endpoint: https://eu.test, token_file: {tmp_path / "token"}, requests_per_second: 2}}
          - {{name: us, endpoint: https://us.test/api/v2, token_env: DATAROBOT_API_TOKEN}}
        sweep: {{interval: 1m, stale_after: 1h30m}}
        """,
    )
    assert [(a.name, a.endpoint, a.token_source(ENVIRONMENT)()) for a in settings.accounts] == [
        ("eu", "https://eu.test/api/v2", "from-file"),
        ("us", "https://us.test/api/v2", "s3cret"),
    ]
    assert (settings.sweep.interval, settings.sweep.stale_after) == (60.0, 5400.0)


def test_a_flag_overrides_the_file(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "web: {telemetry_path: /file}", web__telemetry_path="/flag")
    assert settings.web.telemetry_path == "/flag"


def test_host_names_are_compared_in_lower_case_and_without_a_final_dot(tmp_path: Path) -> None:
    assert loaded(tmp_path, "web: {hosts: [Exporter.Example.test.]}").web.hosts == ("exporter.example.test",)


def test_all_problems_are_reported_at_once_with_line_and_remedy(tmp_path: Path) -> None:
    text = """accounts:
  - name: eu
    endpont: https://eu.test
    token_env: EU_TOKEN
  - name: eu
    endpoint: eu.test
    token_file: /nowhere/token
swep: {}
sweep:
  interval: soon
"""
    expected = problems(tmp_path, text, web__telemetry_path="metrics")
    assert expected[0] == "accounts[0].endpont (line 3): unknown setting; did you mean endpoint?"
    assert expected[1].startswith(
        "accounts[1].endpoint (line 6): not a URL with http:// or https:// and a host; use one"
    )
    assert expected[2] == "sweep.interval (line 10): not a duration; use one such as 30s, 5m or 1h30m"
    assert expected[3].startswith("--web.telemetry-path: must match the pattern")
    assert expected[4] == "swep (line 8): unknown setting; did you mean sweep?"
    assert expected[5] == "accounts[0].token_env (line 4): EU_TOKEN is not set; it must contain the API token"
    assert expected[6] == "accounts[1].name (line 5): another account is also called 'eu'; choose another name"
    assert expected[7].startswith("accounts[1].token_file (line 7): /nowhere/token cannot be read: No such file")
    assert len(expected) == 8


def test_of_a_file_that_cannot_be_read_nothing_else_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadSettings) as error:
        load(tmp_path / "missing.yaml", {})
    what = "cannot be read: No such file or directory; check path and permissions"
    assert str(error.value) == f"{tmp_path / 'missing.yaml'}: {what}"


def test_a_list_with_an_invalid_item_is_not_also_too_short(tmp_path: Path) -> None:
    assert problems(tmp_path, "web: {listen_address: nowhere}") == [
        "web.listen_address[0] (line 1): not HOST:PORT; use 127.0.0.1:10142, [::1]:10142, or :10142 for all addresses"
    ]
    assert problems(tmp_path, "web: {listen_address: []}") == ["web.listen_address (line 1): must not be empty"]


def test_one_value_may_stand_where_a_list_may(tmp_path: Path) -> None:
    listed = {
        "accounts": [{"token": "t", "endpoint": "https://x.test"}],
        "web": {"listen_address": ["127.0.0.1:1"], "hosts": ["a.test"]},
        "select": {"tags": ["team=a"], "importance": ["high"], "creators": ["jane"]},
        "detail": {"parts": ["requests"], "quantiles": [0.5]},
        "metrics": {"tags": ["team"]},
        "traces": {"kinds": ["start"], "importance": ["high"]},
        "alerts": {"on": ["DataRobotWorkloadTrafficStopped"], "off": ["DataRobotWatchdog"], "owner_tags": ["team"],
            "tag_labels": ["team"]},
        "objectives": [{"availability": 0.9, "accounts": ["default"], "importance": ["high"], "tags": ["a"]}],
        "paging": {"receivers": [{"name": "a", "kind": "alertmanager", "urls": ["http://a.test"],
            "severities": ["critical"], "importance": ["high"], "accounts": ["default"], "tags": ["a=b"],
            "alerts": ["DataRobotDataStale"]}]},
    }  # fmt: skip

    def alone(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: alone(each) for name, each in value.items()}
        return alone(value[0]) if isinstance(value, list) else value

    loaded = []
    for given in (listed, alone(listed)):
        file = tmp_path / "exporter.yaml"
        file.write_text(json.dumps(given))
        loaded.append(load(file, {}))
    assert loaded[0] == loaded[1]
    fields = {name for kind in _sections(Settings) for name, field in kind.model_fields.items() if _is_list(field)}
    assert fields - {"quiet_hours"} == {*_lists(listed)}, "add it above"


def _is_list(field: FieldInfo) -> bool:
    return get_origin(field.annotation) in (tuple, frozenset)


def _lists(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, each in value.items():
            yield from [name] if isinstance(each, list) else []
            yield from _lists(each[0] if isinstance(each, list) else each)


def _sections(root: type[BaseModel]) -> set[type[BaseModel]]:
    inside = {kind for field in root.model_fields.values() for kind in models_in(field.annotation)}
    return {root}.union(*map(_sections, inside))


def test_a_threshold_that_is_a_time_may_be_a_duration(tmp_path: Path) -> None:
    file = tmp_path / "exporter.yaml"
    file.write_text("alerts: {thresholds: {starting_seconds: 20m, p95_response: 500ms, unstable_seconds: 7}}")
    thresholds = load(file, {"DATAROBOT_API_TOKEN": "t"}).alerts.thresholds
    assert thresholds == {"starting_seconds": 1200.0, "p95_response": 0.5, "unstable_seconds": 7.0}
    expected = "alerts.thresholds (line 1): starting_seconds is not a duration; use one such as 30s, 5m or 1h30m"
    assert problems(tmp_path, "alerts: {thresholds: {starting_seconds: soon}}") == [expected]
    assert problems(tmp_path, "alerts: {thresholds: {degraded_ratio: 5m}}") == [
        "alerts.thresholds.degraded_ratio (line 1): must be a number"
    ]


PLACES = [
    *((name, None) for name in Settings.model_fields),
    *((name, inner) for name, field in Settings.model_fields.items() for kind in models_in(field.annotation)
      for inner in kind.model_fields),
]  # fmt: skip


@pytest.mark.parametrize("value", ["{a: {b: c}}", "[[1]]", "5", "true", "x", "null", "''", "-1"])
def test_no_message_names_a_type_of_python_or_of_a_library(tmp_path: Path, value: str) -> None:
    """Each setting, with a value that does not fit."""
    for section, name in PLACES:
        with suppress(BadSettings):  # some values fit
            loaded(tmp_path, f"{section}: {value if name is None else f'{{{name}: {value}}}'}")
            continue
        for message in problems(tmp_path, f"{section}: {value if name is None else f'{{{name}: {value}}}'}"):
            found = re.search(r"tuple|dict|frozenset|instance of|Input|String should|should have|valid string", message)
            assert found is None, message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("accounts: [", "invalid YAML: expected the node content"),
        ("- 1", "must be a mapping"),
        ("sweep: {interval: 0}", "sweep.interval (line 1): must be greater than"),
        ("sweep: {interval: 10m}", "sweep (line 1): stale_after (900s) is less than three times interval (600s)"),
        ("sweep: 5", "sweep (line 1): must contain settings"),
        ("accounts: []", "accounts (line 1): no accounts; add one"),
        ("accounts: [{}]", "accounts[0] (line 1): no token; set exactly one of token_file, token_env and token"),
        ("accounts: [{token: a, token_env: B}]", "accounts[0] (line 1): token_env and token; set exactly one"),
        ("accounts: [{token: a, endpoint: 'https://u:p@h'}]", "the URL contains a user name or password"),
        ("alerts: {status_url: 'exporter.test'}", "alerts.status_url (line 1): not a plain URL; use one such as"),
        ("alerts: {status_url: 'https://u:p@h/'}", "alerts.status_url (line 1): not a plain URL; use one such as"),
        ("alerts: {status_url: 'https://h/?a=b'}", "alerts.status_url (line 1): not a plain URL; use one such as"),
        ("alerts: {status_url: 'https://h/{{x}}'}", "alerts.status_url (line 1): not a plain URL; use one such as"),
        ("alerts: {trace_url: 'https://jaeger.test/search'}", "alerts.trace_url (line 1): not a URL with http:// or"),
        ("alerts: {trace_url: 'jaeger.test/{workload_id}'}", "and {workload_id} as the place of the id"),
        ("alerts: {trace_url: 'https://g.test/?q={a}&s={workload_id}'}", "write %20, %7B or %7D"),
        ("state: {path: a, url: 'postgresql://h/x'}", "state (line 1): path and url; set one of them"),
        ("state: {url: 'postgresql://u:s3cret@h/x'}", "state.url (line 1): the URL contains a password; set it with"),
        ("state: {url: 'postgresql://h/x?password=s3cret'}", "state.url (line 1): the URL contains a password"),
        ("state: {url: 'postgresql://u:s3/cret@h/x'}", "state.url (line 1): not a URL of PostgreSQL; use one such as"),
        (
            "state: {url: 'postgresql://u:s3?cret@h/x'}",
            "state.url (line 1): not a URL of PostgreSQL, or one with unesc",
        ),
        ("state: {url: 'postgresql://[s3cret/x'}", "state.url (line 1): not a valid URL; use one such as postgresql:"),
        ("state: {url: 'https://h/x'}", "state.url (line 1): not a URL of PostgreSQL; use one such as postgresql://ex"),
        ("state: {password: s3cret}", "state (line 1): a password without url; set url, or remove the password"),
        ("state: {url: 'postgresql://h', password: a, password_env: B}", "password_env and password; set exactly one"),
        ("state: {url: 'postgresql://h', password_file: /nowhere}", "state.password_file (line 1): /nowhere cannot be"),
        (
            "state: {url: 'postgresql://h', password_env: NOT_SET}",
            "state.password_env (line 1): NOT_SET is not set; it",
        ),
        (
            "state: {url: 'postgresql://h', on_trouble: set_aside}",
            "state (line 1): on_trouble: set_aside is for a file",
        ),
        ("web: {listen_address: [nowhere]}", "web.listen_address[0] (line 1): not HOST:PORT"),
        (
            "web: {telemetry_path: /-/healthy}",
            "web.telemetry_path (line 1): another page of the exporter has this path",
        ),
        (
            "web: {telemetry_path: /runbooks/metrics}",
            "web.telemetry_path (line 1): another page of the exporter has this path",
        ),
        (
            "web: {telemetry_path: /workloads/metrics}",
            "web.telemetry_path (line 1): another page of the exporter has this path",
        ),
        (
            "web: {telemetry_path: /workloads.csv}",
            "web.telemetry_path (line 1): another page of the exporter has this path",
        ),
        ("web: {telemetry_path: /sd}", "web.telemetry_path (line 1): another page of the exporter has this path"),
        ("web: {hosts: ['https://x.test/']}", "web.hosts[0] (line 1): not a host name; use one such as"),
        ("web: {hosts: ['x.test:1']}", "web.hosts[0] (line 1): not a host name; use one such as"),
        ("log:\n  level: info\n  level: warn", "log.level (line 3): duplicate key; keep one"),
        ("log: {level: loud}", "log.level (line 1): must be 'debug', 'info', 'warn' or 'error'"),
    ],
)
def test_each_error_has_a_message(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in "\n".join(problems(tmp_path, text))


def test_a_missing_token_is_reported_with_its_variable() -> None:
    with pytest.raises(BadSettings, match="environment: DATAROBOT_API_TOKEN is not set"):
        load(None, {})


def test_a_bad_endpoint_is_reported_with_its_variable() -> None:
    with pytest.raises(BadSettings, match="DATAROBOT_ENDPOINT: not a URL"):
        load(None, {"DATAROBOT_ENDPOINT": "dr.test", "DATAROBOT_API_TOKEN": "s3cret"})


def test_an_unreadable_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="cannot be read: No such file"):
        load(tmp_path / "none.yaml", ENVIRONMENT)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://",
        "postgresql:///exporter",
        "postgres://exporter@h/x?sslmode=verify-full&options=-csearch_path%3Da",
        "postgresql://exporter@h:1,[::1]:2,%2Frun%2Fpostgresql/x?target_session_attrs=read-write",
    ],
)
def test_the_state_may_be_in_a_database_with_any_url_of_libpq(tmp_path: Path, url: str) -> None:
    state = loaded(tmp_path, "{}", state__url=url, state__password_file=__file__).state
    assert (state.url, state.path, [*state.secret_files]) == (url, None, [Path(__file__)])


def test_no_dump_repr_or_error_contains_a_secret(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "accounts: [{token: s3cret}]")
    assert settings.accounts[0].token_source()() == "s3cret"
    assert "s3cret" not in settings.dump() + repr(settings) + repr(settings.accounts[0].token_source())
    assert yaml.safe_load(settings.dump())["accounts"][0]["token"] == "**********"
    expected = problems(tmp_path, "accounts: [{token: {s3cret: s3cret}}]")
    assert "s3cret" not in "".join(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("accounts: [{token: *s3cret}]", "exporter.yaml (line 1): invalid YAML: found undefined alias ***"),
        ("accounts: [{token: !s3cret x}]", "invalid YAML: could not determine a constructor for the tag ***"),
        (
            "accounts: [{endpoint: 'https://u:s3cret/x@h'}]",
            "accounts[0].endpoint (line 1): not a valid URL",
        ),
        ("traces: {headers: {'authorization: s3cret': x}}", "the name of header 1 has characters that are not allowed"),
        ("traces: {endpoint: 'http://h', headers: 'authorization: Basic s3cret=='}", "the name of header 1 has char"),
    ],
)
def test_an_error_about_a_secret_does_not_quote_it(tmp_path: Path, text: str, expected: str) -> None:
    (problem,) = problems(tmp_path, text)
    assert expected in problem
    assert "s3cret" not in problem


def test_a_changed_token_file_is_read_again_and_an_absent_one_keeps_its_value(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one\n")
    token = loaded(tmp_path, f"accounts: [{{token_file: {file}}}]").accounts[0].token_source()
    state = [token()]
    file.write_text("second\n")
    state.append(token())
    assert secret_files.read_all() >= {file}
    state.append(token())
    assert file not in secret_files.read_all()
    file.unlink()
    assert file not in secret_files.read_all()
    state.append(token())
    assert state == ["one", "one", "second", "second"]


@pytest.mark.parametrize(
    "endpoint", ["https://app.test", "https://app.test/", "https://app.test/api/v2", " https://app.test/api/v2/ "]
)
def test_an_endpoint_may_omit_its_path(endpoint: str) -> None:
    assert base_url(endpoint) == "https://app.test/api/v2"


def test_a_url_of_traces_may_have_its_braces_encoded(tmp_path: Path) -> None:
    url = "https://jaeger.test/search?tags=%7B%22datarobot.workload.id%22:%22{workload_id}%22%7D"
    assert loaded(tmp_path, f"accounts: [{{token: a}}]\nalerts: {{trace_url: '{url}'}}").alerts.options.traces == url


def test_the_url_of_the_exporter_may_have_a_path_and_end_with_a_slash(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "accounts: [{token: a}]\nalerts: {status_url: 'https://h.test:8443/exporter/'}")
    assert settings.alerts.options.status == "https://h.test:8443/exporter"


def test_the_origin_of_the_endpoint_identifies_an_installation(tmp_path: Path) -> None:
    (account,) = loaded(tmp_path, "accounts: [{token: a, endpoint: 'https://App.test:8443/dr/api/v2'}]").accounts
    assert account.origin == "https://app.test:8443"


@pytest.mark.parametrize(
    ("given", "expected"),
    [("127.0.0.1:1", ("127.0.0.1", 1)), (":10142", ("", 10142)), ("[::1]:9", ("::1", 9)), ("host:80", ("host", 80))],
)
def test_an_address_is_host_and_port(given: str, expected: tuple[str, int]) -> None:
    assert listen_address(given) == expected


@pytest.mark.parametrize("given", ["", "host", "host:", "host:http", "host:65536", "::1:80"])
def test_an_invalid_address_is_rejected(given: str) -> None:
    with pytest.raises(ValueError, match="not HOST:PORT"):
        listen_address(given)


@pytest.mark.parametrize(
    ("given", "expected"), [("30s", 30.0), ("1h30m", 5400.0), ("500ms", 0.5), ("1.5m", 90.0), (7, 7), ("2d", 172800.0)]
)
def test_durations_use_the_notation_of_prometheus(given: object, expected: float) -> None:
    assert seconds(given) == expected


COLLECTOR = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318/"}


def test_without_an_endpoint_there_are_no_traces_and_other_variables_are_ignored() -> None:
    settings = load(None, ENVIRONMENT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json", "OTEL_SERVICE_NAME": "x"})
    assert settings.traces == Settings.model_validate({}).traces
    assert settings.traces.endpoint == ""


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        (COLLECTOR, {"endpoint": "http://collector:4318", "path": "/v1/traces", "protocol": "http/protobuf"}),
        (
            COLLECTOR | {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://dr.test/otel/v1/traces"},
            {"endpoint": "https://dr.test/otel/v1/traces", "path": ""},
        ),
        (COLLECTOR | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, {"protocol": "grpc"}),
        (COLLECTOR | {"OTEL_EXPORTER_OTLP_TIMEOUT": "2500"}, {"timeout": 2.5}),
        (
            COLLECTOR | {"OTEL_EXPORTER_OTLP_TIMEOUT": "1", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "3000"},
            {"timeout": 3.0},
        ),
        (COLLECTOR | {"OTEL_EXPORTER_OTLP_COMPRESSION": "none"}, {"compression": "none"}),
        (COLLECTOR | {"OTEL_EXPORTER_OTLP_CERTIFICATE": __file__}, {"certificate": Path(__file__)}),
        (
            COLLECTOR | {"OTEL_RESOURCE_ATTRIBUTES": "team=a%2Cb, service.name=exporter,k8s.pod.name=exporter-0"},
            {"resource": {"team": "a,b"}},
        ),
        (COLLECTOR | {"OTEL_SDK_DISABLED": "True"}, {"endpoint": ""}),
        (COLLECTOR | {"OTEL_TRACES_EXPORTER": "none"}, {"endpoint": ""}),
        (COLLECTOR | {"OTEL_EXPORTER_OTLP_PROTOCOL": " "}, {"protocol": "http/protobuf"}),
    ],
)
def test_the_variables_of_opentelemetry_are_used(variables: dict[str, str], expected: dict[str, object]) -> None:
    traces = load(None, ENVIRONMENT | variables).traces
    assert {name: getattr(traces, name) for name in expected} == expected


def test_the_file_overrides_each_variable_of_opentelemetry(tmp_path: Path) -> None:
    text = "traces: {endpoint: 'https://mine.test', timeout: 4s, environment: prod, resource_attributes: {n: 1}}"
    others = {
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://other:4318/x",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "9000",
        "OTEL_EXPORTER_OTLP_HEADERS": "X-Api-Key=s3%3Dcret,tenant = a",
    }
    traces = loaded(tmp_path, text, ENVIRONMENT | others).traces
    assert (traces.endpoint, traces.path, traces.timeout) == ("https://mine.test", "/v1/traces", 4.0)
    assert traces.resource == {"n": 1, "deployment.environment.name": "prod"}
    assert {name: value.get_secret_value() for name, value in traces.headers.items()} == {
        "x-api-key": "s3=cret",
        "tenant": "a",
    }
    dump = loaded(tmp_path, text, ENVIRONMENT | others).dump()
    assert "s3" not in dump
    assert yaml.safe_load(dump)["traces"]["headers"]["x-api-key"] == "**********"
    off = loaded(tmp_path, "traces: {endpoint: ''}", ENVIRONMENT | others).traces
    assert off.endpoint == ""


def test_all_bad_variables_of_opentelemetry_are_reported_at_once_by_name() -> None:
    variables = {
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "collector:4317",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json",
        "OTEL_EXPORTER_OTLP_HEADERS": "s3cret",
        "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "soon",
        "OTEL_EXPORTER_OTLP_CERTIFICATE": "/nowhere/ca.pem",
    }
    with pytest.raises(BadSettings) as raised:
        load(None, ENVIRONMENT | variables)
    expected = sorted(map(str, raised.value.problems))
    assert expected == [
        "OTEL_EXPORTER_OTLP_CERTIFICATE: /nowhere/ca.pem cannot be read: No such file or directory; "
        "check path and permissions",
        "OTEL_EXPORTER_OTLP_HEADERS: not name=value pairs separated by commas",
        "OTEL_EXPORTER_OTLP_PROTOCOL: must be 'http/protobuf' or 'grpc'",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: not a URL with http:// or https:// and a host; use one such as "
        "http://collector:4318",
        "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT: not a duration; use one such as 30s, 5m or 1h30m",
    ]


def test_invalid_resource_attributes_of_opentelemetry_are_logged_and_ignored(caplog: pytest.LogCaptureFixture) -> None:
    given = "=x,team=a,, nonsense ,k8s.pod.name=p, env = prod "
    traces = load(None, ENVIRONMENT | COLLECTOR | {"OTEL_RESOURCE_ATTRIBUTES": given}).traces
    assert traces.resource == {"team": "a", "env": "prod"}
    (expected,) = caplog.records
    assert (expected.message, expected.__dict__["fields"]) == (
        "ignored invalid pairs in OTEL_RESOURCE_ATTRIBUTES",
        {"pairs": 2},
    )


def test_disabling_opentelemetry_overrides_the_file(tmp_path: Path) -> None:
    text = "traces: {endpoint: 'https://mine.test'}"
    assert loaded(tmp_path, text, ENVIRONMENT | {"OTEL_SDK_DISABLED": "true"}).traces.endpoint == ""
    assert loaded(tmp_path, text, ENVIRONMENT | {"OTEL_TRACES_EXPORTER": "none"}).traces.endpoint != ""


@pytest.mark.parametrize("path", ["/v1/traces?api_key=s3cret", "/v1#s3cret"])
def test_a_path_with_a_query_or_fragment_is_rejected(tmp_path: Path, path: str) -> None:
    with pytest.raises(BadSettings) as raised:
        loaded(tmp_path, f"traces: {{endpoint: 'https://mine.test', path: '{path}'}}")
    (problem,) = map(str, raised.value.problems)
    assert problem.startswith("traces.path")
    assert "the path has a query or fragment" in problem
    assert "s3cret" not in problem


METRICS = "OTEL_EXPORTER_OTLP_METRICS"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        (COLLECTOR, {"endpoint": ""}),  # most people scrape: it is meant for traces
        (COLLECTOR | {"OTEL_METRICS_EXPORTER": "otlp"}, {"endpoint": "http://collector:4318", "path": "/v1/metrics"}),
        ({f"{METRICS}_ENDPOINT": "https://m.test/x"}, {"endpoint": "https://m.test/x", "path": ""}),
        ({f"{METRICS}_ENDPOINT": "https://m.test/x", "OTEL_METRICS_EXPORTER": "none"}, {"endpoint": ""}),
        ({f"{METRICS}_ENDPOINT": "https://m.test/x", "OTEL_SDK_DISABLED": "true"}, {"endpoint": ""}),
        (
            {
                f"{METRICS}_ENDPOINT": "https://m.test/x",
                "OTEL_METRIC_EXPORT_INTERVAL": "15000",
                f"{METRICS}_TEMPORALITY_PREFERENCE": "DELTA",
                f"{METRICS}_TIMEOUT": "2000",
                "OTEL_RESOURCE_ATTRIBUTES": "team=a,host.name=h",
            },
            {"interval": 15.0, "temporality": "delta", "timeout": 2.0,
             "resource_attributes": {"team": "a", "host.name": "h"}},
        ),
    ],
)  # fmt: skip
def test_the_push_of_metrics_follows_the_variables_of_opentelemetry(
    variables: dict[str, str], expected: dict[str, Any]
) -> None:
    push = load(None, ENVIRONMENT | variables).metrics.otlp
    assert {name: getattr(push, name) for name in expected} == expected


def test_the_file_configures_the_push_of_metrics_before_the_variables(tmp_path: Path) -> None:
    text = "metrics: {otlp: {endpoint: 'https://mine.test', interval: 30s, headers: {k: s3cret}}}"
    variables = {f"{METRICS}_ENDPOINT": "https://m.test/x", "OTEL_METRIC_EXPORT_INTERVAL": "15000"}
    settings = loaded(tmp_path, text, ENVIRONMENT | variables)
    push = settings.metrics.otlp
    assert (push.endpoint, push.path, push.interval) == ("https://mine.test", "/v1/metrics", 30.0)
    assert "s3cret" not in settings.dump()
    assert "s3cret" in [each.read() for each in settings.secrets({})]
    assert loaded(tmp_path, text, ENVIRONMENT | {"OTEL_SDK_DISABLED": "true"}).metrics.otlp.endpoint == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("endpoint: 'http://u:p@h'", "metrics.otlp.endpoint (line 1): the URL contains a user name or password"),
        ("endpoint: 'https://app.datarobot.com'", "metrics.otlp.endpoint (line 1): app.datarobot.com is DataRobot"),
        ("certificate: /nowhere", "metrics.otlp.certificate (line 1): /nowhere cannot be read: No such file"),
        ("interval: 0.5", "metrics.otlp.interval (line 1): must be greater than or equal to 1"),
        ("temporality: rate", "metrics.otlp.temporality (line 1): must be 'cumulative' or 'delta'"),
    ],
)
def test_each_error_about_the_push_of_metrics_has_a_message(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in "\n".join(problems(tmp_path, f"metrics: {{otlp: {{{text}}}}}"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("endpoint: 'http://u:p@h'", "traces.endpoint (line 1): the URL contains a user name or password; set secrets"),
        (
            "headers: {a b: x}",
            "traces.headers (line 1): the name of header 1 has characters that are not allowed in header",
        ),
        ('headers: {key: "s3cret\\n"}', "the value of key has characters that are not allowed in headers"),
        ("client_key: settings.py", "traces (line 1): client_key without client_certificate"),
        ("kinds: [started]", "traces.kinds[0] (line 1): must be 'start', 'stop', 'failure', 'replacement' or"),
        ("sample_ratio: 1.5", "traces.sample_ratio (line 1): must be less than or equal to 1"),
        ("service_name: '{workload}'", "traces.service_name (line 1): only {id} and {name} may be in braces"),
        ("max_age: 31d", "traces.max_age (line 1): must be less than or equal to 2592000"),
        ("certificate: /nowhere", "traces.certificate (line 1): /nowhere cannot be read: No such file"),
    ],
)
def test_each_error_about_traces_has_a_message(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in "\n".join(problems(tmp_path, f"traces: {{{text}}}"))
    assert "s3cret" not in "".join(problems(tmp_path, f"traces: {{{text}}}"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("labels: {team: ml, workload: x}", "alerts already have the label 'workload'; choose another name"),
        ("labels: {alertname: x}", "alerts already have the label 'alertname'"),
        ("labels: {account: x}", "alerts already have the label 'account'"),
        ("labels: {workload_id: x}", "alerts already have the label 'workload_id'"),
        ("labels: {component: x}", "alerts already have the label 'component'"),
        ("labels: {job: x}", "alerts already have the label 'job'"),
        ("labels: {severity: x}", "alerts already have the label 'severity'"),
        ("severity_label: level, labels: {level: x}", "alerts already have the label 'level'"),
    ],
)
def test_a_label_that_identifies_alerts_cannot_be_set(tmp_path: Path, text: str, expected: str) -> None:
    (problem,) = problems(tmp_path, f"accounts: [{{token: a}}]\nalerts: {{{text}}}")
    assert problem.startswith(f"alerts.labels (line 2): {expected}")


def test_other_labels_may_be_set_on_every_alert(tmp_path: Path) -> None:
    text = "accounts: [{token: a}]\nalerts: {severity_label: level, labels: {team: ml, severity: x}}"
    assert loaded(tmp_path, text).alerts.options.labels == {"team": "ml", "severity": "x"}


RECEIVERS = """
paging:
  who: direct
  receivers:
  - {name: on-call, kind: pagerduty, routing_key_file: KEY, severities: [critical], importance: [high], changes: true}
  - name: team
    kind: slack
    webhook_url: https://hooks.slack.test/services/s3cret
    accounts: [default]
    tags: [team=claims, beta]
    quiet_hours: ["22:00-07:00", "12:00-24:00"]
    send_resolved: false
  - {name: am, kind: alertmanager, urls: ["http://am:9093/"], headers: {Authorization: Bearer s3cret}}
  - {name: dead-man, kind: webhook, url_env: DEAD_MAN, alerts: [DataRobotWatchdog], repeat_interval: 1m}
"""


def test_receivers_have_a_routing_rule_and_an_address(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("k" * 32 + "\n")
    environment = ENVIRONMENT | {"DEAD_MAN": "https://s3cret.test"}
    settings = loaded(tmp_path, RECEIVERS.replace("KEY", str(key)), environment)
    pagerduty, slack, alertmanager, webhook = settings.paging.receivers
    all_of_them = frozenset({"critical", "warning", "info", "none"})
    assert pagerduty.wants() == Wants(frozenset({"critical"}), importance=frozenset({"high"}))
    assert slack.wants("level") == Wants(
        frozenset({"critical", "warning"}),
        accounts=frozenset({"default"}),
        tags={"team": "claims", "beta": None},
        quiet=((79200, 25200), (43200, 0)),
        resolved=False,
        severity_label="level",
    )
    assert alertmanager.wants() == Wants(all_of_them)
    assert webhook.wants() == Wants(all_of_them, alerts=frozenset({"DataRobotWatchdog"}))
    assert [each.repeat_interval for each in settings.paging.receivers] == [0.0, 0.0, 60.0, 60.0]
    assert pagerduty.source("routing_key")() == "k" * 32
    assert webhook.source("url", environment)() == "https://s3cret.test"
    assert webhook.source("hmac_secret")() == ""
    assert "s3cret" not in settings.dump() + repr(settings) + repr(pagerduty.source("routing_key"))


def test_all_errors_about_receivers_are_reported_at_once_with_their_places(tmp_path: Path) -> None:
    text = """
paging:
  receivers:
  - {name: a, kind: slak}
  - {name: b}
  - name: c
    kind: slack
    webhok_url: s3cret
  - {name: d, kind: slack, webhook_url: s3cret}
  - {name: d, kind: webhook, url_env: NOT_SET, hmac_secret_file: /nowhere, alerts: [DataRobotWatchdo]}
  - {name: e, kind: pagerduty, routing_key: s3cret, url: 'http://x', quiet_hours: ['22-07', '00:00-24:00']}
  - {name: f, kind: webhook, url: https://x, hmac_secret: s3cret, hmac_secret_env: s3cret}
  - {name: g, kind: alertmanager, urls: ['http://am/?x=1'], repeat_interval: 2m}
  - {name: h, kind: alertmanager, urls: ['http://am'], quiet_hours: ['22:00-07:00']}
"""
    expected = problems(tmp_path, text)
    here = [problem.removeprefix("paging.receivers") for problem in expected]
    assert here == [
        "[0] (line 4): set kind to one of alertmanager, apprise, pagerduty, slack, webhook",
        "[1] (line 5): set kind to one of alertmanager, apprise, pagerduty, slack, webhook",
        "[2].webhok_url (line 8): unknown setting; did you mean webhook_url?",
        "[3].webhook_url (line 9): not a URL with http:// or https:// and a host",
        "[4].alerts (line 10): no alert is called 'DataRobotWatchdo'; did you mean 'DataRobotWatchdog'?",
        "[5].quiet_hours[0] (line 11): not a period of the day; use one such as 22:00-07:00, in UTC",
        "[5].quiet_hours[1] (line 11): the period is empty; use one such as 22:00-07:00, in UTC",
        "[5].routing_key (line 11): not an integration key of Events API v2, which has 32 letters and digits",
        "[5].url (line 11): not a URL of Events API v2; use one such as https://events.eu.pagerduty.com/v2/enqueue",
        "[6] (line 12): hmac_secret_env and hmac_secret; set exactly one of hmac_secret_file, hmac_secret_env and "
        "hmac_secret",
        "[7].repeat_interval (line 13): must be less than or equal to 60",
        "[7].urls[0] (line 13): the URL has a query or fragment; use one such as http://alertmanager:9093",
        "[8] (line 14): an Alertmanager receives all alerts; remove quiet_hours and send_resolved here, and set "
        "mute_time_intervals and send_resolved in its configuration",
        "[4].name (line 10): another receiver is also called 'd'; choose another name",
        "[4].url_env (line 10): NOT_SET is not set; it must contain the url",
        "[4].hmac_secret_file (line 10): /nowhere cannot be read: No such file or directory; "
        "check path and permissions",
        "[6].hmac_secret_env (line 12): s3cret is not set; it must contain the hmac_secret",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("who: direct", "paging (line 1): who is direct, but there are no receivers; add one, or set who to rules"),
        ("who: me", "paging.who (line 1): must be 'rules', 'direct' or 'both'"),
        (
            "receivers: [{name: a, kind: slack, webhook_url: https://x, accounts: [defalt]}]",
            "paging.receivers[0].accounts (line 1): no account is called 'defalt'; did you mean 'default'?",
        ),
        (
            "receivers: [{name: a, kind: webhook, url: 'https://u:s3cret@APP.datarobot.com/s3cret'}]",
            "paging.receivers[0] (line 1): app.datarobot.com is DataRobot, which only gets GET requests",
        ),
    ],
)
def test_each_error_about_paging_has_a_message(tmp_path: Path, text: str, expected: str) -> None:
    found = problems(tmp_path, f"paging: {{{text}}}")
    assert [each[: len(expected)] for each in found] == [expected]


def test_datarobot_is_rejected_as_a_collector() -> None:
    endpoint = "https://dr.test/otel"
    with pytest.raises(BadSettings) as raised:
        load(None, ENVIRONMENT | {"DATAROBOT_ENDPOINT": "https://dr.test", "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint})
    assert [str(problem) for problem in raised.value.problems] == [
        "OTEL_EXPORTER_OTLP_ENDPOINT: dr.test is DataRobot, which only gets GET requests; use the URL of a collector"
    ]


# -- YAML


def in_yaml(tmp_path: Path, text: str) -> Any:
    """What a file says of its one key."""
    file = tmp_path / "any.yaml"
    file.write_text(f"key: {text}\n")
    problems: list[Problem] = []
    values, _ = read(file, problems)
    assert problems == []
    return values["key"]


@pytest.mark.parametrize(
    "text", ["yes", "no", "on", "off", "Y", "n", "On", "1:30", "2024-01-01", "0b11", "1_000", "=", "tRue", "0o9"]
)
def test_values_that_only_yaml_1_1_converts_are_text(tmp_path: Path, text: str) -> None:
    assert in_yaml(tmp_path, text) == text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("012", 12),
        ("0o14", 12),
        ("0x1F", 31),
        ("-3", -3),
        ("+5", 5),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("-.inf", float("-inf")),
        ("'1'", "1"),
        ('"true"', "true"),
        ("!!str 1", "1"),
    ],
)
def test_booleans_nulls_and_numbers_follow_the_core_schema_of_yaml_1_2(
    tmp_path: Path, text: str, value: object
) -> None:
    given = in_yaml(tmp_path, text)
    assert (given, type(given)) == (value, type(value))


def test_a_merge_key_still_merges(tmp_path: Path) -> None:
    text = "accounts:\n- &eu {name: eu, token: a, timeout: 5s}\n- {<<: *eu, name: us}"
    assert [(each.name, each.timeout) for each in loaded(tmp_path, text).accounts] == [("eu", 5.0), ("us", 5.0)]


def test_a_note_of_an_unknown_alert_is_an_error_with_a_suggestion(tmp_path: Path) -> None:
    good = "alerts: {notes: {default: 'Ask #ml.', DataRobotWatchdog: 'x'}, owner_tags: [owner, team]}"
    good = f"accounts: [{{token: a}}]\n{good}"
    options = loaded(tmp_path, good).alerts.options
    assert (options.notes, options.owner_tags) == ({"default": "Ask #ml.", "DataRobotWatchdog": "x"}, ("owner", "team"))
    bad = "accounts: [{token: a}]\nalerts: {notes: {DataRobotWatchdo: x}}"
    assert problems(tmp_path, bad) == [
        "alerts.notes (line 2): no alert is called 'DataRobotWatchdo'; did you mean 'DataRobotWatchdog'?"
    ]


def test_alerts_have_keys_named_on_and_off(tmp_path: Path) -> None:
    text = "alerts: {on: [DataRobotWorkloadTrafficStopped], off: [DataRobotImportantOnDraft]}"
    alerts = loaded(tmp_path, text).alerts
    assert (alerts.on, alerts.off) == (("DataRobotWorkloadTrafficStopped",), ("DataRobotImportantOnDraft",))


@pytest.mark.parametrize("quoted", ["{}", "'{}'"])
@pytest.mark.parametrize(
    ("word", "value"), [("yes", True), ("on", True), ("no", False), ("off", False), ("true", True)]
)
def test_a_boolean_setting_accepts_the_words_of_yaml_1_1(tmp_path: Path, quoted: str, word: str, value: bool) -> None:
    assert loaded(tmp_path, f"traces: {{crashes: {quoted.format(word)}}}").traces.crashes is value


def test_a_key_that_is_not_text_is_reported_with_its_line(tmp_path: Path) -> None:
    text = "alerts:\n  labels:\n    1: a\n    true: b\n    null: c\n    1.5: d\n    ? [x]\n    : e\n    team: ml\n"
    assert problems(tmp_path, text) == [
        "alerts.labels.1 (line 3): a key must be text, but 1 is a number; quote it",
        "alerts.labels.true (line 4): a key must be text, but true is a boolean; quote it",
        "alerts.labels.null (line 5): a key must be text, but null is null; quote it",
        "alerts.labels.1.5 (line 6): a key must be text, but 1.5 is a number; quote it",
        "alerts.labels (line 7): a key must be text, not a list or a mapping",
    ]


@pytest.mark.parametrize(
    "text", ["!!bool maybe", "!!int {a: 1}", "!!float x", "!!timestamp 2024-01-01", "!!set {a}", "9" * 5000]
)
def test_a_value_that_does_not_fit_its_tag_is_reported_with_its_line(tmp_path: Path, text: str) -> None:
    (problem,) = problems(tmp_path, f"log:\n  level: {text}")
    assert "exporter.yaml (line 2): invalid YAML: " in problem


def test_generated_yaml_is_quoted_for_readers_of_yaml_1_1(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "accounts: [{token: a}]\nalerts: {labels: {team: on, shift: '1:30', on: '012'}}")
    for written in (settings.dump(), rules_page(settings.alerts.options)):
        for text in ("team: 'on'", "shift: '1:30'", "'on': '012'"):
            assert text in written


# -- bounds

PARTS = vars(Settings.model_validate({})).values()
SECTIONS: list[type[BaseModel]] = [
    AccountSettings,
    *KINDS,
    *(type(part) for part in PARTS if isinstance(part, BaseModel)),
]
UNBOUNDED = {"thresholds", "resource_attributes"}
"""Numbers that are neither waited for nor allocated, but compared or sent on."""


@pytest.mark.parametrize("huge", [1e300, 10**400], ids=["a float", "an int"])
@pytest.mark.parametrize(
    ("section", "name"),
    [(section, name) for section in SECTIONS for name in sorted({*section.model_fields} - UNBOUNDED)],
)
def test_every_number_has_an_upper_bound(section: type[BaseModel], name: str, huge: float) -> None:
    for given in (huge, [huge], {"DataRobotWatchdog": huge}):
        with pytest.raises(ValidationError) as raised:
            section.model_validate({name: given})
        assert name in {error["loc"][0] for error in raised.value.errors()}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("sweep: {interval: 1e15, stale_after: 366d}", "sweep.interval (line 1): too long; the maximum is 366d"),
        ("sweep: {stale_after: 367d}", "sweep.stale_after (line 1): too long; the maximum is 366d"),
        (
            "alerts: {wait: {DataRobotWatchdog: 53w}}",
            "alerts.wait.DataRobotWatchdog (line 1): too long; the maximum is 366d",
        ),
        ("accounts: [{token: a, timeout: 1e9}]", "accounts[0].timeout (line 1): too long; the maximum is 366d"),
        ("select: {shard: 0/10001}", "select.shard (line 1): too many shards; the maximum is 10000"),
        ("costs: {idle_after: 367d}", "costs.idle_after (line 1): too long; the maximum is 366d"),
        (
            "costs: {bundles: {gpu.small: 1e7}}",
            "costs.bundles.gpu.small (line 1): must be less than or equal to 1000000",
        ),
        (
            "alerts: {thresholds: {requests: .inf}}",
            "alerts.thresholds.requests (line 1): must be a finite number",
        ),
    ],
)
def test_values_beyond_their_bounds_are_reported_with_their_place(tmp_path: Path, text: str, problem: str) -> None:
    assert problems(tmp_path, text) == [problem]


def test_prices_are_read_by_bundle(tmp_path: Path) -> None:
    given = "costs: {currency: USD, bundles: {cpu.small: 0.08, gpu.l4: 3}, idle_after: 2d, min_history: 0}"
    assert loaded(tmp_path, given).costs.policy == Costs("USD", {"cpu.small": 0.08, "gpu.l4": 3.0}, 2 * 86400.0, 0.0)
    assert loaded(tmp_path, "").costs.policy == Costs("EUR", {}, 3 * 86400.0, 86400.0)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("costs: {currency: euro}", "costs.currency (line 1): not a currency; use its three letters, such as EUR"),
        ("costs: {bundles: {a: -1}}", "costs.bundles.a (line 1): must be greater than or equal to 0"),
        ("costs: {bundles: {a: .nan}}", "costs.bundles.a (line 1): must be a finite number"),
        ("costs: {bundles: {'': 1}}", "costs.bundles..[key] (line 1): must not be empty"),
        ("costs: {bundles: [a]}", "costs.bundles (line 1): must contain settings, such as `name: value`; "
         "remove it to use the defaults"),
        ("costs: {idle_after: 0}", "costs.idle_after (line 1): must be greater than 0"),
        ("costs: {prices: {a: 1}}", "costs.prices (line 1): unknown setting; "
         "possible: currency, bundles, idle_after, min_history"),
    ],
)  # fmt: skip
def test_bad_prices_are_reported_with_their_place(tmp_path: Path, text: str, problem: str) -> None:
    assert problems(tmp_path, text) == [problem]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "metrics: {tags: [te*, env]}\nalerts: {tag_labels: [Team, zone]}",
            "alerts.tag_labels[1] (line 2): metrics.tags does not select the tag 'zone'; add it there",
        ),
        (
            "metrics: {tags: [team]}\nalerts: {tag_labels: [team], labels: {tag_team: x}}",
            "alerts.tag_labels[0] (line 2): alerts.labels or alerts.severity_label already set the label 'tag_team'",
        ),
        ("alerts: {tag_labels: ['te*']}", "alerts.tag_labels (line 1): 'te*' contains *; name each tag"),
        (
            "metrics: {tags: [team, a*b*c*]}",
            "metrics.tags[1] (line 1): a name may contain * twice at most",
        ),
    ],
)
def test_tags_that_cannot_become_labels_are_reported_with_their_place(tmp_path: Path, text: str, problem: str) -> None:
    assert problems(tmp_path, text) == [problem]


def test_labels_of_alerts_from_tags_have_the_names_of_those_in_metrics(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "metrics: {tags: [team, 'cost-*']}\nalerts: {tag_labels: [Team, cost-center, team]}")
    assert settings.alerts.options.tag_labels == ("tag_team", "tag_cost_center")


def test_a_year_is_a_valid_duration(tmp_path: Path) -> None:
    assert loaded(tmp_path, "sweep: {interval: 122d, stale_after: 366d}").sweep.stale_after == 366 * 86400.0


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("sweep: &a\n  interval: *a\n", 1),
        ("&a\naccounts: *a\n", 1),
        ("log: {level: info}\nalerts: {labels: &x [1, *x]}\n", 2),
        ("a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
            f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in itertools.pairwise("abcdefgh")), None),
        ("[" * 100_000, None),
    ],
    ids=["section", "root", "list", "repeated", "deep"],
)  # fmt: skip
def test_yaml_that_has_no_end_or_hardly_one_is_reported(text: str, line: int | None, tmp_path: Path) -> None:
    problems: list[Problem] = []
    (tmp_path / "e.yaml").write_text(text)
    assert read(tmp_path / "e.yaml", problems) == ({}, {})
    (problem,) = problems
    assert problem.what.startswith("invalid YAML: ")
    assert line is None or problem.line == line


def test_a_section_without_settings_has_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "e.yaml"
    file.write_text("sweep:\n  # interval: 60s\ntraces: ~\nweb:\npaging:\nalerts:\nselect:\n")
    assert load(file, {"DATAROBOT_API_TOKEN": "t"}) == load(None, {"DATAROBOT_API_TOKEN": "t"})


@pytest.mark.parametrize("section", ["sweep", "traces", "web"])
def test_a_value_in_place_of_a_section_is_reported_in_plain_words(section: str, tmp_path: Path) -> None:
    file = tmp_path / "e.yaml"
    file.write_text(f"# comment\n{section}: [1]\n")
    with pytest.raises(BadSettings) as caught:
        load(file, {"DATAROBOT_API_TOKEN": "t"})
    what = "must contain settings, such as `name: value`; remove it to use the defaults"
    assert caught.value.problems == [Problem(section, what, 2)]


@pytest.mark.parametrize("expression", ["(", "(" * 5000, "a{9999}{9999}", "(?=a)", r"(a)\1", "[z-a]"])
def test_an_expression_for_names_is_checked_by_the_engine_that_uses_it(expression: str, tmp_path: Path) -> None:
    file = tmp_path / "e.yaml"
    file.write_text(yaml.safe_dump({"select": {"name": expression}}))
    with pytest.raises(BadSettings) as caught:
        load(file, {"DATAROBOT_API_TOKEN": "t"})
    (problem,) = caught.value.problems
    assert problem.place == "select.name"
    assert problem.what.startswith("not a regular expression in the syntax of Prometheus: ")
    assert len(problem.what) < 200


@pytest.mark.parametrize(
    ("given", "prefix"),
    [
        ({}, "alerts/runbooks/"),
        ({"status_url": "https://exporter.test"}, "https://exporter.test/runbooks/"),
        ({"status_url": "https://exporter.test", "runbook_url": "https://docs.test/"}, "https://docs.test/"),
    ],
)
def test_links_to_runbooks_lead_to_the_exporter_if_its_address_is_known_and_no_other_place_is_set(
    given: dict[str, str], prefix: str
) -> None:
    assert AlertSettings.model_validate(given).options.runbooks == prefix
