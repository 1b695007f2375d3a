"""What the daemon is told: one frozen `Settings` from a YAML file, the environment and a few flags.

Flags win over the file, the file over the environment, the environment over the defaults. Every problem is found at
once and told with its place and a remedy, before anything is opened. Secrets never show in a repr, a dump or an error.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)

from exporter.checked import BadSettings, Lines, Problem, problems_of, read
from exporter.core.conditions import ALERTS, DEFAULTS
from exporter.core.rules import Options

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
    given = endpoint.strip()
    try:
        parts = urlsplit(given)
        parts.port  # noqa: B018 — reading it checks it
    except ValueError as error:
        raise ValueError(f"no URL: {error}; give one such as {DEFAULT_ENDPOINT}") from None
    if parts.username or parts.password:
        raise ValueError("a URL with a user or password in it; the token goes into token_file or the environment")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"no URL with http:// or https:// and a host; give one such as {DEFAULT_ENDPOINT}")
    if parts.query or parts.fragment:
        raise ValueError(f"a URL with a query or fragment; give one such as {DEFAULT_ENDPOINT}")
    return given.rstrip("/").removesuffix("/api/v2").rstrip("/") + "/api/v2"


def listen_address(given: str) -> tuple[str, int]:
    """Host and port of ``HOST:PORT``, ``[::1]:PORT`` or ``:PORT`` (all addresses: empty host). Raises ValueError."""
    host, colon, port = given.strip().rpartition(":")
    if not colon or not port.isdecimal() or not int(port) < 65536 or (":" in host and not host.startswith("[")):
        raise ValueError(f"no HOST:PORT; give one such as {DEFAULT_ADDRESS}, [::1]:10142, or :10142 for all addresses")
    return host.strip("[]"), int(port)


Duration = Annotated[float, BeforeValidator(seconds), Field(gt=0, allow_inf_nan=False)]


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
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Account(_Part):
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
        10.0, gt=0, le=1000, description="Budget: requests to the API per second, evenly spaced, retries included."
    )
    concurrency: int = Field(4, ge=1, le=64, description="Budget: requests to the API at once.")
    timeout: Duration = Field(30.0, description="Time for one request, from start to last byte.")

    @model_validator(mode="after")
    def _one_token(self) -> Self:
        given = [name for name in ("token_file", "token_env", "token") if getattr(self, name) is not None]
        if len(given) != 1:
            said = " and ".join(given) if given else "no token"
            raise ValueError(f"{said}; give exactly one of token_file, token_env and token")
        return self

    @property
    def origin(self) -> str:
        """Scheme, host and port of the endpoint: what tells one installation of DataRobot from another."""
        parts = urlsplit(self.endpoint)
        return f"{parts.scheme}://{parts.netloc.lower()}"

    def token_source(self, environment: Mapping[str, str] = os.environ) -> Callable[[], str]:
        """A function that gives the token as it is now; a token file is read again when it has changed."""
        if self.token_file is not None:
            return _TokenFile(self.token_file)
        if self.token_env is not None:
            name = self.token_env
            return lambda: environment.get(name, "").strip()
        secret = self.token or SecretStr("")
        return lambda: secret.get_secret_value().strip()


class _TokenFile:
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
        return f"<token of {self._path}>"


class Sweep(_Part):
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


class Metrics(_Part):
    """Which families are served."""

    profile: Literal["minimal", "standard", "full"] = Field(
        "standard", description="`minimal` for users billed by series, `full` adds raw values of undocumented meaning."
    )
    series_limit: int = Field(
        2_000_000,
        ge=0,
        description="Most series of workloads per account; workloads beyond it are left out, counted and logged. "
        "0: no limit.",
    )


class Detail(_Part):
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


class State(_Part):
    """What is kept across restarts: when things were first seen, and all totals of workloads."""

    path: Path | None = Field(
        None, description="SQLite file of the state. Without it, totals of workloads begin anew at each start."
    )
    on_trouble: Literal["refuse", "set_aside"] = Field(
        "refuse",
        description="When the file is damaged or newer than this exporter: `refuse` to start, or `set_aside` the file "
        "under another name and begin anew.",
    )


class Select(_Part):
    """Which workloads are watched; what is left out is counted. Empty means all."""

    tags: tuple[Annotated[str, Field(pattern=r"^[^=]+(=.*)?$")], ...] = Field(
        (), description="Tags that a workload must all have: `name=value`, or `name` for any value."
    )
    importance: tuple[Literal["critical", "high", "moderate", "low"], ...] = Field((), description="Importances.")
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


def _named(of: Collection[str], kind: str) -> AfterValidator:
    def check(told: Collection[str]) -> Collection[str]:
        unknown = [name for name in told if name not in of]
        if unknown:
            near = difflib.get_close_matches(unknown[0], of, 1)
            raise ValueError(f"no {kind} is called {unknown[0]!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
        return told

    return AfterValidator(check)


_ALERT = _named([alert.name for alert in ALERTS], "alert")


class Alerts(_Part):
    """The alerts: what rules are written, with which thresholds. See docs/alerts.md."""

    selector: str = Field(
        'job="datarobot"',
        pattern=r'^(\w+(=|=~|!=|!~)"[^"\\]*"(, ?|$))*$',
        description="Matchers in every selector of the rules.",
    )
    thresholds: Annotated[dict[str, float], _named(DEFAULTS, "threshold")] = Field(
        default_factory=dict, description="Thresholds by name, where they differ from those in docs/alerts.md."
    )
    wait: Annotated[dict[str, Annotated[float, BeforeValidator(seconds), Field(ge=0)]], _ALERT] = Field(
        default_factory=dict, description="How long the condition of an alert must hold, by its name."
    )
    on: Annotated[tuple[str, ...], _ALERT] = Field((), description="Alerts to add that are off by default.")
    off: Annotated[tuple[str, ...], _ALERT] = Field((), description="Alerts to leave out.")
    labels: dict[str, str] = Field(default_factory=dict, description="Labels set on every alert.")
    severity_label: str = Field("severity", pattern=r"^[a-zA-Z_]\w*$", description="Name of the label of severity.")
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


class Web(_Part):
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


class Log(_Part):
    """What is logged to standard error, and how."""

    level: Literal["debug", "info", "warn", "error"] = Field("info", description="Least level to log.")
    format: Literal["auto", "logfmt", "json"] = Field(
        "auto", description="`auto`: coloured logfmt on a terminal, plain logfmt elsewhere."
    )


def _some(accounts: tuple[Account, ...]) -> tuple[Account, ...]:
    if not accounts:
        raise ValueError("no account; list at least one, or leave `accounts` out to use the environment")
    return accounts


class Settings(_Part):
    """All settings. `accounts` of the file replace the one that the environment makes."""

    accounts: Annotated[tuple[Account, ...], AfterValidator(_some)] = Field(
        (), description="The accounts to sweep; without any, the environment makes one."
    )
    sweep: Sweep = Field(default_factory=lambda: Sweep.model_validate({}), description="How often the API is swept.")
    metrics: Metrics = Field(default_factory=lambda: Metrics.model_validate({}), description="What is served.")
    detail: Detail = Field(default_factory=lambda: Detail.model_validate({}), description="Details of workloads.")
    select: Select = Field(default_factory=lambda: Select.model_validate({}), description="Which workloads.")
    state: State = Field(default_factory=lambda: State.model_validate({}), description="What is kept.")
    alerts: Alerts = Field(default_factory=lambda: Alerts.model_validate({}), description="Alerts.")
    web: Web = Field(default_factory=lambda: Web.model_validate({}), description="The exporter's own HTTP server.")
    log: Log = Field(default_factory=lambda: Log.model_validate({}), description="Logging.")

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
    for place, value in (flags or {}).items():
        part, _, name = place.partition(".")
        if isinstance(told.setdefault(part, {}), dict):
            told[part][name] = value
    from_environment = "accounts" not in told
    if accounts == "replaced" or (accounts == "planned" and from_environment):
        told["accounts"] = [{"token": "-"}]
    elif from_environment:
        told["accounts"] = [_environment_account(environment)]
    settings: Settings | None = None
    try:
        settings = Settings.model_validate(told)
    except ValidationError as error:
        found = problems_of(error, Settings, lines)
        problems += [_renamed(each, flags or {}, from_environment) for each in found]
    if accounts == "needed":
        problems += _of_this_machine(told["accounts"], environment, lines, from_environment)
    if problems or settings is None:
        raise BadSettings(problems)
    return settings


def _environment_account(environment: Mapping[str, str]) -> dict[str, Any]:
    account: dict[str, Any] = {"endpoint": environment.get("DATAROBOT_ENDPOINT") or DEFAULT_ENDPOINT}
    if environment.get("DATAROBOT_API_TOKEN_FILE"):
        return account | {"token_file": environment["DATAROBOT_API_TOKEN_FILE"]}
    return account | {"token_env": "DATAROBOT_API_TOKEN"}


def _of_this_machine(accounts: Any, environment: Mapping[str, str], lines: Lines, named: bool) -> Iterator[Problem]:
    """Names given twice, files that cannot be read, variables not set; looks at what was given, valid or not."""
    taken: set[str] = set()
    for number, account in enumerate(accounts if isinstance(accounts, list) else ()):
        told = account if isinstance(account, dict) else {}
        name = str(told.get("name", "default"))
        findings = [*_missing(told, environment)]
        if name in taken:
            findings.insert(0, ("name", f"{name!r} is taken by another account; give each its own name"))
        taken.add(name)
        for key, what in findings:
            if named:
                yield Problem({"token_file": "DATAROBOT_API_TOKEN_FILE"}.get(key, "environment"), what)
            else:
                yield Problem(f"accounts[{number}].{key}", what, lines.get(("accounts", number, key)))


def _missing(account: Mapping[str, Any], environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    variable = account.get("token_env")
    if isinstance(variable, str) and not environment.get(variable, "").strip():
        yield "token_env", f"{variable} is not set; put the API token into it"
    for key in ("token_file", "ca_file"):
        path = account.get(key)
        if not isinstance(path, str):
            continue
        try:
            if not Path(path).read_text("utf-8").strip():
                yield key, f"{path} is empty"
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "no UTF-8 text"
            yield key, f"{path} cannot be read: {why}; check the path and the permissions"


def _renamed(problem: Problem, flags: Mapping[str, Any], from_environment: bool) -> Problem:
    """The problem at the flag or the variable that brought the value, where no file did."""
    flag = next((f for f in flags if problem.place == f or problem.place.startswith(f + "[")), None)
    if flag is not None:
        return Problem("--" + flag.replace("_", "-"), problem.what)
    if from_environment and problem.place.startswith("accounts"):
        names = {"endpoint": "DATAROBOT_ENDPOINT", "token_file": "DATAROBOT_API_TOKEN_FILE"}
        return Problem(names.get(problem.place.rpartition(".")[2], "environment"), problem.what)
    return problem
