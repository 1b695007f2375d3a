"""The families of an account: its limits and what counts towards them, its catalogue, and durations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from exporter.api import models
from exporter.api.details import ComputeBundle, offered
from exporter.fleet import workload_state
from exporter.fleet.evidence import counts_as_active, not_stopped
from exporter.fleet.ledger import DURATION_BUCKETS, Durations, Tally
from exporter.fleet.workload_state import NO_PRICES, Account, Costs, WorkloadState
from exporter.metrics.family import MetricKind, Profile, Samples, Stability, one


class Use(NamedTuple):
    """Usage of the workloads visible to the token: a lower bound of what counts towards the account's limits.

    `bundles`: ids of the bundles of all workloads. `full`: when the limit of active workloads will be reached, in
    seconds since the epoch; None: unknown, or not within a year. `forecast_from`: from when on that can be known.
    """

    active: int = 0
    replicas: int = 0
    live: int = 0
    bundles: frozenset[str] = frozenset()
    full: float | None = None
    forecast_from: float | None = None


class AccountFacts(NamedTuple):
    """Data of an account for its families."""

    account: Account
    use: Use | None
    tally: Tally
    costs: Costs = NO_PRICES


class AccountFamily(NamedTuple):
    """One family of an account; like `exporter.metrics.family.Family`, with ``account`` as the only common label."""

    name: str
    kind: MetricKind
    labels: tuple[str, ...]
    help: str
    source: str
    absence: str
    samples: Callable[[AccountFacts], Samples]
    unit: str = ""
    stability: Stability = "stable"
    profile: Profile = "standard"


def use(fleet: Iterable[WorkloadState]) -> Use:
    """Count usage; workloads that are stopped, suspended, interrupted or terminated use nothing."""
    active = replicas = live = 0
    bundles = set[str]()
    for state in fleet:
        bundles.update(bundle.id for bundle in workload_state.bundles(state) if bundle.id)
        active += counts_as_active(state)
        if not not_stopped(state):
            continue
        replicas += workload_state.max_replicas(state) or 0
        counted = workload_state.serving(state)
        live += counted.live if counted is not None else 0
    return Use(active, replicas, live, frozenset(bundles))


def _limit(value: int | None) -> Samples:
    return one(float(value) if value is not None and value > 0 else None)


def _replica_limit(known: AccountFacts) -> Samples:
    return () if "replica_limit_other" in known.account.readings else _limit(known.account.replicas_limit)


def _bundles(amount: Callable[[ComputeBundle], models.Number | None]) -> Callable[[AccountFacts], Samples]:
    def samples(known: AccountFacts) -> Samples:
        amounts = ((bundle.id, models.finite(amount(bundle))) for bundle in known.account.bundles or ())
        return tuple(sorted(((name,), value) for name, value in amounts if value is not None))

    return samples


def _prices(known: AccountFacts) -> Samples:
    there = {bundle.id for bundle in known.account.bundles or ()} | (known.use.bundles if known.use else frozenset())
    prices = known.costs.bundles
    return tuple(((name, known.costs.currency), prices[name]) for name in sorted(there & prices.keys()))


def unused_prices(known: AccountFacts) -> tuple[str, ...]:
    """The bundles with a price that neither the catalogue nor a workload names; none while either is not known."""
    if known.account.bundles is None or known.use is None:
        return ()
    there = {bundle.id for bundle in known.account.bundles} | known.use.bundles
    return tuple(sorted(known.costs.bundles.keys() - there))


def _platform(known: AccountFacts) -> Samples:
    versions = known.account.api_version, known.account.release
    return ((versions, 1.0),) if any(versions) else ()


def _offered(known: AccountFacts) -> Samples:
    bundles = known.account.bundles
    return one(None if bundles is None else float(len(offered(bundles) or ())))


def _histogram(durations: Durations) -> Iterator[tuple[tuple[str, ...], float]]:
    below = 0
    for bound, count in zip((*DURATION_BUCKETS, float("inf")), durations.counts, strict=True):
        below += count
        yield ("+Inf" if bound == float("inf") else str(bound),), float(below)
    yield ("count",), float(below)
    yield ("sum",), durations.sum


_LOWER = "A lower bound, limited to workloads shared with the token's user."
ACCOUNTS: tuple[AccountFamily, ...] = (
    AccountFamily("datarobot_account_info", "gauge", ("org_id",), "Properties of the account; always 1.",
        "GET /account/info orgId", "the route could not be read",
        lambda k: (((k.account.org_id,), 1.0),) if k.account.org_id else ()),
    AccountFamily("datarobot_account_platform_info", "gauge", ("api_version", "release"), "Version of the API and "
        "release of the platform, empty if not reported; always 1.", "GET /version, GET /config",
        "neither could be read", _platform, stability="experimental"),
    AccountFamily("datarobot_account_workloads_limit", "gauge", (), "Maximum number of active workloads.",
        "GET /account/info limits.maxConcurrentWorkloads", "no limit (0), or not reported",
        lambda k: _limit(k.account.workloads_limit), "workloads", profile="minimal"),
    AccountFamily("datarobot_account_workload_replicas_limit", "gauge", (), "Maximum number of replicas of each "
        "single workload.",
        "GET /account/info limits.maxWorkloadReplicas", "no limit (0), not reported, or found to be another limit",
        _replica_limit, "replicas", profile="minimal"),
    AccountFamily("datarobot_account_workloads_active", "gauge", (), "Workloads that are not stopped, suspended, "
        f"interrupted or terminated, or as the API counts them. {_LOWER}", "status", "no sweep was complete yet",
        lambda k: one(None if k.use is None else float(k.use.active)), "workloads", profile="minimal"),
    AccountFamily("datarobot_account_replicas_max", "gauge", (), "Maximum replicas of the active workloads according "
        f"to their settings. {_LOWER}", "replicaCount, maxReplicaCount", "no sweep was complete yet",
        lambda k: one(None if k.use is None else float(k.use.replicas)), "replicas", profile="minimal"),
    AccountFamily("datarobot_account_replicas_live", "gauge", (), f"Live pods of protons that serve and whose "
        f"pods could be read. {_LOWER}",
        "statusDetails", "no sweep was complete yet",
        lambda k: one(None if k.use is None else float(k.use.live)), "pods"),
    AccountFamily("datarobot_account_workloads_active_reported", "gauge", (), "Active workloads as counted by the "
        "API; the counting rule is not documented.", "GET /workloads/stats workloads.active",
        "the route could not be read",
        lambda k: one(None if k.account.active_reported is None else float(k.account.active_reported)), "workloads",
        "experimental"),
    AccountFamily("datarobot_account_bundle_cpu_cores", "gauge", ("bundle_id",), "CPU cores of an available "
        "resource bundle.",
        "GET /mlops/compute/bundles cpuCount", "the catalogue could not be read",
        _bundles(lambda bundle: bundle.cpu_count), "cores"),
    AccountFamily("datarobot_account_bundle_memory_bytes", "gauge", ("bundle_id",), "Memory of an available "
        "resource bundle, in bytes.", "GET /mlops/compute/bundles memoryBytes", "the catalogue could not be read",
        _bundles(lambda bundle: bundle.memory_bytes), "bytes"),
    AccountFamily("datarobot_account_bundle_gpus", "gauge", ("bundle_id",), "GPUs of an available resource bundle.",
        "GET /mlops/compute/bundles gpuCount", "the catalogue could not be read, or lists none",
        _bundles(lambda bundle: bundle.gpu_count), "GPUs"),
    AccountFamily("datarobot_account_bundles_offered", "gauge", (), "Resource bundles that the catalogue offers to "
        "workloads. If 0, the catalogue is empty or incomplete, and whether a workload's bundle is offered is unknown.",
        "GET /mlops/compute/bundles useCases", "the catalogue could not be read", _offered, "bundles"),
    AccountFamily("datarobot_account_workloads_full_timestamp_seconds", "gauge", (), "Time at which the active "
        "workloads reach the account's limit if the trend of the last seven days goes on, in seconds since the epoch.",
        "status, GET /account/info limits.maxConcurrentWorkloads", "no limit (0), no growth, not within a year, or "
        "observed for less than the setting costs.min_history",
        lambda k: one(None if k.use is None else k.use.full), "seconds", "experimental"),
    AccountFamily("datarobot_account_forecast_start_timestamp_seconds", "gauge", (), "Time from which on the number of "
        "active workloads has been observed for long enough to forecast it, in seconds since the epoch.",
        "status, setting costs.min_history", "no sweep was complete yet",
        lambda k: one(None if k.use is None else k.use.forecast_from), "seconds", "experimental"),
    AccountFamily("datarobot_account_bundle_price_per_hour", "gauge", ("bundle_id", "currency"), "Price of a replica "
        "per hour, of bundles in the catalogue or in use.", "setting costs.bundles", "no price is set", _prices,
        "currency per hour", "experimental"),
    AccountFamily("datarobot_account_price_unused", "gauge", ("bundle_id",), "1 for each bundle with a price in the "
        "settings that neither the catalogue nor a workload names.", "setting costs.bundles",
        "the bundle exists, or the catalogue could not be read",
        lambda k: tuple(((name,), 1.0) for name in unused_prices(k)), stability="experimental"),
    AccountFamily("datarobot_account_start_duration_seconds", "histogram", (), "Duration of starts observed from "
        "their beginning (starting or creation) until running, in seconds.", "observed: status, createdAt",
        "never", lambda k: tuple(_histogram(k.tally.starts)), "seconds"),
    AccountFamily("datarobot_account_replacement_duration_seconds", "histogram", (), "Duration of completed "
        "replacements observed from their beginning, in seconds.", "observed: replacement, events", "never",
        lambda k: tuple(_histogram(k.tally.replacements)), "seconds"),
)  # fmt: skip
