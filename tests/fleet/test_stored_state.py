"""State written by an earlier version is read, and written with the same keys."""

import base64
import json
import struct

import msgspec

from exporter.fleet.episodes import EpisodeTracker, ObservedEvent, PodFacts
from exporter.fleet.ledger import Ledger, Tally

MARK = {"at": 100.0, "last": 90.0, "told": 95.0}
EPISODE = {
    "opened": MARK,
    "before": "stopped",
    "states": [{"status": "launching", "mark": MARK}],
    "ended": {"at": 200.0, "last": 170.0},
    "outcome": "success",
    "after": "running",
    "cause": "completed",
    "proton": "p1",
    "since": "S",
    "replacement": "r1",
    "candidates": ["p2"],
    "folded": 2,
    "kinds": ["start"],
    "checkpoints": 1,
    "recalled": True,
}
POD = {
    "proton": "p1",
    "read": 120.0,
    "came": 101.0,
    "true": {"Ready": 110.0},
    "started": 105.0,
    "ready": True,
    "trouble": "CrashLoopBackOff",
    "container": "main",
    "restarts": 3,
    "runs": [{"container": "main", "started": 102.0, "finished": 104.0, "reason": "Error", "exit_code": 1}],
    "words": "back-off",
    "ended": "Error",
    "exit_code": 1,
}
EVENT = {"type": "Scaled", "at": 150.0, "words": "by a user"}
PAST = {
    "key": "k",
    "kind": "stop",
    "trace": "aa",
    "root": "bb",
    "opened": 10.0,
    "ended": 20.0,
    "late": 1,
    "sent": False,
}
TRACKER = {
    "life": {"kind": "start"} | EPISODE,
    "rollout": {"kind": "replacement"} | EPISODE,
    "flapping": {"kind": "flapping"} | EPISODE,
    "over": [{"kind": "stop"} | EPISODE],
    "run": ["p1", "S"],
    "pods": {"pod-1": POD},
    "protons": {"p1": {"created": "C", "since": "S"}},
    "events": {"e1": EVENT},
    "pods_told": 130.0,
    "events_told": 131.0,
    "recent": [200.0],
    "past": [PAST],
    "numbers": {"stop|p1|S": 2},
    "late": {"e2": EVENT},
    "last": EVENT,
}
LEDGER = {
    "first": 1.0,
    "since": 2.0,
    "name": "chat",
    "status": "running",
    "group": "up",
    "proton": "p1",
    "artifact": "draft",
    "begun": 1.5,
    "starting": 1.25,
    "failed": True,
    "transitions": {"started": 1},
    "rollout": {
        "since": 3.0,
        "ids": ["r1"],
        "proton": "p1",
        "status": "warming",
        "ended": 4.0,
        "counted": True,
        "whole": False,
    },
    "judged": ["r0"],
    "rollout_failed": 5.0,
    "rollout_order": 4.5,
    "last_rollout": {"since": 3.0, "ended": 4.0, "created": 2.9, "before": 2.5, "inferred": True},
    "failed_pods": {"pod-9": POD},
    "outcomes": {"completed": 2},
    "seen_events": ["e1"],
    "events": {"scaled": 1},
    "newest": {"scaled": 150.0},
    "pods": {"pod-1/main": {"restarts": 3, "finished": "F", "missing": 6.0, "proton": "p1", "restarted": [5.0]}},
    "unread": ["p9"],
    "restarts": {"main": 3},
    "terminations": {"main": {"Error": 1}},
    "resets": 1,
    "reset_at": 7.0,
    "grants": ["g"],
    "sharing_changes": 2,
    "gone": 8.0,
    "course": TRACKER,
    "serving": {
        "up": 7.5,
        "none": True,
        "fewer": 7.75,
        "down": 9.0,
        "unknown": 9.5,
        "ready": True,
        "protons": ["p1"],
        "stop": 8.5,
        "active": "p1",
        "beside": {"p2": 7.0},
        "others": ["p2"],
        "lasting": ["p2"],
    },
    "usage": {"bundle": "b", "first": 1.0, "last": 2.0, "counts": "AAE=", "p95": [0.5, None], "peak": [0.9, None]},
    "history": [
        {"at": 9.0, "kind": "episode", "name": "failure", "text": "errored", "began": 8.0, "count": 2, "bad": True}
    ],
    "objectives": {
        "since": 1.0,
        "at": 9.0,
        "totals": [5, 4, 3, 2, 1],
        "until": 8.0,
        "read": 7.0,
        "ready": True,
        "samples": base64.b64encode(struct.pack("<IQQQII", 6, 5, 4, 3, 2, 1)).decode(),
    },
}
TALLY = {
    "starts": {"counts": [1] + [0] * 9, "sum": 3.0},
    "replacements": {"counts": [0] * 9 + [1], "sum": 9999.0},
    "active": [[100.0, 3], [200.0, 4]],
}


def test_a_ledger_is_read_and_written_with_the_keys_of_earlier_versions() -> None:
    ledger = msgspec.json.decode(json.dumps(LEDGER), type=Ledger, strict=True)
    assert json.loads(msgspec.json.encode(ledger)) == LEDGER
    assert {field.encode_name for field in msgspec.structs.fields(Ledger)} == LEDGER.keys()
    assert {field.encode_name for field in msgspec.structs.fields(EpisodeTracker)} == TRACKER.keys()
    assert {field.encode_name for field in msgspec.structs.fields(PodFacts)} == POD.keys()
    assert {field.encode_name for field in msgspec.structs.fields(ObservedEvent)} == EVENT.keys()


def test_a_ledger_of_a_version_without_history_has_an_empty_one() -> None:
    old = {name: value for name, value in LEDGER.items() if name != "history"}
    ledger = msgspec.json.decode(json.dumps(old), type=Ledger, strict=True)
    assert ledger.history == ()
    assert json.loads(msgspec.json.encode(ledger)) == old


def test_totals_of_an_account_are_read_and_written_with_the_keys_of_earlier_versions() -> None:
    assert json.loads(msgspec.json.encode(msgspec.json.decode(json.dumps(TALLY), type=Tally))) == TALLY


def test_empty_fields_are_not_stored() -> None:
    assert msgspec.json.encode(Ledger(1.0, 2.0)) == b'{"first":1.0,"since":2.0}'
    assert msgspec.json.encode(PodFacts("p1")) == b'{"proton":"p1"}'
