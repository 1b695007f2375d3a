"""Parts of pages: what series say of the workload `churn` (w1) of the account `acme`, well or not."""

from tests.alerts.timeline import Ago, Lag, Page, Value

STATUSES = (
    "unknown submitted pending scheduled initializing provisioning launching warming updating restarting running "
    "draining stopping stopped suspended interrupted errored failed terminated other"
).split()
STARTING = tuple("submitted pending scheduled initializing provisioning launching warming updating restarting".split())
IMPORTANCES = ("critical", "high", "moderate", "low", "other")
NOW = Ago(0)
ACTIVE = 'proton_id="p1",role="active"'
W, P, C, A, X = (f"datarobot_{kind}_" for kind in ("workload", "proton", "container", "account", "exporter"))
SINCE, FIRST = f"{W}status_since_timestamp_seconds", f"{W}first_observed_timestamp_seconds"
DOWN, DEGRADED, READY_SINCE, START = (
    f"{W}{name}_since_timestamp_seconds" for name in ("down", "degraded", "ready", "starting")
)
RECOVERING = f"{W}recovering_since_timestamp_seconds"
THIRD = f"{W}restarting_since_timestamp_seconds"
READY, LIVE = f"{P}replicas_ready{{{ACTIVE}}}", f"{P}replicas_live{{{ACTIVE}}}"
UNKNOWN, LEAST, MOST = f"{P}replicas_readiness_unknown{{{ACTIVE}}}", f"{W}replicas_min", f"{W}replicas_max"
ENDED = f'{C}last_terminated_timestamp_seconds{{container="primary"}}'
MINUTE, HOUR = 60.0, 3600.0


def status(now: str, since: Value = NOW) -> Page:
    """One-hot: the series of all other statuses are there, and 0."""
    return {f'{W}status{{status="{name}"}}': float(name == now) for name in STATUSES} | {SINCE: since}


def importance(now: str) -> Page:
    return {f'{W}importance{{importance="{name}"}}': float(name == now) for name in IMPORTANCES}


def artifact(status: str) -> Page:
    there = f'{W}artifact_info{{artifact_id="a1",artifact_name="a",artifact_status="%s",version="1"}}'
    return {there % name: 1.0 if name == status else None for name in ("draft", "locked")}


def pods(ready: float | None, least: float | None = 2, live: float | None = 2, most: float | None = 2) -> Page:
    return {READY: ready, UNKNOWN: None if ready is None else 0.0, LIVE: live, LEAST: least, MOST: most}


def waiting(reason: str, count: float = 1, role: str = "active") -> Page:
    return {f'{C}waiting_reason{{container="primary",proton_id="p1",reason="{reason}",role="{role}"}}': count}


def ended(reason: str, at: Value, count: float = 1) -> Page:
    name = f'{C}last_terminated_reason{{container="primary",proton_id="p1",reason="{reason}",role="active"}}'
    return {name: count, ENDED: at}


def requests(count: float, window: str = "5m") -> Page:
    return {f'{W}window_requests{{window="{window}"}}': count}


def errors(share: float, window: str = "5m") -> Page:
    return {f'{W}window_server_error_ratio{{window="{window}"}}': share}


def slow(share: float, window: str = "5m", allowed: float = 0.05) -> Page:
    """The share of slow requests, and the burn rate of an objective that allows a share of them; another burns fast."""
    return {
        **slow_ratio(share, window),
        **burn("latency", share / allowed, window),
        **burn("availability", 100, window),
    }


def slow_ratio(share: float, window: str) -> Page:
    return {f'{W}window_slow_ratio{{window="{window}"}}': share}


def burn(objective: str, rate: float, window: str) -> Page:
    return {f'{W}objective_burn_rate{{objective="{objective}",window="{window}"}}': rate}


def target(objective: str, ratio: float) -> Page:
    return {f'{W}objective_target_ratio{{objective="{objective}"}}': ratio}


def refused(share: float, window: str = "5m") -> Page:
    return {f'{W}window_client_error_ratio{{window="{window}"}}': share}


def response(seconds: float, quantile: str = "0.95", window: str = "5m") -> Page:
    return {f'{W}window_response_seconds{{quantile="{quantile}",window="{window}"}}': seconds}


def memory(level: str, used: float, of: float) -> Page:
    return {f'{W}memory_usage_bytes{{level="{level}"}}': used, f"{W}replica_memory_bytes": of}


def lacking(resource: str, count: float = 1, role: str = "active") -> Page:
    there = f'{P}replicas_unschedulable{{proton_id="p1",resource="%s",role="{role}"}}'
    return {there % name: count if name == resource else 0.0 for name in ("gpu", "cpu", "memory", "other")}


def failing(**reasons: str) -> Page:
    """The parts of the details whose last request failed."""
    return {f'{W}detail_failing{{part="{part}",reason="{reason}"}}': 1.0 for part, reason in reasons.items()}


DENIED: Page = {f"{W}access_reduced": 1.0}
"""The token may no longer read the details."""


def fleet(**statuses: str) -> Page:
    """More workloads of the account, by their ids."""
    pages = {i: {name: value for name, value in status(now).items() if name != SINCE} for i, now in statuses.items()}
    return {name: value for i, page in pages.items() for name, value in of_another(i, page).items()}


def of_another(i: str, page: Page) -> Page:
    """The same of another workload, by its id."""

    def named(name: str) -> str:
        family, _, labels = name.rstrip("}").partition("{")
        return f'{family}{{{labels + "," if labels else ""}workload="{i}",workload_id="{i}"}}'

    return {named(name): value for name, value in page.items()}


def swept(at: Value, interval: float = 30) -> Page:
    return {
        f'{X}sweep_last_success_timestamp_seconds{{lane="status"}}': at,
        f'{X}sweep_interval_seconds{{lane="status"}}': interval,
    }


WELL: Page = {
    f"{W}info": 1.0,
    **status("running", Ago(7200)),
    FIRST: -90000.0,
    **importance("high"),
    **artifact("locked"),
    **pods(2),
    f'{W}fresh{{part="pods"}}': 1.0,
    f'{W}fresh{{part="list"}}': 1.0,
    f"{W}replacement_active": 0.0,
    f"{A}workloads_active": 25.0,
    "up": 1.0,
    f"{X}api_up": 1.0,
    **swept(Lag(10)),
    f'{X}sweep_complete{{lane="status"}}': 1.0,
}
GONE: Page = {name: None for name in WELL if name.startswith((W, P, C))}


CANDIDATE = 'proton_id="p2",role="candidate"'


def of_candidate(ready: float, unknown: float = 0) -> Page:
    """The pods of a candidate, which do not serve yet."""
    return {f"{P}replicas_ready{{{CANDIDATE}}}": ready, f"{P}replicas_readiness_unknown{{{CANDIDATE}}}": unknown}


def of_second(ready: float | None = 0, unknown: float | None = 0, live: float | None = None) -> Page:
    """The pods of a second version that serves for good, beside the active one."""
    numbers = {"ready": ready, "readiness_unknown": unknown, "live": live}
    return {f'{P}replicas_{name}{{proton_id="p9",role="serving"}}': number for name, number in numbers.items()}
