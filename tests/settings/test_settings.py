"""Settings: what is read, from where, and what is said about every mistake at once."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from exporter.alerting.routing import Wants
from exporter.docs import rules_page
from exporter.settings.accounts import AccountSettings
from exporter.settings.loader import load
from exporter.settings.model import Settings
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


def test_the_two_variables_of_datarobot_users_are_enough() -> None:
    settings = load(None, {"DATAROBOT_ENDPOINT": "https://dr.test/", "DATAROBOT_API_TOKEN": "s3cret"})
    (account,) = settings.accounts
    assert (account.name, account.endpoint) == ("default", "https://dr.test/api/v2")
    assert account.token_source({"DATAROBOT_API_TOKEN": " s3cret\n"})() == "s3cret"
    assert settings.web.listen_address == ("127.0.0.1:10142",)


def test_a_file_names_several_accounts_and_wins_over_the_environment(tmp_path: Path) -> None:
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


def test_a_flag_wins_over_the_file(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "web: {telemetry_path: /file}", web__telemetry_path="/flag")
    assert settings.web.telemetry_path == "/flag"


def test_every_problem_is_told_at_once_with_its_line_and_a_remedy(tmp_path: Path) -> None:
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
    told = problems(tmp_path, text, web__telemetry_path="metrics")
    assert told[0] == "accounts[0].endpont (line 3): unknown setting; did you mean endpoint?"
    assert told[1].startswith("accounts[1].endpoint (line 6): no URL with http:// or https:// and a host; give one")
    assert told[2] == "sweep.interval (line 10): give a duration such as 30s, 5m or 1h30m"
    assert told[3].startswith("--web.telemetry-path: String should match pattern")
    assert told[4] == "swep (line 8): unknown setting; did you mean sweep?"
    assert told[5] == "accounts[0].token_env (line 4): EU_TOKEN is not set; put the API token into it"
    assert told[6] == "accounts[1].name (line 5): 'eu' is taken by another account; give each its own name"
    assert told[7].startswith("accounts[1].token_file (line 7): /nowhere/token cannot be read: No such file")
    assert len(told) == 8


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("accounts: [", "no YAML: expected the node content"),
        ("- 1", "must hold a mapping"),
        ("sweep: {interval: 0}", "sweep.interval (line 1): Input should be greater than"),
        ("sweep: {interval: 10m}", "sweep (line 1): stale_after (900s) is below three times interval (600s)"),
        ("sweep: 5", "sweep (line 1): Input should be"),
        ("accounts: []", "accounts (line 1): no account; list at least one"),
        ("accounts: [{}]", "accounts[0] (line 1): no token; give exactly one of token_file, token_env and token"),
        ("accounts: [{token: a, token_env: B}]", "accounts[0] (line 1): token_env and token; give exactly one"),
        ("accounts: [{token: a, endpoint: 'https://u:p@h'}]", "a URL with a user or password in it"),
        ("alerts: {trace_url: 'https://jaeger.test/search'}", "alerts.trace_url (line 1): no URL with http:// or"),
        ("alerts: {trace_url: 'jaeger.test/{workload_id}'}", "and {workload_id}, where the id belongs"),
        ("alerts: {trace_url: 'https://g.test/?q={a}&s={workload_id}'}", "write %20, %7B, %7D"),
        ("web: {listen_address: [nowhere]}", "web.listen_address[0] (line 1): no HOST:PORT"),
        ("log:\n  level: info\n  level: warn", "log.level (line 3): is given twice; keep one"),
        ("log: {level: loud}", "log.level (line 1): Input should be 'debug', 'info', 'warn' or 'error'"),
    ],
)
def test_each_mistake_is_told_in_words(tmp_path: Path, text: str, told: str) -> None:
    assert told in "\n".join(problems(tmp_path, text))


def test_a_missing_token_in_the_environment_says_which_variable() -> None:
    with pytest.raises(BadSettings, match="environment: DATAROBOT_API_TOKEN is not set"):
        load(None, {})


def test_a_bad_endpoint_in_the_environment_is_told_by_its_name() -> None:
    with pytest.raises(BadSettings, match="DATAROBOT_ENDPOINT: no URL"):
        load(None, {"DATAROBOT_ENDPOINT": "dr.test", "DATAROBOT_API_TOKEN": "s3cret"})


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="cannot be read: No such file"):
        load(tmp_path / "none.yaml", ENVIRONMENT)


def test_no_secret_shows_in_a_dump_a_repr_or_an_error(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "accounts: [{token: s3cret}]")
    assert settings.accounts[0].token_source()() == "s3cret"
    assert "s3cret" not in settings.dump() + repr(settings) + repr(settings.accounts[0].token_source())
    assert yaml.safe_load(settings.dump())["accounts"][0]["token"] == "**********"
    told = problems(tmp_path, "accounts: [{token: {s3cret: s3cret}}]")
    assert "s3cret" not in "".join(told)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("accounts: [{token: *s3cret}]", "exporter.yaml (line 1): no YAML: found undefined alias ***"),
        ("accounts: [{token: !s3cret x}]", "no YAML: could not determine a constructor for the tag ***"),
        (
            "accounts: [{endpoint: 'https://u:s3cret/x@h'}]",
            "accounts[0].endpoint (line 1): no URL, or one with a bad port",
        ),
        ("traces: {headers: {'authorization: s3cret': x}}", "the name of header 1 holds characters that no name"),
        ("traces: {endpoint: 'http://h', headers: 'authorization: Basic s3cret=='}", "the name of header 1 holds char"),
    ],
)
def test_a_mistake_in_the_place_of_a_secret_does_not_show_it(tmp_path: Path, text: str, told: str) -> None:
    (problem,) = problems(tmp_path, text)
    assert told in problem
    assert "s3cret" not in problem


def test_a_token_file_is_read_again_when_it_changes_and_kept_while_it_is_gone(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one\n")
    token = loaded(tmp_path, f"accounts: [{{token_file: {file}}}]").accounts[0].token_source()
    state = [token()]
    file.write_text("second\n")
    state.append(token())
    file.unlink()
    state.append(token())
    assert state == ["one", "second", "second"]


@pytest.mark.parametrize(
    "endpoint", ["https://app.test", "https://app.test/", "https://app.test/api/v2", " https://app.test/api/v2/ "]
)
def test_an_endpoint_is_taken_with_or_without_its_path(endpoint: str) -> None:
    assert base_url(endpoint) == "https://app.test/api/v2"


def test_a_url_of_traces_may_have_its_braces_encoded(tmp_path: Path) -> None:
    url = "https://jaeger.test/search?tags=%7B%22datarobot.workload.id%22:%22{workload_id}%22%7D"
    assert loaded(tmp_path, f"accounts: [{{token: a}}]\nalerts: {{trace_url: '{url}'}}").alerts.options.traces == url


def test_an_installation_is_told_by_the_origin_of_its_endpoint(tmp_path: Path) -> None:
    (account,) = loaded(tmp_path, "accounts: [{token: a, endpoint: 'https://App.test:8443/dr/api/v2'}]").accounts
    assert account.origin == "https://app.test:8443"


@pytest.mark.parametrize(
    ("given", "told"),
    [("127.0.0.1:1", ("127.0.0.1", 1)), (":10142", ("", 10142)), ("[::1]:9", ("::1", 9)), ("host:80", ("host", 80))],
)
def test_an_address_is_host_and_port(given: str, told: tuple[str, int]) -> None:
    assert listen_address(given) == told


@pytest.mark.parametrize("given", ["", "host", "host:", "host:http", "host:65536", "::1:80"])
def test_what_is_no_address_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="no HOST:PORT"):
        listen_address(given)


@pytest.mark.parametrize(
    ("given", "told"), [("30s", 30.0), ("1h30m", 5400.0), ("500ms", 0.5), ("1.5m", 90.0), (7, 7), ("2d", 172800.0)]
)
def test_durations_are_written_as_prometheus_writes_them(given: object, told: float) -> None:
    assert seconds(given) == told


COLLECTOR = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318/"}


def test_without_an_endpoint_there_are_no_traces_and_variables_for_others_are_not_even_read() -> None:
    settings = load(None, ENVIRONMENT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json", "OTEL_SERVICE_NAME": "x"})
    assert settings.traces == Settings.model_validate({}).traces
    assert settings.traces.endpoint == ""


@pytest.mark.parametrize(
    ("variables", "told"),
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
def test_the_variables_of_opentelemetry_are_heard(variables: dict[str, str], told: dict[str, object]) -> None:
    traces = load(None, ENVIRONMENT | variables).traces
    assert {name: getattr(traces, name) for name in told} == told


def test_the_file_wins_over_the_variables_of_opentelemetry_one_by_one(tmp_path: Path) -> None:
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


def test_every_bad_variable_of_opentelemetry_is_told_at_once_by_its_name() -> None:
    variables = {
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "collector:4317",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json",
        "OTEL_EXPORTER_OTLP_HEADERS": "s3cret",
        "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "soon",
        "OTEL_EXPORTER_OTLP_CERTIFICATE": "/nowhere/ca.pem",
    }
    with pytest.raises(BadSettings) as raised:
        load(None, ENVIRONMENT | variables)
    told = sorted(map(str, raised.value.problems))
    assert told == [
        "OTEL_EXPORTER_OTLP_CERTIFICATE: /nowhere/ca.pem cannot be read: No such file or directory; "
        "check the path and the permissions",
        "OTEL_EXPORTER_OTLP_HEADERS: give name=value, several of them separated by commas",
        "OTEL_EXPORTER_OTLP_PROTOCOL: Input should be 'http/protobuf' or 'grpc'",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: no URL with http:// or https:// and a host; give one such as "
        "http://collector:4318",
        "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT: give a duration such as 30s, 5m or 1h30m",
    ]


def test_what_is_wrong_in_the_resource_of_opentelemetry_is_told_and_left_out(caplog: pytest.LogCaptureFixture) -> None:
    given = "=x,team=a,, nonsense ,k8s.pod.name=p, env = prod "
    traces = load(None, ENVIRONMENT | COLLECTOR | {"OTEL_RESOURCE_ATTRIBUTES": given}).traces
    assert traces.resource == {"team": "a", "env": "prod"}
    (told,) = caplog.records
    assert (told.message, told.__dict__["fields"]) == (
        "OTEL_RESOURCE_ATTRIBUTES: what is no name=value is left out",
        {"pairs": 2},
    )


def test_where_opentelemetry_is_switched_off_the_file_sends_no_traces_either(tmp_path: Path) -> None:
    text = "traces: {endpoint: 'https://mine.test'}"
    assert loaded(tmp_path, text, ENVIRONMENT | {"OTEL_SDK_DISABLED": "true"}).traces.endpoint == ""
    assert loaded(tmp_path, text, ENVIRONMENT | {"OTEL_TRACES_EXPORTER": "none"}).traces.endpoint != ""


@pytest.mark.parametrize("path", ["/v1/traces?api_key=s3cret", "/v1#s3cret"])
def test_a_path_of_traces_holds_no_secret(tmp_path: Path, path: str) -> None:
    with pytest.raises(BadSettings) as raised:
        loaded(tmp_path, f"traces: {{endpoint: 'https://mine.test', path: '{path}'}}")
    (problem,) = map(str, raised.value.problems)
    assert problem.startswith("traces.path")
    assert "a path with a query or fragment" in problem
    assert "s3cret" not in problem


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("endpoint: 'http://u:p@h'", "traces.endpoint (line 1): a URL with a user or password in it; secrets go into"),
        (
            "headers: {a b: x}",
            "traces.headers (line 1): the name of header 1 holds characters that no name of a header",
        ),
        ('headers: {key: "s3cret\\n"}', "the value of key holds characters that no header may have"),
        ("client_key: settings.py", "traces (line 1): client_key without client_certificate"),
        ("kinds: [started]", "traces.kinds[0] (line 1): Input should be 'start', 'stop', 'failure', 'replacement' or"),
        ("sample_ratio: 1.5", "traces.sample_ratio (line 1): Input should be less than or equal to 1"),
        ("service_name: '{workload}'", "traces.service_name (line 1): only {id} and {name} may stand in braces"),
        ("max_age: 31d", "traces.max_age (line 1): Input should be less than or equal to 2592000"),
        ("certificate: /nowhere", "traces.certificate (line 1): /nowhere cannot be read: No such file"),
    ],
)
def test_each_mistake_about_traces_is_told_in_words(tmp_path: Path, text: str, told: str) -> None:
    assert told in "\n".join(problems(tmp_path, f"traces: {{{text}}}"))
    assert "s3cret" not in "".join(problems(tmp_path, f"traces: {{{text}}}"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("labels: {team: ml, workload: x}", "'workload' is a label that alerts have already; choose another name"),
        ("labels: {alertname: x}", "'alertname' is a label"),
        ("labels: {account: x}", "'account' is a label"),
        ("labels: {workload_id: x}", "'workload_id' is a label"),
        ("labels: {component: x}", "'component' is a label"),
        ("labels: {job: x}", "'job' is a label"),
        ("labels: {severity: x}", "'severity' is a label"),
        ("severity_label: level, labels: {level: x}", "'level' is a label"),
    ],
)
def test_no_label_of_alerts_may_be_set_that_makes_them_what_they_are(tmp_path: Path, text: str, told: str) -> None:
    (problem,) = problems(tmp_path, f"accounts: [{{token: a}}]\nalerts: {{{text}}}")
    assert problem.startswith(f"alerts.labels (line 2): {told}")


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


def test_receivers_say_what_they_want_and_where_they_are(tmp_path: Path) -> None:
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


def test_every_mistake_about_receivers_is_told_at_once_with_its_place(tmp_path: Path) -> None:
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
    told = problems(tmp_path, text)
    here = [problem.removeprefix("paging.receivers") for problem in told]
    assert here == [
        "[0] (line 4): give a kind; one of alertmanager, pagerduty, slack, webhook",
        "[1] (line 5): give a kind; one of alertmanager, pagerduty, slack, webhook",
        "[2].webhok_url (line 8): unknown setting; did you mean webhook_url?",
        "[3].webhook_url (line 9): no URL with http:// or https:// and a host",
        "[4].alerts (line 10): no alert is called 'DataRobotWatchdo'; did you mean 'DataRobotWatchdog'?",
        "[5].quiet_hours[0] (line 11): no times of the day; give two such as 22:00-07:00, UTC",
        "[5].quiet_hours[1] (line 11): begins when it ends; give two times such as 22:00-07:00, UTC",
        "[5].routing_key (line 11): no integration key of Events API v2, which has 32 letters and digits",
        "[5].url (line 11): no URL of Events API v2; give one such as https://events.eu.pagerduty.com/v2/enqueue",
        "[6] (line 12): hmac_secret_env and hmac_secret; give exactly one of hmac_secret_file, hmac_secret_env and "
        "hmac_secret",
        "[7].repeat_interval (line 13): Input should be less than or equal to 60",
        "[7].urls[0] (line 13): a URL with a query or fragment; give one such as http://alertmanager:9093",
        "[7].urls (line 13): Tuple should have at least 1 item after validation, not 0",
        "[8] (line 14): an Alertmanager is told of everything: set mute_time_intervals and send_resolved there, "
        "and leave quiet_hours and send_resolved out here",
        "[4].name (line 10): 'd' is taken by another receiver; give each its own name",
        "[4].url_env (line 10): NOT_SET is not set; put the url into it",
        "[4].hmac_secret_file (line 10): /nowhere cannot be read: No such file or directory; "
        "check the path and the permissions",
        "[6].hmac_secret_env (line 12): s3cret is not set; put the hmac_secret into it",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("who: direct", "paging (line 1): who is direct, but there are no receivers; list one, or leave it to rules"),
        ("who: me", "paging.who (line 1): Input should be 'rules', 'direct' or 'both'"),
        (
            "receivers: [{name: a, kind: slack, webhook_url: https://x, accounts: [defalt]}]",
            "paging.receivers[0].accounts (line 1): no account is called 'defalt'; did you mean 'default'?",
        ),
        (
            "receivers: [{name: a, kind: webhook, url: 'https://u:s3cret@APP.datarobot.com/s3cret'}]",
            "paging.receivers[0] (line 1): app.datarobot.com is DataRobot, which is only read; name a receiver",
        ),
    ],
)
def test_each_mistake_about_paging_is_told_in_words(tmp_path: Path, text: str, told: str) -> None:
    found = problems(tmp_path, f"paging: {{{text}}}")
    assert found == [told]


def test_a_collector_that_is_datarobot_itself_is_refused_because_it_is_only_read() -> None:
    endpoint = "https://dr.test/otel"
    with pytest.raises(BadSettings) as raised:
        load(None, ENVIRONMENT | {"DATAROBOT_ENDPOINT": "https://dr.test", "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint})
    assert [str(problem) for problem in raised.value.problems] == [
        "OTEL_EXPORTER_OTLP_ENDPOINT: dr.test is DataRobot, which is only read; name a collector"
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
def test_what_only_yaml_1_1_takes_for_another_type_is_text(tmp_path: Path, text: str) -> None:
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
def test_booleans_nulls_and_numbers_are_those_of_the_core_schema_of_yaml_1_2(
    tmp_path: Path, text: str, value: object
) -> None:
    given = in_yaml(tmp_path, text)
    assert (given, type(given)) == (value, type(value))


def test_a_merge_key_still_merges(tmp_path: Path) -> None:
    text = "accounts:\n- &eu {name: eu, token: a, timeout: 5s}\n- {<<: *eu, name: us}"
    assert [(each.name, each.timeout) for each in loaded(tmp_path, text).accounts] == [("eu", 5.0), ("us", 5.0)]


def test_alerts_are_switched_on_and_off_by_the_words_on_and_off(tmp_path: Path) -> None:
    text = "alerts: {on: [DataRobotWorkloadTrafficStopped], off: [DataRobotImportantOnDraft]}"
    alerts = loaded(tmp_path, text).alerts
    assert (alerts.on, alerts.off) == (("DataRobotWorkloadTrafficStopped",), ("DataRobotImportantOnDraft",))


@pytest.mark.parametrize("quoted", ["{}", "'{}'"])
@pytest.mark.parametrize(
    ("word", "value"), [("yes", True), ("on", True), ("no", False), ("off", False), ("true", True)]
)
def test_a_setting_that_is_on_or_off_takes_the_words_of_yaml_1_1(
    tmp_path: Path, quoted: str, word: str, value: bool
) -> None:
    assert loaded(tmp_path, f"traces: {{crashes: {quoted.format(word)}}}").traces.crashes is value


def test_a_key_that_is_no_text_is_a_problem_of_its_own_with_its_line(tmp_path: Path) -> None:
    text = "alerts:\n  labels:\n    1: a\n    true: b\n    null: c\n    1.5: d\n    ? [x]\n    : e\n    team: ml\n"
    assert problems(tmp_path, text) == [
        "alerts.labels.1 (line 3): a key must be text, and 1 is a number; write it in quotes",
        "alerts.labels.true (line 4): a key must be text, and true is a boolean; write it in quotes",
        "alerts.labels.null (line 5): a key must be text, and null is null; write it in quotes",
        "alerts.labels.1.5 (line 6): a key must be text, and 1.5 is a number; write it in quotes",
        "alerts.labels (line 7): a key must be text, and here it is a list or a mapping; write a name",
    ]


@pytest.mark.parametrize(
    "text", ["!!bool maybe", "!!int {a: 1}", "!!float x", "!!timestamp 2024-01-01", "!!set {a}", "9" * 5000]
)
def test_what_is_tagged_as_something_else_is_no_yaml_and_has_its_line(tmp_path: Path, text: str) -> None:
    (problem,) = problems(tmp_path, f"log:\n  level: {text}")
    assert "exporter.yaml (line 2): no YAML: " in problem


def test_what_we_write_is_still_quoted_for_readers_of_yaml_1_1(tmp_path: Path) -> None:
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
def test_no_setting_takes_a_number_that_overflows_what_it_is_given_to(
    section: type[BaseModel], name: str, huge: float
) -> None:
    for given in (huge, [huge], {"DataRobotWatchdog": huge}):
        with pytest.raises(ValidationError) as raised:
            section.model_validate({name: given})
        assert name in {error["loc"][0] for error in raised.value.errors()}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("sweep: {interval: 1e15, stale_after: 366d}", "sweep.interval (line 1): too long; at most 366d"),
        ("sweep: {stale_after: 367d}", "sweep.stale_after (line 1): too long; at most 366d"),
        ("alerts: {wait: {DataRobotWatchdog: 53w}}", "alerts.wait.DataRobotWatchdog (line 1): too long; at most 366d"),
        ("accounts: [{token: a, timeout: 1e9}]", "accounts[0].timeout (line 1): too long; at most 366d"),
        ("select: {shard: 0/10001}", "select.shard (line 1): too many shards; at most 10000"),
        (
            "alerts: {thresholds: {requests: .inf}}",
            "alerts.thresholds.requests (line 1): Input should be a finite number",
        ),
    ],
)
def test_what_is_too_long_or_too_much_is_reported_with_its_place(tmp_path: Path, text: str, problem: str) -> None:
    assert problems(tmp_path, text) == [problem]


def test_a_year_is_not_too_long(tmp_path: Path) -> None:
    assert loaded(tmp_path, "sweep: {interval: 122d, stale_after: 366d}").sweep.stale_after == 366 * 86400.0
