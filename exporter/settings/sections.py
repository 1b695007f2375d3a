"""What the daemon is told: one frozen `Settings` from a YAML file, the environment and a few flags.

Flags win over the file, the file over the environment, the environment over the defaults. Every problem is found at
once and told with its place and a remedy, before anything is opened. Secrets never show in a repr, a dump or an error.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, get_args
from urllib.parse import unquote, urlsplit

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from exporter import redaction
from exporter.alerting.alerts import ALERTS, DEFAULTS, Severity
from exporter.alerting.routing import DAY, Wants
from exporter.alerting.rules import LABELS, Options
from exporter.settings.validation import BadSettings, Lines, Place, Problem, place_of, problems_of, read

DEFAULT_ENDPOINT = "https://app.datarobot.com/api/v2"
DEFAULT_ADDRESS = "127.0.0.1:10142"


_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d|w))+")


def seconds(given: object) -> object:
    """Seconds of a duration as Prometheus writes it (``30s``, ``1h30m``) or of a plain number. Raises ValueError."""
    if not isinstance(given, str):
        return given
    if not _DURATION.fullmatch(given.strip()):
        raise ValueError("give a duration such as 30s, 5m or 1h30m")
    return sum(float(n) * _UNITS[unit] for n, unit in re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)", given))


def base_url(endpoint: str) -> str:
    """``https://HOST/api/v2`` of an endpoint given with or without ``/api/v2``. Raises ValueError."""
    given = _url(endpoint, DEFAULT_ENDPOINT, "the token goes into token_file or the environment")
    return given.rstrip("/").removesuffix("/api/v2").rstrip("/") + "/api/v2"


def _url(given: str, example: str, secrets: str) -> str:
    """A URL of http or https with a host and neither secrets nor a query. Raises ValueError."""
    try:
        parts = urlsplit(given.strip())
        parts.port  # noqa: B018 — reading it checks it
    except ValueError:  # its words may quote a password
        raise ValueError(f"no URL, or one with a bad port; give one such as {example}") from None
    if parts.username or parts.password:
        raise ValueError(f"a URL with a user or password in it; {secrets}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"no URL with http:// or https:// and a host; give one such as {example}")
    if parts.query or parts.fragment:
        raise ValueError(f"a URL with a query or fragment; give one such as {example}")
    return given.strip()


def listen_address(given: str) -> tuple[str, int]:
    """Host and port of ``HOST:PORT``, ``[::1]:PORT`` or ``:PORT`` (all addresses: empty host). Raises ValueError."""
    host, colon, port = given.strip().rpartition(":")
    if not colon or not port.isdecimal() or not int(port) < 65536 or (":" in host and not host.startswith("[")):
        raise ValueError(f"no HOST:PORT; give one such as {DEFAULT_ADDRESS}, [::1]:10142, or :10142 for all addresses")
    return host.strip("[]"), int(port)


LONGEST = 366 * 86400.0
"""The longest duration that can be set: schedulers, sockets and dates take no time of any length."""


def _bounded(given: float) -> float:
    if given > LONGEST:
        raise ValueError(f"too long; at most {LONGEST / 86400:.0f}d")
    return given


Duration = Annotated[float, BeforeValidator(seconds), Field(gt=0, allow_inf_nan=False), AfterValidator(_bounded)]
_MaybeZero = Annotated[float, BeforeValidator(seconds), Field(ge=0, allow_inf_nan=False), AfterValidator(_bounded)]
_MOST_SHARDS = 10_000


def _pattern(given: str) -> str:
    try:
        re.compile(given)
    except re.error as error:
        raise ValueError(f"no regular expression: {error}") from None
    return given


def _shard(given: str) -> str:
    number, slash, count = given.partition("/")
    if not slash or not number.isdecimal() or not count.isdecimal() or not int(number) < int(count):
        raise ValueError("no shard; give I/N with I from 0 to N-1, such as 0/3")
    if int(count) > _MOST_SHARDS:
        raise ValueError(f"too many shards; at most {_MOST_SHARDS}")
    return given


def _address(given: str) -> str:
    listen_address(given)
    return given.strip()


def _trace_url(given: str) -> str:
    parts = urlsplit(given)
    if given and (parts.scheme not in ("http", "https") or not parts.hostname or "{workload_id}" not in given):
        raise ValueError("no URL with http:// or https:// and {workload_id}, where the id belongs")
    if re.search(r"[{}\s]", given.replace("{workload_id}", "")):
        raise ValueError("a URL with a space or a brace in it; write %20, %7B, %7D, and braces for {workload_id} alone")
    return given


class _Part(BaseModel):
    """A section. Each of its `_needed` and `_optional` secrets is NAME, or NAME_file or NAME_env, which hold it."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
    _needed: ClassVar[tuple[str, ...]] = ()
    _optional: ClassVar[tuple[str, ...]] = ()

    @model_validator(mode="after")
    def _each_secret_once(self) -> Self:
        for secret in (*self._needed, *self._optional):
            given = self.given(secret)
            if len(given) > 1 or (not given and secret in self._needed):
                said = " and ".join(given) or f"no {secret}"
                raise ValueError(f"{said}; give exactly one of {secret}_file, {secret}_env and {secret}")
        return self

    def given(self, secret: str) -> list[str]:
        """The settings that say what a secret is."""
        names = (f"{secret}_file", f"{secret}_env", secret)
        return [name for name in names if getattr(self, name) is not None]

    def source(self, secret: str, environment: Mapping[str, str] = os.environ) -> Callable[[], str]:
        """A function that gives a secret as it is now; a file is read again when it has changed. None there: empty."""
        file, variable, given = (getattr(self, name) for name in (f"{secret}_file", f"{secret}_env", secret))
        if file is not None:
            return _SecretFile(file)
        if variable is not None:
            return lambda: environment.get(variable, "").strip()
        return lambda: given.get_secret_value().strip() if given is not None else ""

    def sources(self, environment: Mapping[str, str] = os.environ) -> Iterator[redaction.Source]:
        """Where the secrets of this section come from: of those that are URLs, the parts are secrets too."""
        for secret in (*self._needed, *self._optional):
            parts = redaction.url if secret.endswith("url") else redaction.whole
            yield redaction.Source(self.source(secret, environment), parts)
        headers: Mapping[str, SecretStr] = getattr(self, "headers", {})
        for name, value in headers.items():
            yield redaction.Source(value.get_secret_value, partial(redaction.header, name))


def _with_login(environment: Mapping[str, str], variable: str) -> str:
    """The URL of a variable if a user and a password are in it."""
    given = environment.get(variable, "")
    return given if "@" in given else ""


class _SecretFile:
    """The text of a file; unreadable for a moment (a mount being swapped) means the text it had before."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._text = ""

    def __call__(self) -> str:
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp != self._stamp:
                self._text = self._path.read_text("utf-8").strip() or self._text
                self._stamp = stamp
        except (OSError, UnicodeDecodeError):
            return self._text
        return self._text

    def __repr__(self) -> str:
        return f"<secret of {self._path}>"


class AccountSettings(_Part):
    """One endpoint with one token. The token comes from exactly one of `token_file`, `token_env` and `token`."""

    name: str = Field(
        "default", pattern=r"^[a-zA-Z0-9_.-]{1,63}$", description="Value of the label `account` on every metric."
    )
    endpoint: Annotated[str, BeforeValidator(lambda given: base_url(given) if isinstance(given, str) else given)] = (
        Field(DEFAULT_ENDPOINT, description="URL of DataRobot, with or without `/api/v2`.")
    )
    token_file: Path | None = Field(
        None, description="File that holds the API token; read again when it changes and after a 401."
    )
    token_env: str | None = Field(None, description="Environment variable that holds the API token.")
    token: SecretStr | None = Field(None, description="The API token itself, for files that are secrets as a whole.")
    ca_file: Path | None = Field(None, description="PEM file of certificate authorities to trust besides the system's.")
    requests_per_second: float = Field(
        10.0, ge=0.001, le=1000, description="Budget: requests to the API per second, evenly spaced, retries included."
    )
    concurrency: int = Field(4, ge=1, le=64, description="Budget: requests to the API at once.")
    timeout: Duration = Field(30.0, description="Time for one request, from start to last byte.")

    _needed = ("token",)

    @property
    def origin(self) -> str:
        """Scheme, host and port of the endpoint: what tells one installation of DataRobot from another."""
        parts = urlsplit(self.endpoint)
        return f"{parts.scheme}://{parts.netloc.lower()}"

    def token_source(self, environment: Mapping[str, str] = os.environ) -> Callable[[], str]:
        """A function that gives the token as it is now; a token file is read again when it has changed."""
        return self.source("token", environment)


class SweepSettings(_Part):
    """How often the API is swept."""

    interval: Duration = Field(30.0, ge=1, description="Time between the starts of two sweeps of the workload list.")
    stale_after: Duration = Field(
        900.0, description="After this time without a complete sweep the workload metrics of the account are withdrawn."
    )

    @model_validator(mode="after")
    def _longer(self) -> Self:
        if self.stale_after < 3 * self.interval:
            raise ValueError(
                f"stale_after ({self.stale_after:g}s) is below three times interval ({self.interval:g}s): one failed "
                "sweep would withdraw metrics; raise stale_after or lower interval"
            )
        return self


class MetricsSettings(_Part):
    """Which families are served."""

    profile: Literal["minimal", "standard", "full"] = Field(
        "standard", description="`minimal` for users billed by series, `full` adds raw values of undocumented meaning."
    )
    series_limit: int = Field(
        2_000_000,
        ge=0,
        le=1_000_000_000,
        description="Most series of workloads per account; workloads beyond it are left out, counted and logged. "
        "0: no limit.",
    )


class DetailSettings(_Part):
    """What is asked about each workload beside the list, in turn and under the account's budget."""

    enabled: bool = Field(True, description="Ask for details at all: pods, events, statistics, resource use, sharing.")
    interval: Duration = Field(
        300.0,
        ge=10,
        description="Time between two looks at a workload that is steady; one in trouble, or changing, is looked at "
        "at `sweep.interval`. Statistics of long windows, quotas and sharing are looked at less often in proportion.",
    )
    parts: tuple[
        Literal[
            "pods", "events", "replacement", "stats_5m", "stats_1h", "stats_6h", "stats_1d", "stats_3d", "usage",
            "sharing", "quotas",
        ],
        ...,
    ] = Field((), description="The parts to ask for; empty: all.")  # fmt: skip
    quantiles: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        (0.5, 0.95, 0.99), min_length=1, description="Quantiles of the response time; each but the first is a request."
    )
    slow_requests: Duration = Field(2.0, description="A request that takes longer counts as slow.")


class StateSettings(_Part):
    """What is kept across restarts: when things were first seen, and all totals of workloads."""

    path: Path | None = Field(
        None, description="SQLite file of the state. Without it, totals of workloads begin anew at each start."
    )
    on_trouble: Literal["refuse", "set_aside"] = Field(
        "refuse",
        description="When the file is damaged or newer than this exporter: `refuse` to start, or `set_aside` the file "
        "under another name and begin anew.",
    )


_Importance = Literal["critical", "high", "moderate", "low"]
_Tag = Annotated[str, Field(pattern=r"^[^=]+(=.*)?$")]


def tag_values(tags: Collection[str]) -> dict[str, str | None]:
    """The tags of settings, ``name=value`` or ``name``, as name -> value, None for any."""
    return {name: value if equals else None for tag in tags for name, equals, value in [tag.partition("=")]}


class SelectSettings(_Part):
    """Which workloads are watched; what is left out is counted. Empty means all."""

    tags: tuple[_Tag, ...] = Field(
        (), description="Tags that a workload must all have: `name=value`, or `name` for any value."
    )
    importance: tuple[_Importance, ...] = Field((), description="Importances.")
    name: Annotated[str, AfterValidator(_pattern)] = Field(
        "", description="Regular expression that the whole name matches."
    )
    creators: tuple[str, ...] = Field((), description="Ids or user names of the people who created the workloads.")
    shard: Annotated[str, AfterValidator(_shard)] = Field(
        "0/1", description="`I/N`: of N exporters, this is number I, counted from 0; each takes its part of the fleet."
    )

    @property
    def shard_numbers(self) -> tuple[int, int]:
        """The number of this shard, and how many there are."""
        number, _, count = self.shard.partition("/")
        return int(number), int(count)


def nearest(name: str, of: Collection[str]) -> str:
    """Words that ask for the most similar name; empty if none is."""
    near = difflib.get_close_matches(name, of, 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _named(of: Collection[str], kind: str) -> AfterValidator:
    def check(told: Collection[str]) -> Collection[str]:
        unknown = [name for name in told if name not in of]
        if unknown:
            raise ValueError(f"no {kind} is called {unknown[0]!r}{nearest(unknown[0], of)}")
        return told

    return AfterValidator(check)


_ALERT = _named([alert.name for alert in ALERTS], "alert")


def _new_labels(given: dict[str, str], told: ValidationInfo) -> dict[str, str]:
    """Labels that replace none of those by which alerts are routed and told apart."""
    for name in given:
        if name in (*LABELS, told.data.get("severity_label")):
            raise ValueError(f"{name!r} is a label that alerts have already; choose another name")
    return given


class AlertSettings(_Part):
    """The alerts: what rules are written, with which thresholds. See docs/alerts.md."""

    selector: str = Field(
        'job="datarobot"',
        pattern=r'^(\w+(=|=~|!=|!~)"[^"\\]*"(, ?|$))*$',
        description="Matchers in every selector of the rules.",
    )
    thresholds: Annotated[dict[str, Annotated[float, Field(allow_inf_nan=False)]], _named(DEFAULTS, "threshold")] = (
        Field(default_factory=dict, description="Thresholds by name, where they differ from those in docs/alerts.md.")
    )
    wait: Annotated[dict[str, _MaybeZero], _ALERT] = Field(
        default_factory=dict, description="How long the condition of an alert must hold, by its name."
    )
    on: Annotated[tuple[str, ...], _ALERT] = Field((), description="Alerts to add that are off by default.")
    off: Annotated[tuple[str, ...], _ALERT] = Field((), description="Alerts to leave out.")
    severity_label: str = Field("severity", pattern=r"^[a-zA-Z_]\w*$", description="Name of the label of severity.")
    labels: Annotated[dict[str, str], AfterValidator(_new_labels)] = Field(
        default_factory=dict, description="Labels set on every alert, beside those that alerts have anyway."
    )
    hold: Duration = Field(600.0, description="How long an alert outlasts data that does not come.")
    runbook_url: str = Field("alerts/runbooks/", description="What stands before `NAME.md` in links to runbooks.")
    dashboard_url: str = Field("", description="Base URL of Grafana, for links to dashboards.")
    console_url: str = Field("", description="Base URL of DataRobot, for links to its console.")
    trace_url: Annotated[str, AfterValidator(_trace_url)] = Field(
        "",
        description="URL that finds the traces of `{workload_id}`, for links to them, such as "
        "`http://127.0.0.1:16686/search?service=workload-{workload_id}` of Jaeger.",
    )

    @property
    def options(self) -> Options:
        """The same, as rules are written with."""
        return Options(
            selector=self.selector,
            thresholds={**DEFAULTS, **self.thresholds},
            waits=self.wait,
            on=frozenset(self.on),
            off=frozenset(self.off),
            labels=self.labels,
            severity_label=self.severity_label,
            runbooks=self.runbook_url,
            dashboards=self.dashboard_url.rstrip("/"),
            console=self.console_url.rstrip("/"),
            traces=self.trace_url,
            hold=self.hold,
        )


def _collector(given: str) -> str:
    return given and _url(given, "http://collector:4318", "secrets go into traces.headers").rstrip("/")


def _plain_path(given: str) -> str:
    if "?" in given or "#" in given:
        raise ValueError("a path with a query or fragment, which would be logged; secrets go into traces.headers")
    return given


def _alertmanager(given: str) -> str:
    return _url(given, "http://alertmanager:9093", "secrets go into headers").rstrip("/")


def _enqueue(given: str) -> str:
    url = _url(given, "https://events.eu.pagerduty.com/v2/enqueue", "the secret goes into routing_key_file")
    if not url.endswith("/enqueue"):
        raise ValueError("no URL of Events API v2; give one such as https://events.eu.pagerduty.com/v2/enqueue")
    return url


def _routing_key(given: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[0-9a-zA-Z]{32}", given.get_secret_value()):
        raise ValueError("no integration key of Events API v2, which has 32 letters and digits")
    return given


def _pairs(given: object) -> object:
    """The mapping of ``name=value,name=value`` with percent-encoded values, as OpenTelemetry's variables have it."""
    if not isinstance(given, str):
        return given
    pairs = [pair.partition("=") for pair in given.split(",") if pair.strip()]
    if not all(name.strip() and equals for name, equals, _ in pairs):
        raise ValueError("give name=value, several of them separated by commas")
    return {name.strip(): unquote(value.strip()) for name, _, value in pairs}


def _sendable(headers: Mapping[str, SecretStr]) -> dict[str, SecretStr]:
    """The headers with small names, which gRPC wants. Raises ValueError for what no header may hold."""
    for number, (name, value) in enumerate(headers.items(), 1):
        if not re.fullmatch(r"[\w!#$%&'*+.^`|~-]+", name, re.ASCII):
            # It is not quoted: the value of a header that is given by mistake in the form of a name is a secret.
            raise ValueError(f"the name of header {number} holds characters that no name of a header may have")
        if not re.fullmatch(r"[ -~]*", value.get_secret_value()):
            raise ValueError(f"the value of {name} holds characters that no header may have")
    return {name.lower(): value for name, value in headers.items()}


def _template(*names: str) -> AfterValidator:
    """A text in which each of these names may stand in braces, and nothing else may."""

    def check(given: str) -> str:
        try:
            given.format(**dict.fromkeys(names, ""))
        except (LookupError, ValueError, AttributeError):
            known = " and ".join(f"{{{name}}}" for name in names)
            raise ValueError(f"only {known} may stand in braces") from None
        return given

    return AfterValidator(check)


class TraceSettings(_Part):
    """OpenTelemetry traces of what happens to workloads, and where they are sent. Without an `endpoint`: none."""

    endpoint: Annotated[str, AfterValidator(_collector)] = Field(
        "", description="URL of an OpenTelemetry collector, such as `http://collector:4318`. Empty: no traces."
    )
    path: Annotated[str, AfterValidator(_plain_path)] = Field(
        "/v1/traces", pattern=r"^(/[!-~]*)?$", description="What is added to the endpoint for `http/protobuf`."
    )
    protocol: Literal["http/protobuf", "grpc"] = Field("http/protobuf", description="How traces are sent.")
    headers: Annotated[dict[str, SecretStr], BeforeValidator(_pairs), AfterValidator(_sendable)] = Field(
        default_factory=dict, description="Headers sent along, such as an API key; their values are secrets."
    )
    compression: Literal["gzip", "none"] = Field("gzip", description="How requests are compressed.")
    certificate: Path | None = Field(
        None, description="PEM file of the certificate authorities to trust instead of the system's."
    )
    client_certificate: Path | None = Field(None, description="PEM file of the certificate to show to the collector.")
    client_key: Path | None = Field(
        None, description="PEM file of its private key, where it is not in the same file as the certificate."
    )
    timeout: Duration = Field(10.0, description="Time for one request, from start to last byte.")
    service_name: Annotated[str, _template("id", "name")] = Field(
        "workload-{id}",
        min_length=1,
        description="`service.name` of a workload's traces; `{id}` and `{name}` stand for the workload's.",
    )
    environment: str = Field("", description="`deployment.environment.name` of the traces; empty: none.")
    resource_attributes: Annotated[dict[str, str | bool | int | float], BeforeValidator(_pairs)] = Field(
        default_factory=dict, description="More attributes of the resource of every trace."
    )
    kinds: tuple[Literal["start", "stop", "failure", "replacement", "deletion"], ...] = Field(
        ("start", "stop", "failure", "replacement", "deletion"), description="What traces are made of."
    )
    importance: frozenset[_Importance] = Field(
        frozenset(), description="Traces only of workloads of these importances; empty: of all."
    )
    sample_ratio: float = Field(1.0, ge=0, le=1, description="Which part of the traces is made, chosen by trace id.")
    min_duration: _MaybeZero = Field(0.0, description="Starts that succeed in less than this make no trace.")
    crashes: bool = Field(False, description="Also a trace of each crash of a container whose workload stays running.")
    checkpoint_after: _MaybeZero = Field(
        0.0, description="What lasts longer than this gets a trace of what is known so far, again and again; 0: never."
    )
    backfill: Annotated[float, BeforeValidator(seconds), Field(ge=0, le=604800)] = Field(
        0.0,
        description="How far back the very first sweep looks for replacements and starts that were over; 0: not.",
    )
    max_bytes: int = Field(
        50_000_000,
        gt=0,
        le=1_000_000_000_000,
        description="Most bytes of traces that wait to be sent; beyond it the oldest are dropped.",
    )
    max_age: Duration = Field(604800.0, le=2592000, description="How long a trace waits before it is dropped.")
    self_traces: bool = Field(True, description="Also send traces of the exporter's own sweeps that tell something.")

    @model_validator(mode="after")
    def _key_of_a_certificate(self) -> Self:
        if self.client_key is not None and self.client_certificate is None:
            raise ValueError("client_key without client_certificate; give both or neither")
        return self

    @property
    def resource(self) -> dict[str, str | bool | int | float]:
        """The attributes that the resource of every trace has."""
        named: dict[str, str | bool | int | float] = {"deployment.environment.name": self.environment}
        return self.resource_attributes | (named if self.environment else {})


_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-(?:([01]\d|2[0-3]):([0-5]\d)|24:00)")


def hours(given: str) -> tuple[int, int]:
    """Begin and end, in seconds since midnight, of ``22:00-07:00``. Raises ValueError."""
    found = _HOURS.fullmatch(given.strip())
    if found is None:
        raise ValueError("no times of the day; give two such as 22:00-07:00, UTC")
    begin, end = (
        int(hour or 24) * 3600 + int(minute or 0) * 60 for hour, minute in (found.group(1, 2), found.group(3, 4))
    )
    if begin == end % DAY:
        raise ValueError("begins when it ends; give two times such as 22:00-07:00, UTC")
    return begin, end % DAY


def _hours(given: str) -> str:
    hours(given)
    return given.strip()


def is_url(given: str) -> bool:
    """Whether this is a URL of http or https with a host."""
    try:
        parts = urlsplit(given)
        parts.port  # noqa: B018 — reading it checks it
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and re.search(r"[^!-~]", given) is None


def _secret_url(given: SecretStr) -> SecretStr:
    if not is_url(given.get_secret_value().strip()):
        raise ValueError("no URL with http:// or https:// and a host")
    return given


_SecretUrl = Annotated[SecretStr, AfterValidator(_secret_url)]
Headers = Annotated[dict[str, SecretStr], AfterValidator(_sendable)]
SEVERITIES: tuple[Severity, ...] = ("critical", "warning", "info", "none")


class ReceiverSettings(_Part):
    """Whom the exporter itself tells of alerts, and of which. An alert goes to each receiver that wants it."""

    name: str = Field(pattern=r"^[a-zA-Z0-9_.-]{1,63}$", description="Its name, in metrics and logs.")
    severities: frozenset[Severity] = Field(
        frozenset(),
        description="Severities that it wants. Empty: `critical` and `warning`; all for an Alertmanager, and where "
        "`alerts` are named.",
    )
    importance: frozenset[_Importance] = Field(
        frozenset(),
        description="Alerts of workloads of these importances; empty: of all. Alerts about accounts and about the "
        "exporter have no importance and are told.",
    )
    accounts: frozenset[str] = Field(
        frozenset(),
        description="Alerts of these accounts; empty: of all. Alerts about the exporter as a whole are told.",
    )
    alerts: Annotated[frozenset[str], _ALERT] = Field(frozenset(), description="Names of alerts; empty: all.")
    tags: tuple[_Tag, ...] = Field(
        (),
        description="Tags that the workload of an alert must all have: `name=value`, or `name` for any value. Alerts "
        "about accounts and about the exporter have none and are not told.",
    )
    quiet_hours: tuple[Annotated[str, AfterValidator(_hours)], ...] = Field(
        (),
        description="Times of the day, such as `22:00-07:00`, UTC, in which of what begins only what is critical is "
        "told. The rest is told afterwards, if it still fires.",
    )
    send_resolved: bool = Field(True, description="Also tell that an alert has ended.")
    timeout: Duration = Field(10.0, description="Time for one request, from start to last byte.")
    repeat_interval: _MaybeZero = Field(
        0.0,
        description="How often it is told again what fires, such as to a dead man's switch; 0: never. An Alertmanager "
        "is told every minute if not more often.",
    )
    ca_file: Path | None = Field(None, description="PEM file of certificate authorities to trust besides the system's.")

    def wants(self, severity_label: str = "severity") -> Wants:
        """The same, as alerts are routed by it."""
        return Wants(
            severities=frozenset(self.severities or (SEVERITIES if self._wants_all else SEVERITIES[:2])),
            importance=frozenset(self.importance),
            accounts=self.accounts,
            alerts=self.alerts,
            tags=tag_values(self.tags),
            quiet=tuple(map(hours, self.quiet_hours)),
            resolved=self.send_resolved,
            severity_label=severity_label,
        )

    @property
    def _wants_all(self) -> bool:
        return bool(self.alerts)


class AlertmanagerSettings(ReceiverSettings):
    """Alertmanagers, each of which is told of everything."""

    kind: Literal["alertmanager"] = Field(description="Alertmanagers, each of which is told of everything.")
    urls: tuple[Annotated[str, AfterValidator(_alertmanager)], ...] = Field(
        min_length=1, description="URLs of all Alertmanagers of a cluster, such as `http://alertmanager:9093`."
    )
    headers: Headers = Field(
        default_factory=dict, description="Headers sent along, such as `Authorization`; their values are secrets."
    )
    repeat_interval: Annotated[float, BeforeValidator(seconds), Field(gt=0, le=60)] = 60.0

    @model_validator(mode="after")
    def _left_to_it(self) -> Self:
        if self.quiet_hours or not self.send_resolved:
            raise ValueError(
                "an Alertmanager is told of everything: set mute_time_intervals and send_resolved there, "
                "and leave quiet_hours and send_resolved out here"
            )
        return self

    @property
    def _wants_all(self) -> bool:
        return True


class PagerDutySettings(ReceiverSettings):
    """A service of PagerDuty, by its integration of Events API v2."""

    kind: Literal["pagerduty"] = Field(description="A service of PagerDuty, by its integration of Events API v2.")
    routing_key_file: Path | None = Field(None, description="File that holds the integration key of the service.")
    routing_key_env: str | None = Field(None, description="Environment variable that holds it.")
    routing_key: Annotated[SecretStr, AfterValidator(_routing_key)] | None = Field(None, description="The key itself.")
    url: Annotated[str, AfterValidator(_enqueue)] = Field(
        "https://events.pagerduty.com/v2/enqueue",
        description="Where events are sent; accounts in the EU have `https://events.eu.pagerduty.com/v2/enqueue`.",
    )
    changes: bool = Field(
        False, description="Also send replacements and promotions as change events, which notify nobody."
    )
    _needed = ("routing_key",)


class SlackSettings(ReceiverSettings):
    """A channel of Slack, by an incoming webhook."""

    kind: Literal["slack"] = Field(description="A channel of Slack, by an incoming webhook.")
    webhook_url_file: Path | None = Field(None, description="File that holds the URL of the incoming webhook.")
    webhook_url_env: str | None = Field(None, description="Environment variable that holds it.")
    webhook_url: _SecretUrl | None = Field(None, description="The URL itself; it is a secret.")
    _needed = ("webhook_url",)


class WebhookSettings(ReceiverSettings):
    """Anything that takes what an Alertmanager sends to webhooks; each alert comes alone."""

    kind: Literal["webhook"] = Field(
        description="Anything that takes what an Alertmanager sends to webhooks; each alert comes alone."
    )
    url_file: Path | None = Field(None, description="File that holds the URL.")
    url_env: str | None = Field(None, description="Environment variable that holds it.")
    url: _SecretUrl | None = Field(None, description="The URL itself; it is treated as a secret.")
    hmac_secret_file: Path | None = Field(
        None,
        description="File that holds a secret to sign bodies with: `X-Signature-256: sha256=` and HMAC-SHA256 in hex.",
    )
    hmac_secret_env: str | None = Field(None, description="Environment variable that holds it.")
    hmac_secret: SecretStr | None = Field(None, description="The secret itself.")
    headers: Headers = Field(
        default_factory=dict, description="Headers sent along, such as `Authorization`; their values are secrets."
    )
    _needed, _optional = ("url",), ("hmac_secret",)


AnyReceiver = AlertmanagerSettings | PagerDutySettings | SlackSettings | WebhookSettings
RECEIVERS: tuple[type[ReceiverSettings], ...] = get_args(AnyReceiver)


class PagingSettings(_Part):
    """Who tells people of alerts: rules in a Prometheus, or this exporter itself."""

    who: Literal["rules", "direct", "both"] = Field(
        "rules",
        description="`rules`: Prometheus, with the rules that this exporter writes; `direct`: this exporter tells "
        "`receivers`; `both`: so that the one may be compared with the other, and people are told twice.",
    )
    receivers: tuple[Annotated[AnyReceiver, Field(discriminator="kind")], ...] = Field((), description="Whom to tell.")
    log_lines: int = Field(
        0,
        ge=0,
        le=20,
        description="Last lines of a workload's log that a page about it carries; 0: none. What looks like a secret is "
        "masked, but what applications log may be personal all the same, and a receiver keeps it.",
    )

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if self.who != "rules" and not self.receivers:
            raise ValueError(f"who is {self.who}, but there are no receivers; list one, or leave it to rules")
        return self


class WebSettings(_Part):
    """The exporter's own HTTP server."""

    listen_address: tuple[Annotated[str, BeforeValidator(lambda g: _address(g) if isinstance(g, str) else g)], ...] = (
        Field((DEFAULT_ADDRESS,), min_length=1, description="Addresses to listen on; `:PORT` means all addresses.")
    )
    telemetry_path: str = Field("/metrics", pattern=r"^/[^\s?#]+$", description="Path of the metrics.")
    config_file: Path | None = Field(
        None, description="TLS and basic auth, in the web-config format of the Prometheus exporter-toolkit."
    )
    debug_config: bool = Field(
        False,
        description="Serve these settings, secrets hidden, at `/debug/config`, and the episodes under way, with the "
        "ids of their traces to come, at `/debug/episodes`.",
    )


class LogSettings(_Part):
    """What is logged to standard error, and how."""

    level: Literal["debug", "info", "warn", "error"] = Field("info", description="Least level to log.")
    format: Literal["auto", "logfmt", "json"] = Field(
        "auto", description="`auto`: coloured logfmt on a terminal, plain logfmt elsewhere."
    )


def _some(accounts: tuple[AccountSettings, ...]) -> tuple[AccountSettings, ...]:
    if not accounts:
        raise ValueError("no account; list at least one, or leave `accounts` out to use the environment")
    return accounts


class Settings(_Part):
    """All settings. `accounts` of the file replace the one that the environment makes."""

    accounts: Annotated[tuple[AccountSettings, ...], AfterValidator(_some)] = Field(
        (), description="The accounts to sweep; without any, the environment makes one."
    )
    sweep: SweepSettings = Field(
        default_factory=lambda: SweepSettings.model_validate({}), description="How often the API is swept."
    )
    metrics: MetricsSettings = Field(
        default_factory=lambda: MetricsSettings.model_validate({}), description="What is served."
    )
    detail: DetailSettings = Field(
        default_factory=lambda: DetailSettings.model_validate({}), description="Details of workloads."
    )
    select: SelectSettings = Field(
        default_factory=lambda: SelectSettings.model_validate({}), description="Which workloads."
    )
    state: StateSettings = Field(default_factory=lambda: StateSettings.model_validate({}), description="What is kept.")
    traces: TraceSettings = Field(
        default_factory=lambda: TraceSettings.model_validate({}), description="Traces of workloads."
    )
    alerts: AlertSettings = Field(default_factory=lambda: AlertSettings.model_validate({}), description="Alerts.")
    paging: PagingSettings = Field(
        default_factory=lambda: PagingSettings.model_validate({}), description="Who tells of alerts."
    )
    web: WebSettings = Field(
        default_factory=lambda: WebSettings.model_validate({}), description="The exporter's own HTTP server."
    )
    log: LogSettings = Field(default_factory=lambda: LogSettings.model_validate({}), description="Logging.")

    def secrets(self, environment: Mapping[str, str] = os.environ) -> Iterator[redaction.Source]:
        """Where the secrets of the settings come from, and the logins of proxies, which are in the environment."""
        for part in (*self.accounts, self.traces, *self.paging.receivers):
            yield from part.sources(environment)
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            for variable in (name, name.upper()):
                yield redaction.Source(partial(_with_login, environment, variable), redaction.url)

    def dump(self) -> str:
        """The settings as YAML, defaults included, secrets hidden."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def load(
    file: Path | None,
    environment: Mapping[str, str],
    flags: Mapping[str, Any] | None = None,
    accounts: Literal["needed", "planned", "replaced"] = "needed",
) -> Settings:
    """The settings of a file (None: no file), the environment and flags (``web.telemetry_path`` -> value).

    `accounts`: ``planned`` ones are not used, so their tokens may be missing; ``replaced`` ones are left out, for
    commands that bring their own. Raises `BadSettings` with all problems.
    """
    problems: list[Problem] = []
    told, lines = read(file, problems) if file is not None else ({}, {})
    origins = {place: "--" + place.replace("_", "-") for place in flags or {}}
    for place, value in (flags or {}).items():
        part, _, name = place.partition(".")
        if isinstance(told.setdefault(part, {}), dict):
            told[part][name] = value
    traces = told.setdefault("traces", {})
    if isinstance(traces, dict):
        for name, (variable, given) in _environment_traces(traces, environment).items():
            traces[name], origins[f"traces.{name}"] = given, variable
    from_environment = "accounts" not in told
    if accounts == "replaced" or (accounts == "planned" and from_environment):
        told["accounts"] = [{"token": "-"}]
    elif from_environment:
        told["accounts"] = [_environment_account(environment)]
        origins |= _ACCOUNT_VARIABLES
    settings: Settings | None = None
    try:
        settings = Settings.model_validate(told)
    except ValidationError as error:
        problems += problems_of(error, Settings, lines)
    if accounts == "needed":
        problems += _of_this_machine(told, environment, lines)
        problems += _of_accounts(settings, environment, lines)
    problems = [_renamed(each, origins) for each in problems]
    if problems or settings is None:
        raise BadSettings(problems)
    return settings


def _of_accounts(settings: Settings | None, environment: Mapping[str, str], lines: Lines) -> Iterator[Problem]:
    """Receivers of accounts that there are not; and what would POST to DataRobot, which is asked by GET alone."""
    if settings is None:
        return
    accounts = [account.name for account in settings.accounts]
    for number, receiver in enumerate(settings.paging.receivers):
        place = ("paging", "receivers", number)
        for unknown in sorted(receiver.accounts - {*accounts}):
            what = f"no account is called {unknown!r}{nearest(unknown, accounts)}"
            yield Problem(place_of((*place, "accounts")), what, lines.get((*place, "accounts")))
        for url in _addresses(receiver, environment):
            yield from _back_to_datarobot(settings, url, "a receiver", place, lines)
    yield from _back_to_datarobot(settings, settings.traces.endpoint, "a collector", ("traces", "endpoint"), lines)


def _addresses(receiver: AnyReceiver, environment: Mapping[str, str]) -> tuple[str, ...]:
    match receiver:
        case AlertmanagerSettings():
            return receiver.urls
        case PagerDutySettings():
            return (receiver.url,)
        case SlackSettings():
            return (receiver.source("webhook_url", environment)(),)
        case WebhookSettings():
            return (receiver.source("url", environment)(),)


def _back_to_datarobot(settings: Settings, url: str, name: str, place: Place, lines: Lines) -> Iterator[Problem]:
    host = _host(url)
    if host and any(_host(account.endpoint) == host for account in settings.accounts):
        yield Problem(place_of(place), f"{host} is DataRobot, which is only read; name {name}", lines.get(place))


def _host(url: str) -> str:
    """The host and port of a URL, without user and password; empty for what is none."""
    return urlsplit(url).netloc.rpartition("@")[2].lower() if is_url(url) else ""


def _environment_account(environment: Mapping[str, str]) -> dict[str, Any]:
    account: dict[str, Any] = {"endpoint": environment.get("DATAROBOT_ENDPOINT") or DEFAULT_ENDPOINT}
    if environment.get("DATAROBOT_API_TOKEN_FILE"):
        return account | {"token_file": environment["DATAROBOT_API_TOKEN_FILE"]}
    return account | {"token_env": "DATAROBOT_API_TOKEN"}


_ACCOUNT_VARIABLES = {
    "accounts": "environment",
    "accounts[0].endpoint": "DATAROBOT_ENDPOINT",
    "accounts[0].token_file": "DATAROBOT_API_TOKEN_FILE",
}
_TRACES_VARIABLES = (
    "ENDPOINT", "PROTOCOL", "HEADERS", "COMPRESSION", "CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY", "TIMEOUT",
)  # fmt: skip
_OF_THE_PROCESS = ("service.", "telemetry.", "process.", "host.", "os.", "container.", "k8s.")
"""Attributes of OTEL_RESOURCE_ATTRIBUTES that are true of this process and not of the workloads it tells about."""


def _environment_traces(told: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, tuple[str, Any]]:
    """Settings of traces that the file (`told`) lacks, as OpenTelemetry's variables give them: name -> variable, value.

    Empty where they switch their own exporter off, or nothing names an endpoint: then they are meant for somebody else.
    Where they switch OpenTelemetry off, there is no endpoint, whatever the file says.
    Source: OpenTelemetry specification, "OpenTelemetry Protocol Exporter" and "Environment Variable Specification".
    """
    given = {name: value.strip() for name, value in environment.items() if value.strip()}
    if given.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return {"endpoint": ("OTEL_SDK_DISABLED", "")}
    if given.get("OTEL_TRACES_EXPORTER") == "none":
        return {}
    found: dict[str, tuple[str, Any]] = {}
    for name in _TRACES_VARIABLES:
        for variable in (f"OTEL_EXPORTER_OTLP_{name}", f"OTEL_EXPORTER_OTLP_TRACES_{name}"):
            if variable in given:
                found[name.lower()] = variable, given[variable]
    if found.get("endpoint", ("",))[0] == "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" and "endpoint" not in told:
        found["path"] = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", ""  # it is a whole URL
    if "timeout" in found:
        variable, milliseconds = found["timeout"]
        found["timeout"] = variable, float(milliseconds) / 1000 if milliseconds.isdecimal() else milliseconds
    if not told.get("endpoint", "endpoint" in found):
        return {}
    if "OTEL_RESOURCE_ATTRIBUTES" in given:
        found["resource_attributes"] = "OTEL_RESOURCE_ATTRIBUTES", _shared(given["OTEL_RESOURCE_ATTRIBUTES"])
    return {name: each for name, each in found.items() if name not in told}


def _shared(given: str) -> str:
    """The pairs of OTEL_RESOURCE_ATTRIBUTES that are true of workloads, too. Others rely on that variable as well: what
    is wrong in it is told, and left out.
    """
    pairs = [pair for pair in given.split(",") if pair.strip()]
    good = [pair for pair in pairs if re.match(r"\s*[^\s=][^=]*=", pair)]
    if len(good) < len(pairs):
        from exporter.log import log  # here: commands that log nothing need not load structlog

        log.warning("OTEL_RESOURCE_ATTRIBUTES: what is no name=value is left out", pairs=len(pairs) - len(good))
    return ",".join(pair for pair in good if not pair.strip().startswith(_OF_THE_PROCESS))


def _of_this_machine(told: Mapping[str, Any], environment: Mapping[str, str], lines: Lines) -> Iterator[Problem]:
    """Names given twice, files that cannot be read, variables not set; looks at what was given, valid or not."""
    yield from _of_each(told["accounts"], ("accounts",), "account", environment, lines)
    traces = told["traces"] if isinstance(told["traces"], dict) else {}
    for key, what in _unreadable(traces, "certificate", "client_certificate", "client_key"):
        yield Problem(f"traces.{key}", what, lines.get(("traces", key)))
    paging = told.get("paging")
    receivers = paging.get("receivers") if isinstance(paging, dict) else ()
    yield from _of_each(receivers, ("paging", "receivers"), "receiver", environment, lines)


def _of_each(
    listed: object, place: Place, kind: str, environment: Mapping[str, str], lines: Lines
) -> Iterator[Problem]:
    taken: set[str] = set()
    for number, each in enumerate(listed if isinstance(listed, list) else ()):
        part = each if isinstance(each, dict) else {}
        name = str(part.get("name", "default" if kind == "account" else number))
        findings = [*_missing(part, environment), *_unreadable(part, *(key for key in part if key.endswith("_file")))]
        if name in taken:
            findings.insert(0, ("name", f"{name!r} is taken by another {kind}; give each its own name"))
        taken.add(name)
        for key, what in findings:
            yield Problem(place_of((*place, number, key)), what, lines.get((*place, number, key)))


def _missing(told: Mapping[str, Any], environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for key, variable in told.items():
        if key.endswith("_env") and isinstance(variable, str) and not environment.get(variable, "").strip():
            secret = "API token" if key == "token_env" else key.removesuffix("_env")
            yield key, f"{variable} is not set; put the {secret} into it"


def _unreadable(told: Mapping[str, Any], *keys: str) -> Iterator[tuple[str, str]]:
    for key in keys:
        path = told.get(key)
        if not isinstance(path, str):
            continue
        try:
            if not Path(path).read_text("utf-8").strip():
                yield key, f"{path} is empty"
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "no UTF-8 text"
            yield key, f"{path} cannot be read: {why}; check the path and the permissions"


def _renamed(problem: Problem, origins: Mapping[str, str]) -> Problem:
    """The problem at the flag or the variable that brought the value, where no file did."""
    near = [place for place in origins if re.match(re.escape(place) + r"(?![^.\[])", problem.place)]
    return Problem(origins[max(near, key=len)], problem.what) if near else problem
