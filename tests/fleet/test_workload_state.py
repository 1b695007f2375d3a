"""Predicates that are shared by metrics, polling and alerts."""

import pytest

from exporter.api.models import Artifact, Autoscaling, Bundle, Group, Replacement, Runtime, Workload
from exporter.api.pods import Pods, Proton, StatusDetails
from exporter.fleet import workload_state
from exporter.fleet.workload_state import Details, Unread, WorkloadState
from tests.make import container, pods, replica, sight

AUTOSCALED = Runtime(container_groups=(Group(autoscaling=Autoscaling(min_replica_count=0, max_replica_count=3)),))
TWO = Runtime(container_groups=(Group(replica_count=2),))
NONE = pods()
ONE = pods(replica(container()))
WAITING = container(status="waiting", reason="ErrImagePull", ready=True)
DRAFT = Artifact(status="draft")


def state(runtime: Runtime | None = None, expected: Pods | None = None, status: str = "running") -> WorkloadState:
    return sight(Workload(id="w", status=status, proton_id="p", runtime=runtime), details=Details(pods=expected))


@pytest.mark.parametrize(
    ("of", "zero"),
    [
        (state(AUTOSCALED, NONE), True),
        (state(AUTOSCALED, NONE, "stopped"), True),
        (state(AUTOSCALED, NONE, "unknown"), True),
        (state(AUTOSCALED, ONE), False),
        (state(AUTOSCALED, NONE, "errored"), False),
        (state(AUTOSCALED, NONE, "submitted"), False),
        (state(AUTOSCALED, None), None),
        (state(TWO, NONE), None),
        (state(None, NONE), None),
    ],
)
def test_scaled_to_zero_is_distinguished_from_broken(of: WorkloadState, zero: bool | None) -> None:
    assert workload_state.scaled_to_zero(of) is zero


def test_a_workload_that_starts_is_scaled_to_zero_only_if_the_api_reports_that_state_so() -> None:
    starts = state(AUTOSCALED, NONE, "submitted")
    assert workload_state.scaled_to_zero(starts._replace(readings=frozenset({"zero_replicas_starting"})))


def test_an_impossible_number_of_replicas_is_unknown() -> None:
    negative = Runtime(container_groups=(Group(replica_count=-2), Group(replica_count=5)))
    assert workload_state.min_replicas(state(negative)) is None
    bounds = Runtime(container_groups=(Group(autoscaling=Autoscaling(min_replica_count=-1, max_replica_count=3)),))
    assert (workload_state.min_replicas(state(bounds)), workload_state.max_replicas(state(bounds))) == (None, 3)
    assert list(workload_state.pod_problems(state(bounds, NONE))) == ["no live pod"]


@pytest.mark.parametrize(
    ("of", "words"),
    [
        (state(TWO, pods(replica(container()), replica(container()))), []),
        (state(TWO, ONE), ["pods not ready"]),
        (state(TWO, NONE), ["no live pod"]),
        (state(AUTOSCALED, NONE), []),
        (state(TWO, None), []),
        (state(None, pods(replica(WAITING))), ["a container waits"]),
    ],
)
def test_pod_problems_of_a_running_workload(of: WorkloadState, words: list[str]) -> None:
    assert list(workload_state.pod_problems(of)) == words


@pytest.mark.parametrize(
    ("proton", "role"),
    [
        (Proton(id="p"), "active"),
        (Proton(id="c", role="candidate"), "candidate"),
        (Proton(id="named"), "candidate"),
        (Proton(id="o", status="draining"), "outgoing"),
        (Proton(id="s", status="stopped"), "other"),
    ],
)
def test_the_role_of_a_proton_is_inferred_if_not_reported(proton: Proton, role: str) -> None:
    workload = Workload(id="w", proton_id="p", replacement=Replacement(candidate_proton_ids=("named",)))
    found = sight(workload, details=Details(pods=Pods((Proton(id="p"), proton), {})))
    assert workload_state.role(found, proton) == role


@pytest.mark.parametrize(
    ("runtime", "bounds"),
    [
        (TWO, (2, 2)),
        (AUTOSCALED, (0, 3)),
        (Runtime(container_groups=(Group(replica_count=2), *(AUTOSCALED.container_groups or ()))), (2, 5)),
        (Runtime(container_groups=(Group(),)), (None, None)),
        (None, (None, None)),
    ],
)
def test_bounds_add_up_over_the_groups(runtime: Runtime | None, bounds: tuple[int | None, int | None]) -> None:
    assert (workload_state.min_replicas(state(runtime)), workload_state.max_replicas(state(runtime))) == bounds


BUNDLE = Bundle("cpu.small", 1.0, 512, 0)
OTHER = Bundle("cpu.large", 8.0, 4096, 0)
SMALL = Runtime(container_groups=(Group(resolved_bundle=BUNDLE),))


@pytest.mark.parametrize(
    ("runtime", "expected", "live"),
    [
        (SMALL, ONE, {BUNDLE: 1}),
        (SMALL, NONE, {BUNDLE: 0}),
        (SMALL, pods(replica(), replica(status="succeeded")), {BUNDLE: 1}),
        (SMALL, pods(replica(), runtime=Runtime(container_groups=(Group(resolved_bundle=OTHER),))), {OTHER: 1}),
        (SMALL, Pods((Proton(id="p"),), {"p": None}), None),
        (SMALL, Pods(ONE.protons, ONE.details, {"": "decode"}), None),
        (SMALL, None, None),
        (TWO, ONE, None),
    ],
)
def test_pods_are_counted_by_the_bundle_they_run_on(
    runtime: Runtime, expected: Pods | None, live: dict[Bundle, int] | None
) -> None:
    assert workload_state.live_by_bundle(state(runtime, expected)) == live


@pytest.mark.parametrize(
    ("group", "catalogue", "bundle"),
    [
        (Group(resolved_bundle=BUNDLE, resource_bundles=("cpu.large",)), {"cpu.large": OTHER}, BUNDLE),
        (Group(resource_bundles=("cpu.large",)), {"cpu.small": BUNDLE, "cpu.large": OTHER}, OTHER),
        (Group(resource_bundles=("cpu.small", "cpu.large")), {"cpu.small": BUNDLE, "cpu.large": OTHER}, None),
        (Group(resource_bundles=("withdrawn",)), {"cpu.small": BUNDLE}, None),
        (Group(resource_bundles=("cpu.small",)), None, None),
        (Group(), {"cpu.small": BUNDLE}, None),
    ],
    ids=["reported", "from the catalogue", "one of several", "not in the catalogue", "no catalogue", "none configured"],
)
def test_a_bundle_that_is_not_reported_is_the_only_configured_one_of_the_catalogue(
    group: Group, catalogue: dict[str, Bundle] | None, bundle: Bundle | None
) -> None:
    of = state(Runtime(container_groups=(group,)), ONE)._replace(catalogue=catalogue)
    assert workload_state.bundles(of) == (() if bundle is None else (bundle,))
    assert workload_state.live_by_bundle(of) == (None if bundle is None else {bundle: 1})


def test_pods_of_a_version_run_on_the_bundle_of_its_own_settings() -> None:
    own = Runtime(container_groups=(Group(resource_bundles=("cpu.large",)),))
    of = state(SMALL, pods(replica(), runtime=own))._replace(catalogue={"cpu.large": OTHER})
    assert workload_state.live_by_bundle(of) == {OTHER: 1}


SERVES, NEW, DRAINS, GONE = (
    Proton("p", status="running", role="active"),
    Proton("c", status="warming", role="candidate"),
    Proton("o", status="draining"),
    Proton("s", status="stopped"),
)


def partly(
    *protons: Proton, of: str | None = "p", refused: bool = False, failed: str = "", **unread: str
) -> WorkloadState:
    """A workload with these protons. `unread`: protons whose pods could not be read; `_`: unlisted ones."""
    reasons = {name.replace("_", ""): reason for name, reason in unread.items()}
    found = {p.id: None if p.id in reasons else StatusDetails() for p in protons}
    details = Details(
        pods=Pods(protons, found, reasons) if protons else None,
        refused=frozenset({"pods"} if refused else ()),
        failed={"pods": failed} if failed else {},
    )
    return sight(Workload(id="w", status="running", proton_id=of), details=details)


@pytest.mark.parametrize(
    ("of", "unread", "unreadable"),
    [
        (partly(SERVES, DRAINS), [], ""),
        (partly(SERVES, DRAINS, o="server_error"), [("outgoing", "o", "server_error")], ""),
        (partly(SERVES, DRAINS, p="forbidden"), [("active", "p", "forbidden")], "forbidden"),
        (
            partly(SERVES, NEW, GONE, c="timeout", s="decode"),
            [("candidate", "c", "timeout"), ("other", "s", "decode")],
            "",
        ),
        # With an incomplete list the named proton is known, but the newest running one may not be the serving one.
        (partly(SERVES, _="decode"), [("unknown", "", "decode")], ""),
        (partly(Proton("o", status="running"), _="decode"), [("unknown", "", "decode")], "decode"),
        (partly(Proton("o", status="running")), [], ""),
        (partly(DRAINS, GONE, of=None, s="tls"), [("other", "s", "tls")], "tls"),
        # All requests failed, or none was sent yet.
        (partly(failed="server_error"), [], "server_error"),
        (partly(refused=True, failed="server_error"), [], "forbidden"),
        (partly(), [], ""),
        (partly(SERVES, failed="timeout"), [], ""),
    ],
)
def test_which_pods_could_not_be_read_and_whether_it_matters(
    of: WorkloadState, unread: list[tuple[str, str, str]], unreadable: str
) -> None:
    assert [tuple(each) for each in workload_state.unread(of)] == unread
    assert workload_state.unreadable(of) == unreadable
    if unreadable:
        assert workload_state.serving(of) is None
        assert workload_state.live_by_bundle(of) is None
        assert workload_state.scaled_to_zero(of) is None


@pytest.mark.parametrize(
    ("unread", "words"),
    [
        (
            Unread("outgoing", "5f", "server_error"),
            "outgoing version 5f: server error (5xx), which is common while a version drains",
        ),
        (Unread("active", "5f", "server_error"), "serving version 5f: server error (5xx)"),
        (
            Unread("outgoing", "5f", "forbidden"),
            "outgoing version 5f: access is denied (403); give the token's user the role `user` on the workload",
        ),
        (Unread("candidate", "5f", "decode"), "new version 5f: the response cannot be decoded"),
        (Unread("other", "5" * 99, "odd"), f"version {'5' * 64}: odd"),
        (Unread("unknown", "", "decode"), "a version missing from the list: the response cannot be decoded"),
    ],
)
def test_unread_pods_are_named_with_the_reason_and_the_remedy(unread: Unread, words: str) -> None:
    assert unread.text == words


def test_a_running_outgoing_version_is_not_taken_for_a_missing_one() -> None:
    running = Proton("o", status="running")
    assert workload_state.role(partly(running), running) == "active"
    assert workload_state.role(partly(running, _="decode"), running) == "outgoing"


@pytest.mark.parametrize(
    ("status", "proton", "expiry"),
    [
        ("running", Proton(id="p", running_since="1970-01-01T01:00:00Z"), 9 * 3600.0),
        ("running", Proton(id="p", created_at="1970-01-01T02:00:00Z"), 10 * 3600.0),
        ("running", None, 8 * 3600.0 + 1),
        ("stopped", None, None),
    ],
)
def test_a_draft_ends_eight_hours_after_its_proton_began(
    status: str, proton: Proton | None, expiry: float | None
) -> None:
    found = Details(pods=Pods((proton,), {"p": StatusDetails()})) if proton is not None else Details()
    workload = Workload(id="w", status=status, proton_id="p", artifact=DRAFT, created_at="1970-01-01T00:00:01Z")
    assert workload_state.draft_expiry(sight(workload, details=found)) == expiry


@pytest.mark.parametrize(
    ("reading", "expiry"), [("draft_time_from_creation", 8 * 3600.0 + 1), ("draft_time_other", None)]
)
def test_the_end_of_a_draft_follows_the_reading_in_force(reading: str, expiry: float | None) -> None:
    found = Details(pods=Pods((Proton(id="p", running_since="1970-01-01T04:00:00Z"),), {"p": StatusDetails()}))
    workload = Workload(id="w", status="running", proton_id="p", artifact=DRAFT, created_at="1970-01-01T00:00:01Z")
    known = sight(workload, details=found, readings=frozenset({reading}))
    assert workload_state.draft_expiry(known) == expiry


def test_a_draft_without_any_time_has_no_known_end() -> None:
    assert workload_state.draft_expiry(sight(Workload(id="w", status="running", artifact=DRAFT))) is None


def test_the_creation_time_of_a_restarted_draft_does_not_determine_its_end() -> None:
    old = Workload(id="w", status="running", artifact=DRAFT, created_at="1970-01-01T00:00:00Z")
    assert workload_state.draft_expiry(sight(old, since=9 * 3600.0)) is None
