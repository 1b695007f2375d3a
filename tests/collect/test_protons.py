"""Pods of a workload whose protons answer differently: what is read, what is shown, and what is said to be unknown.

The first part is one poll against answers that are written down beside what is made of them; the second is the daemon's
own polling of a simulated API, in virtual time.
"""

import asyncio
import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.api.decoding import NotDecodable
from exporter.api.models import Workload
from exporter.api.pods import UNREAD_REASONS, Pods, Proton
from exporter.collect.client import ApiError, Client
from exporter.collect.fetchers import FETCHERS, MAX_PROTONS, Poll
from exporter.failures import REASONS
from exporter.fleet.workload_state import Details
from exporter.simulator import SimulatedApi
from exporter.simulator.stories import CRASHING, FOREVER, READY, Story, StoryStep
from tests.make import sight
from tests.one_story import OneStory
from tests.stage import Stage, played

OK = 200, {"replicas": [{"name": "pod", "status": "running"}]}
NONE, GONE, FAILS, REFUSED = (204, None), (404, {"detail": "x"}), (500, {"detail": "x"}), (403, {"detail": "x"})
NO_LIST = (200, {"replicas": "none"})
CUT, LOGGED_OUT, NO_OBJECT = (200, '{"replicas": ['), (401, {"detail": "x"}), (200, "[]")
ACTIVE = {"id": "a", "status": "running", "role": "active", "createdAt": "2026-01-01T00:00:00Z"}
DRAINS = {"id": "d", "status": "draining", "createdAt": "2026-01-02T00:00:00Z"}
NEW = {"id": "n", "status": "warming", "role": "candidate", "createdAt": "2026-01-03T00:00:00Z"}


class PodsPoll(NamedTuple):
    """What one poll made of the answers: which protons have a snapshot, which are unread and why, or the error."""

    read: Collection[str] = frozenset()
    unread: Mapping[str, str] = {}
    error: str = ""
    requested: tuple[str, ...] = ()
    rejects: tuple[str, ...] = ()


class _Uncounted:
    def request(self, endpoint: str, code: str, seconds: float) -> None: ...
    def failure(self, endpoint: str, reason: str) -> None: ...
    def received(self, endpoint: str, size: int) -> None: ...
    def retry(self, endpoint: str, reason: str) -> None: ...
    def wait(self, reason: str, seconds: float) -> None: ...
    def paused(self, endpoint: str, seconds: float) -> None: ...
    def resumed(self, endpoint: str) -> None: ...


def polled(
    listed: list[Any], answers: dict[str, Any], before: tuple[Proton, ...] = (), **envelope: Any
) -> tuple[PodsPoll, Pods | None]:
    """One poll of the protons `listed`; `answers` are those to statusDetails, by proton: a status and a body."""
    requested: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        match = re.search(r"/protons/(\w+)/statusDetails", request.url.path)
        if match is None:
            return httpx.Response(200, json={"data": listed, **envelope})
        requested.append(match[1])
        status, body = answers[match[1]]
        return httpx.Response(status, content=body if isinstance(body, str) else json.dumps(body))

    async def pause(_: float) -> None:
        return None

    async def poll() -> tuple[PodsPoll, Pods | None]:
        state = sight(Workload(id="w", status="running", proton_id="a"), details=Details(pods=Pods(before)))
        transport = httpx.MockTransport(answer)
        ticks = iter(range(10**6))
        client = Client(
            "http://dr.test/api/v2", lambda: "t", _Uncounted(), transport=transport, pause=pause,
            steady=lambda: float(next(ticks)),
        )  # fmt: skip
        async with client:
            try:
                pods, rejects = await FETCHERS["pods"](Poll(client, state, 0.0))
            except ApiError as error:
                return PodsPoll(error=error.reason, requested=tuple(dict.fromkeys(requested))), None
            except NotDecodable:
                return PodsPoll(error="decode", requested=tuple(dict.fromkeys(requested))), None
        found = pods or Pods()
        read = {proton for proton, snapshot in found.details.items() if snapshot is not None}
        listed = tuple(f"{reject.path} {reject.reason}" for reject in rejects)
        return PodsPoll(read, dict(found.unread), "", tuple(dict.fromkeys(requested)), listed), pods

    return asyncio.run(poll())


@pytest.mark.parametrize(
    ("answers", "poll"),
    [
        ({"a": OK, "d": OK, "n": OK}, PodsPoll({"a", "d", "n"})),
        ({"a": OK, "d": FAILS, "n": OK}, PodsPoll({"a", "n"}, {"d": "server_error"})),
        ({"a": OK, "d": REFUSED, "n": FAILS}, PodsPoll({"a"}, {"d": "forbidden", "n": "server_error"})),
        ({"a": FAILS, "d": OK, "n": OK}, PodsPoll({"d", "n"}, {"a": "server_error"})),
        ({"a": OK, "d": CUT, "n": NONE}, PodsPoll({"a"}, {"d": "decode"}, rejects=("$ json",))),
        ({"a": NO_LIST, "d": OK, "n": OK}, PodsPoll({"d", "n"}, {"a": "decode"}, rejects=("$ type",))),
        ({"a": OK, "d": NO_OBJECT, "n": OK}, PodsPoll({"a", "n"}, {"d": "decode"}, rejects=("$ no_data",))),
        # Without a list of pods nothing is known of them: that is not a list without pods.
        ({"a": (200, {}), "d": (200, {"replicas": None}), "n": (200, {"replicas": []})}, PodsPoll({"n"})),
        # No snapshot yet, or taken away since it was listed: both are known, neither is a failure.
        ({"a": NONE, "d": GONE, "n": NONE}, PodsPoll()),
        ({"a": NONE, "d": FAILS, "n": GONE}, PodsPoll(set(), {"d": "server_error"})),
        # Where none can be read the whole part fails, as the one that serves does.
        ({"a": REFUSED, "d": FAILS, "n": CUT}, PodsPoll(error="forbidden")),
        ({"a": FAILS, "d": REFUSED, "n": REFUSED}, PodsPoll(error="server_error")),
        ({"a": CUT, "d": REFUSED, "n": GONE}, PodsPoll(error="decode")),
        ({"a": GONE, "d": REFUSED, "n": FAILS}, PodsPoll(error="server_error")),  # of the others, the newest first
        # What fails for all is not requested of the others; what was read before is kept.
        ({"a": LOGGED_OUT, "d": OK, "n": OK}, PodsPoll(error="auth", requested=("a",))),
        ({"a": OK, "d": OK, "n": LOGGED_OUT}, PodsPoll({"a"}, {"n": "auth", "d": "auth"}, requested=("a", "n"))),
        ({"a": FAILS, "d": OK, "n": LOGGED_OUT}, PodsPoll(error="server_error", requested=("a", "n"))),
    ],
)
def test_a_proton_that_cannot_be_read_costs_no_other_its_pods(answers: dict[str, Any], poll: PodsPoll) -> None:
    found, _ = polled([DRAINS, ACTIVE, NEW], answers)
    assert found._replace(requested=()) == poll._replace(requested=())
    assert found.requested == (poll.requested or ("a", "n", "d"))  # the one that serves first, then the newest


@settings(max_examples=40)
@given(st.dictionaries(st.sampled_from("andxyz"), st.sampled_from([OK, NONE, GONE, FAILS, REFUSED, CUT]), min_size=1))
def test_protons_that_can_be_read_are_used_regardless_of_the_others(answers: dict[str, Any]) -> None:
    known = {proton["id"]: proton for proton in (ACTIVE, DRAINS, NEW)}
    poll, pods = polled([known.get(i, {"id": i, "status": "stopped"}) for i in answers], answers)
    failing = {i for i, answer in answers.items() if answer in (FAILS, REFUSED, CUT)}
    if failing and not any(answer in (OK, NONE) for answer in answers.values()):
        assert (poll.error != "", pods) == (True, None)
    else:
        assert (poll.error, poll.read, {*poll.unread}) == (
            "", {i for i, answer in answers.items() if answer is OK}, failing
        )  # fmt: skip
        assert pods is not None
        assert {proton.id for proton in pods.protons} == answers.keys()
        assert set(poll.unread.values()) <= UNREAD_REASONS.keys()


@pytest.mark.parametrize(
    ("listed", "envelope", "poll", "protons"),
    [
        ([ACTIVE, {"status": "draining"}], {}, PodsPoll({"a"}, {"": "decode"}, rejects=("$.id missing",)), {"a"}),
        ([ACTIVE, 5], {}, PodsPoll({"a"}, {"": "decode"}, rejects=("$ type",)), {"a"}),
        ([ACTIVE, DRAINS], {"next": "http://dr.test/2"}, PodsPoll({"a", "d"}, {"": "incomplete"}), {"a", "d"}),
        ([5, None], {}, PodsPoll(error="decode"), set()),
        ([], {}, PodsPoll(), set()),
    ],
)
def test_a_proton_that_the_list_does_not_name_is_not_taken_for_gone(
    listed: list[Any], envelope: dict[str, Any], poll: PodsPoll, protons: set[str]
) -> None:
    found, pods = polled(listed, {"a": OK, "d": OK}, **envelope)
    assert found._replace(requested=()) == poll
    assert (pods is not None and {proton.id for proton in pods.protons}) == (protons if pods is not None else False)


def test_of_more_protons_than_are_read_the_list_is_said_not_to_be_complete() -> None:
    many = [ACTIVE, *({"id": f"p{n}", "status": "stopped"} for n in range(MAX_PROTONS))]
    found, _ = polled(many, {"a": OK, **{f"p{n}": OK for n in range(MAX_PROTONS)}})
    assert (len(found.read), found.unread, "a" in found.read) == (MAX_PROTONS, {"": "incomplete"}, True)


def test_a_list_that_is_empty_for_a_moment_says_nothing() -> None:
    assert polled([], {}, before=(Proton("a"),))[1] is None


def test_every_reason_has_words() -> None:
    assert {*REASONS, "internal"} == UNREAD_REASONS.keys()


# -- the daemon's polling

DETAILS = "@/workloads/{id}/protons/{pid}/statusDetails"


def lived(
    odd: Sequence[tuple[float, str]], poll: Callable[[Stage], None], at: float, active: Any = CRASHING, **facts: Any
) -> None:
    """A workload with a proton that serves and one that drains; `odd`: from when on which oddity holds, alone."""
    steps = (StoryStep(FOREVER, "running", active, outgoing="draining"),)
    story = Story("two versions", "", steps, importance="critical", replicas=1, **facts)
    simulator = SimulatedApi(workloads=1)
    simulator.world = OneStory(story)

    async def play(stage: Stage) -> None:
        for begin, name in odd:
            if begin:
                await stage.run(begin)
            simulator.odd = frozenset({name} if name else ())
        await stage.run(at)
        poll(stage)

    played(play, simulator)


def series(stage: Stage, name: str) -> dict[str, str]:
    """The samples of a family: its labels but for those of the workload, and ids, beside the value."""
    found = {}
    for line, value in stage.samples().items():
        family, _, labels = line.partition("{")
        if family == f"datarobot_{name}":
            kept = re.findall(r'(\w+="[^"]*")', labels)
            listed = [each for each in kept if not re.match("account|workload|workload_id|proton_id|resource", each)]
            found[",".join(listed)] = value
    return found


def own(stage: Stage, name: str, **labels: str) -> float:
    """One of the exporter's own metrics, summed over what is not named."""
    return sum(
        sample.value
        for family in stage.report.registry.collect()
        for sample in family.samples
        if sample.name == f"datarobot_exporter_{name}" and labels.items() <= sample.labels.items()
    )


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        ("error-text", "server_error"),
        ("bad-gateway", "server_error"),
        ("forbidden", "forbidden"),
        ("truncated", "decode"),
        ("empty", "decode"),
        ("not-implemented", "bad_request"),
    ],
)
def test_a_crash_loop_is_seen_though_the_version_that_drains_cannot_be_read(odd: str, reason: str) -> None:
    def poll(stage: Stage) -> None:
        assert series(stage, "proton_replicas_ready") == {'role="active"': "0.0"}
        assert series(stage, "container_waiting_reason") == {
            'container="primary",reason="CrashLoopBackOff",role="active"': "1.0"
        }
        assert series(stage, "proton_unreadable") == {f'reason="{reason}",role="outgoing"': "1.0"}
        assert series(stage, "workload_fresh")['part="pods"'] == "1.0"
        assert series(stage, "workload_allocated_cpu_cores") == {}
        assert own(stage, "detail_look_failures_total", part="pods") == 0
        assert own(stage, "detail_stale", part="pods") == 0
        assert own(stage, "api_rejects_total") == (own(stage, "detail_looks_total", part="pods")
                                                   if reason == "decode" else 0)  # fmt: skip

    lived([(0, f"{odd}{DETAILS}#outgoing")], poll, 700)


def test_unreadable_pods_of_the_serving_version_are_not_fresh_and_are_polled_again_soon(
) -> None:  # fmt: skip
    def poll(stage: Stage) -> None:
        assert series(stage, "proton_replicas_ready") == {'role="outgoing"': "1.0"}
        assert series(stage, "container_waiting_reason") == {}
        assert series(stage, "proton_unreadable") == {'reason="server_error",role="active"': "1.0"}
        assert series(stage, "workload_fresh")['part="pods"'] == "0.0"
        assert own(stage, "detail_stale", part="pods") == 1
        assert own(stage, "detail_look_failures_total", part="pods", reason="server_error") > 0
        state = next(iter(stage.monitor.workloads.values()))
        polls = [sent.at for sent in stage.sent if sent.path.endswith("/protons") and sent.at > 130]
        assert max(b - a for a, b in pairwise(polls)) < 75
        assert state.ledger.restarts["primary"] in (2, 3)  # as when it could be read
        assert [pod for pod in (state.ledger.pods or {}).values() if pod.missing is not None] == []

    lived([(0, ""), (130, f"error-text{DETAILS}#active")], poll, 1100)


def test_a_version_that_serves_and_could_never_be_read_counts_as_stale() -> None:
    def poll(stage: Stage) -> None:
        assert series(stage, "workload_fresh")['part="pods"'] == "0.0"
        assert own(stage, "detail_stale", part="pods") == 1

    for odd in (f"forbidden{DETAILS}#active", f"error-text{DETAILS}", f"error-text{DETAILS}#active"):
        lived([(0, odd)], poll, 1000)


def test_what_the_others_show_is_withdrawn_as_well_once_nothing_can_be_read_for_long() -> None:
    def poll(stage: Stage) -> None:
        assert series(stage, "proton_replicas_ready") == {}
        assert series(stage, "proton_unreadable") == {}
        assert series(stage, "workload_fresh")['part="pods"'] == "0.0"

    odd = [(0, ""), (60, f"error-text{DETAILS}#active"), (600, f"error-text{DETAILS}")]
    lived(odd, poll, 1700)


def test_it_is_all_there_again_once_it_can_be_read() -> None:
    def poll(stage: Stage) -> None:
        assert series(stage, "proton_replicas_ready") == {'role="active"': "0.0", 'role="outgoing"': "1.0"}
        assert series(stage, "proton_unreadable") == {}
        assert series(stage, "workload_fresh")['part="pods"'] == "1.0"
        assert own(stage, "detail_stale", part="pods") == 0
        # A restart every 40 s, and none before it could be read.
        assert 18 <= float(series(stage, "container_restarts_total")['container="primary"']) <= 20

    lived([(0, f"error-text{DETAILS}#active"), (400, f"truncated{DETAILS}#outgoing"), (800, "")], poll, 1200)


def test_where_the_token_may_read_none_the_part_is_refused_as_before() -> None:
    def poll(stage: Stage) -> None:
        assert series(stage, "workload_access_refused") == {'part="pods"': "1.0"}
        assert 'part="pods"' not in series(stage, "workload_fresh")
        assert series(stage, "proton_unreadable") == {}
        assert own(stage, "detail_stale", part="pods") == 0

    lived([(0, f"forbidden{DETAILS}")], poll, 1000)
    lived([(0, f"error-text{DETAILS}"), (100, f"forbidden{DETAILS}")], poll, 1000)


@pytest.mark.parametrize("odd", ["no-id", "wrong-type"])
def test_a_version_without_a_readable_id_is_counted_and_no_capacity_is_made_of_the_rest(odd: str) -> None:
    def poll(stage: Stage) -> None:
        assert series(stage, "proton_replicas_ready") == {'role="active"': "1.0"}
        assert series(stage, "proton_unreadable") == {'reason="decode",role="unknown"': "1.0"}
        assert series(stage, "workload_fresh")['part="pods"'] == "1.0"
        assert series(stage, "workload_allocated_cpu_cores") == {}

    lived([(0, f"{odd}@/workloads/{{id}}/protons")], poll, 100, READY)
