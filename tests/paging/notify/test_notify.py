"""Notifiers: what each receiver is sent, what each response means, and that no message contains a secret."""

import asyncio
import json
import logging
import socket
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import TypeAdapter, ValidationError

from exporter import __version__
from exporter.alerting.notification import Notification
from exporter.paging.notify import KINDS, REASONS, Notifier, Sent, notifiers
from exporter.paging.notify.alertmanager import EXPIRY_SECONDS, Alertmanager
from exporter.paging.notify.pagerduty import PagerDuty, dedup_key
from exporter.paging.notify.post import Budget, encoded
from exporter.paging.notify.slack import Slack
from exporter.paging.notify.trial import Tried, test_page
from exporter.paging.notify.webhook import fingerprint, signature
from exporter.settings import secret_files
from exporter.settings.problems import BadSettings
from exporter.settings.receivers import AnyReceiver
from tests.e2e.servers import alertmanager, eventually, free_port
from tests.receivers import DRIP, HALF, HANG, Answer, HttpReceiver

test_page.__test__ = False  # type: ignore[attr-defined]  # not a test, although its name starts like one

NOW = 1_795_000_000.0
KEY = "K3yCanary" + "0" * 23
CANARIES = (KEY, "path-canary", "query-canary", "header-canary", "hmac-canary", "user-canary")
KINDS_HERE: dict[str, Callable[[str], dict[str, Any]]] = {
    "alertmanager": lambda url: {"urls": [f"{url}/prefix/"], "headers": {"Authorization": "Bearer header-canary"}},
    "pagerduty": lambda url: {"url": f"{url}/v2/enqueue", "routing_key": KEY},
    "slack": lambda url: {"webhook_url": f"{url}/services/T0/B0/path-canary"},
    "webhook": lambda url: {
        "url": f"{url.replace('//', '//user-canary:p@')}/path-canary?key=query-canary",
        "hmac_secret": "hmac-canary",
        "headers": {"X-Api-Key": "header-canary"},
    },
}
PATHS = {
    "alertmanager": "/prefix/api/v2/alerts",
    "pagerduty": "/v2/enqueue",
    "slack": "/services/T0/B0/path-canary",
    "webhook": "/path-canary?key=query-canary",
}
GOOD = {
    "alertmanager": Answer(200),
    "pagerduty": Answer(202, b'{"status":"success","message":"Event processed","dedup_key":"k"}'),
    "slack": Answer(200, b"ok"),
    "webhook": Answer(204),
}
FIRING = Notification(
    "drw:https://dr.test:DataRobotWorkloadErrored:w1",
    {
        "alertname": "DataRobotWorkloadErrored",
        "severity": "critical",
        "component": "workload",
        "account": "acme",
        "workload": "churn <eu> & co",
        "workload_id": "w1",
    },
    {
        "summary": "The workload has failed.",
        "description": "Workload churn has been errored for 5 minutes.",
        "console_url": "https://dr.test/console-nextgen/workloads/w1/overview",
    },
    NOW - 300.0,
    evidence=(("Reason", "ImagePullBackOff"), ("Image", "registry.test/churn:7")),
    links=(("Console", "https://dr.test/w1?a=1&b=2"), ("Runbook", "runbooks/Errored.md")),
)
RESOLVED = FIRING._replace(ended=NOW - 1.5)
OTHER = FIRING._replace(key="other", labels={**FIRING.labels, "workload_id": "w2", "severity": "warning"})


def settings(kind: str, url: str, **more: Any) -> AnyReceiver:
    result = {"name": "on-call", "kind": kind, "timeout": 5.0} | KINDS_HERE[kind](url) | more
    adapter: TypeAdapter[AnyReceiver] = TypeAdapter(AnyReceiver)
    return adapter.validate_python(result)


def sent(notifier: Notifier, *batches: Sequence[Notification]) -> list[list[Sent]]:
    """What became of each batch, one after another."""

    async def send() -> list[list[Sent]]:
        try:
            return [await notifier.send(batch, NOW) for batch in batches]
        finally:
            await notifier.aclose()

    return asyncio.run(send())


def one(kind: str, answer: Answer, notification: Notification = FIRING, **more: Any) -> tuple[Sent, HttpReceiver]:
    """What became of one notice, by this answer."""
    with HttpReceiver(answer) as receiver:
        (notifier,) = notifiers(settings(kind, receiver.url, **more))
        (((result,)),) = sent(notifier, [notification])
    return result, receiver


def body(kind: str, notification: Notification) -> Any:
    """What a receiver is sent."""
    _, receiver = one(kind, GOOD[kind], notification)
    (received,) = receiver.received
    assert received.headers[""] == PATHS[kind]
    assert received.headers["content-type"] == "application/json"
    assert received.headers["user-agent"] == f"workload-exporter/{__version__}"
    return json.loads(received.body)


def test_every_kind_is_held_to_the_contract() -> None:
    others = {"apprise"}  # it sends in another way: see test_apprise.py
    assert KINDS_HERE.keys() == KINDS.keys() - others == PATHS.keys() == GOOD.keys()


# -- what is sent


def test_an_alertmanager_receives_the_time_until_which_an_alert_counts_as_firing() -> None:
    alert = {
        "labels": dict(FIRING.labels),
        "annotations": {
            **FIRING.annotations,
            "title": "DataRobotWorkloadErrored: churn <eu> & co (account acme)",
            "evidence": "Reason: ImagePullBackOff\nImage: registry.test/churn:7",
        },
        "startsAt": "2026-11-18T11:01:40.000Z",
        "generatorURL": "https://dr.test/console-nextgen/workloads/w1/overview",
    }
    assert body("alertmanager", FIRING) == [alert | {"endsAt": "2026-11-18T11:10:40.000Z"}]
    assert body("alertmanager", RESOLVED) == [alert | {"endsAt": "2026-11-18T11:06:38.500Z"}]


def test_an_end_before_the_start_is_sent_as_the_start() -> None:
    (alert,) = body("alertmanager", FIRING._replace(ended=FIRING.began - 9))
    assert alert["endsAt"] == alert["startsAt"]


def test_pagerduty_receives_trigger_and_resolve_with_the_same_key() -> None:
    assert body("pagerduty", FIRING) == {
        "routing_key": KEY,
        "event_action": "trigger",
        "dedup_key": "drw:https://dr.test:DataRobotWorkloadErrored:w1",
        "payload": {
            "summary": "DataRobotWorkloadErrored: churn <eu> & co (account acme); Reason: ImagePullBackOff",
            "source": "churn <eu> & co",
            "severity": "critical",
            "timestamp": "2026-11-18T11:01:40.000Z",
            "component": "workload",
            "group": "acme",
            "class": "DataRobotWorkloadErrored",
            "custom_details": {
                **FIRING.annotations,
                "Reason": "ImagePullBackOff",
                "Image": "registry.test/churn:7",
                **FIRING.labels,
            },
        },
        "links": [{"href": "https://dr.test/w1?a=1&b=2", "text": "Console"}],
        "client": "DataRobot workload exporter",
    }
    assert body("pagerduty", RESOLVED) == {
        "routing_key": KEY,
        "event_action": "resolve",
        "dedup_key": "drw:https://dr.test:DataRobotWorkloadErrored:w1",
    }


@pytest.mark.parametrize(
    ("severity", "result"), [("critical", "critical"), ("warning", "warning"), ("info", "info"), ("none", "info")]
)
def test_severities_are_translated_to_those_of_pagerduty(severity: str, result: str) -> None:
    event = body("pagerduty", FIRING._replace(labels={**FIRING.labels, "severity": severity}))
    assert event["payload"]["severity"] == result


def test_an_alert_about_an_account_or_the_exporter_has_a_source_too() -> None:
    account = FIRING._replace(labels={"alertname": "DataRobotDataStale", "account": "acme"}, evidence=())
    payload = body("pagerduty", account)["payload"]
    assert (payload["source"], payload["summary"]) == ("acme", "DataRobotDataStale: account acme")
    exporter = FIRING._replace(labels={"alertname": "DataRobotWatchdog"})
    assert body("pagerduty", exporter)["payload"]["source"] == "workload-exporter"


def test_the_title_at_pagerduty_ends_with_the_likely_cause() -> None:
    many = FIRING._replace(
        labels={"alertname": "DataRobotFleetManyFailing", "account": "acme"},
        evidence=(("Failing", "12 of 20 workloads"), ("Likely cause", "Evicted."), ("Next step", "Ask.")),
    )
    assert body("pagerduty", many)["payload"]["summary"] == (
        "DataRobotFleetManyFailing: account acme; Failing: 12 of 20 workloads; Likely cause: Evicted."
    )
    one = many._replace(evidence=(("Likely cause", "Evicted."), ("Next step", "Ask.")))
    assert body("pagerduty", one)["payload"]["summary"] == (
        "DataRobotFleetManyFailing: account acme; Likely cause: Evicted."
    )


def test_what_is_too_long_for_pagerduty_is_cut_hashed_or_left_out() -> None:
    long = FIRING._replace(key="k" * 256, evidence=(("Log", "ü\n" * 300_000),))
    event = body("pagerduty", long)
    assert (len(event["payload"]["summary"]), len(event["dedup_key"])) == (1024, 64)
    assert "\n" not in event["payload"]["summary"]
    assert event["payload"]["custom_details"]["left out"] == "The details were too long for an event."
    assert event["payload"]["custom_details"]["workload_id"] == "w1"
    assert body("pagerduty", long._replace(ended=NOW))["dedup_key"] == event["dedup_key"]
    assert dedup_key("k" * 255) == "k" * 255


def test_a_change_event_has_no_deduplication_key_and_notifies_no_user() -> None:
    with HttpReceiver(GOOD["pagerduty"]) as receiver:
        (notifier,) = notifiers(settings("pagerduty", receiver.url))
        assert isinstance(notifier, PagerDuty)
        result = asyncio.run(notifier.change("churn was\npromoted", NOW))
    assert result.fate == "delivered"
    (received,) = receiver.received
    assert received.headers[""] == "/v2/change/enqueue"
    assert json.loads(received.body) == {
        "routing_key": KEY,
        "payload": {
            "summary": "churn was promoted",
            "timestamp": "2026-11-18T11:06:40.000Z",
            "source": "workload-exporter",
        },
    }


def test_a_slack_message_has_few_lines_and_mentions_no_user() -> None:
    text = (
        "*FIRING* DataRobotWorkloadErrored: churn &lt;eu&gt; &amp; co (account acme)\n"
        "The workload has failed.\n"
        "Reason: ImagePullBackOff\n"
        "Image: registry.test/churn:7\n"
        "<https://dr.test/w1?a=1&amp;b=2|Console>"
    )
    assert body("slack", FIRING) == {
        "text": "1 firing: DataRobotWorkloadErrored: churn &lt;eu&gt; &amp; co (account acme)",
        "attachments": [
            {"color": "#d92b2b", "mrkdwn_in": ["text"], "fallback": text.splitlines()[0], "text": text},
        ],
    }
    text = "*RESOLVED* DataRobotWorkloadErrored: churn &lt;eu&gt; &amp; co (account acme)\n<https://dr.test/w1?a=1&amp;b=2|Console>"
    assert body("slack", RESOLVED) == {
        "text": "1 resolved: DataRobotWorkloadErrored: churn &lt;eu&gt; &amp; co (account acme)",
        "attachments": [
            {"color": "#2e9e5b", "mrkdwn_in": ["text"], "fallback": text.splitlines()[0], "text": text},
        ],
    }


def test_slack_calls_resolved_only_what_is_no_problem_any_more() -> None:
    labels = {**FIRING.labels, "alertname": "DataRobotWorkloadStopped"}
    message = body("slack", RESOLVED._replace(labels=labels, links=()))
    who = "DataRobotWorkloadStopped: churn &lt;eu&gt; &amp; co (account acme)"
    assert message["text"] == f"1 ended: {who}"
    (attachment,) = message["attachments"]
    assert attachment["text"] == f"*ENDED* {who}\nIt is still stopped or suspended, unless it was started again."
    assert attachment["color"] == "#5b7fa6"


def test_an_alertmanager_does_not_get_the_command_that_silences_in_direct_paging() -> None:
    silenced = FIRING._replace(annotations={"summary": "It failed.", "silence": "workload-exporter silence add a=b"})
    (sent,) = body("alertmanager", silenced)
    assert (sent["annotations"]["summary"], "silence" in sent["annotations"]) == ("It failed.", False)


def test_a_slack_message_has_the_note_of_the_settings_and_the_commands() -> None:
    texts = {"summary": "It failed.", "note": "Call <!here>\n5678.", "explain": "workload-exporter explain `w1`",
        "silence": "workload-exporter silence add workload_id=`w1` --for=2h"}  # fmt: skip
    shown = body("slack", FIRING._replace(annotations=texts, evidence=(), links=()))["attachments"][0]["text"]
    assert shown.splitlines()[1:] == [
        "It failed.", "Note: Call &lt;!here&gt; 5678.", "Details: `workload-exporter explain w1`",
        "Silence: `workload-exporter silence add workload_id=w1 --for=2h`",
    ]  # fmt: skip


def test_a_slack_message_lists_twenty_alerts_most_severe_first() -> None:
    some = [named(f"Alert{n}")._replace(key=str(n)) for n in range(17)]
    many = [RESOLVED, OTHER, *some, FIRING]
    with HttpReceiver(GOOD["slack"]) as receiver:
        (notifier,) = notifiers(settings("slack", receiver.url))
        (result, none) = sent(notifier, many, [])
    assert [each.key for each in result] == [notification.key for notification in many]
    assert ({each.fate for each in result}, none) == ({"delivered"}, [])
    (received,) = receiver.received
    message = json.loads(received.body)
    assert (
        message["text"] == "19 firing, 1 resolved: DataRobotWorkloadErrored: churn &lt;eu&gt; &amp; co (account acme) …"
    )
    shown = [(each["color"], each["text"].splitlines()[0]) for each in message["attachments"]]
    who = "DataRobotWorkloadErrored: churn &lt;eu&gt; &amp; co (account acme)"
    assert shown == [
        ("#d92b2b", f"*FIRING* {who}"),
        ("#e8a400", f"*FIRING* {who}"),
        *(("#5b7fa6", f"*FIRING* Alert{n}") for n in range(17)),
        ("#2e9e5b", f"*RESOLVED* {who}"),
    ]


def test_long_evidence_is_one_short_line_in_slack_and_a_link_breaks_out_of_nothing() -> None:
    noisy = FIRING._replace(evidence=(("Log", "a\n" * 999),), links=(("a|b>", "https://x/|<!channel>"),))
    *_, log, link = body("slack", noisy)["attachments"][0]["text"].splitlines()
    assert (len(log), log[-1]) == (len("Log: ") + 300, "…")
    assert link == "<https://x/%7C%3C!channel%3E|a/b&gt;>"


def test_a_webhook_receives_a_group_of_one_in_the_format_of_alertmanager() -> None:
    annotations = {
        **FIRING.annotations,
        "title": "DataRobotWorkloadErrored: churn <eu> & co (account acme)",
        "evidence": "Reason: ImagePullBackOff\nImage: registry.test/churn:7",
    }
    alert = {
        "status": "firing",
        "labels": dict(FIRING.labels),
        "annotations": annotations,
        "startsAt": "2026-11-18T11:01:40.000Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "https://dr.test/console-nextgen/workloads/w1/overview",
        "fingerprint": fingerprint(dict(FIRING.labels)),
    }
    group = {
        "version": "4",
        "groupKey": "drw:https://dr.test:DataRobotWorkloadErrored:w1",
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "on-call",
        "groupLabels": {},
        "commonLabels": dict(FIRING.labels),
        "commonAnnotations": annotations,
        "externalURL": "",
        "alerts": [alert],
    }
    assert body("webhook", FIRING) == group
    ended = alert | {"status": "resolved", "endsAt": "2026-11-18T11:06:38.500Z"}
    assert body("webhook", RESOLVED) == group | {"status": "resolved", "alerts": [ended]}


def test_an_alertmanager_gets_the_token_that_is_in_its_file_now(tmp_path: Path) -> None:
    file = tmp_path / "token"
    with HttpReceiver() as receiver:
        given = settings("alertmanager", receiver.url, headers={}, bearer_token_file=file)
        (notifier,) = notifiers(given)
        results: list[Sent] = []

        async def send() -> None:
            for text in (None, "first-canary\n", "second-canary", "not a token"):
                if text is not None:
                    file.write_text(text)
                    secret_files.read_all()
                results.extend(await notifier.send([FIRING], NOW))
            await notifier.aclose()

        asyncio.run(send())
    words = "not sent: bearer_token_file contains no token; it is missing, unreadable, empty or invalid"
    assert [each.fate for each in results] == ["again", "delivered", "delivered", "again"]
    assert {each.words for each in results if each.fate == "again"} == {words}
    assert [each.headers["authorization"] for each in receiver.received] == [
        "Bearer first-canary",
        "Bearer second-canary",
    ]
    assert {source.read() for source in given.sources()} >= {"not a token"}


def test_a_token_and_a_header_in_its_place_are_refused() -> None:
    with pytest.raises(ValidationError, match="bearer_token and the header Authorization; set one of them"):
        settings("alertmanager", "http://a.test", headers={"Authorization": "x"}, bearer_token="y")


def test_a_webhook_is_signed_as_github_signs() -> None:
    result = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert signature("It's a Secret to Everybody", b"Hello, World!") == result  # the example of GitHub's documentation
    _, receiver = one("webhook", GOOD["webhook"])
    (received,) = receiver.received
    assert received.headers["x-signature-256"] == signature("hmac-canary", received.body)
    assert received.headers["x-api-key"] == "header-canary"
    _, receiver = one("webhook", GOOD["webhook"], hmac_secret=None)
    assert "x-signature-256" not in receiver.received[0].headers


def test_a_webhook_receives_nothing_unsigned_while_the_signing_secret_is_missing(tmp_path: Path) -> None:
    file, result = tmp_path / "secret", []
    with HttpReceiver(GOOD["webhook"]) as receiver:
        (notifier,) = notifiers(settings("webhook", receiver.url, hmac_secret=None, hmac_secret_file=file))

        async def send() -> None:
            result.extend(await notifier.send([FIRING, OTHER], NOW))
            file.write_text("hmac-canary")
            secret_files.read_all()
            result.extend(await notifier.send([FIRING], NOW))
            await notifier.aclose()

        asyncio.run(send())
    words = "not sent: hmac_secret_file contains no secret to sign with; it is missing, unreadable or empty"
    assert result[:2] == [Sent(key, "again", "refused", words) for key in (FIRING.key, "other")]
    assert result[2].fate == "delivered"
    (received,) = receiver.received
    assert received.headers["x-signature-256"] == signature("hmac-canary", received.body)


def test_text_that_is_no_unicode_is_sent_all_the_same() -> None:
    assert encoded({"a": "\ud800ü"}) == '{"a":"?ü"}'.encode()


def test_a_secret_that_is_replaced_in_its_file_is_used_at_once(tmp_path: Path) -> None:
    file = tmp_path / "key"
    with HttpReceiver(*[GOOD["pagerduty"]] * 2) as receiver:
        file.write_text("a" * 32)
        (notifier,) = notifiers(settings("pagerduty", receiver.url, routing_key=None, routing_key_file=file))

        async def send() -> None:
            await notifier.send([FIRING], NOW)
            file.write_text("second" + "b" * 26)
            secret_files.read_all()
            await notifier.send([FIRING], NOW)
            await notifier.aclose()

        asyncio.run(send())
    keys = [json.loads(received.body)["routing_key"] for received in receiver.received]
    assert keys == ["a" * 32, "second" + "b" * 26]


# -- what an answer means

EVERY = pytest.mark.parametrize("kind", sorted(KINDS_HERE))


@EVERY
def test_what_was_taken_is_delivered(kind: str) -> None:
    result, receiver = one(kind, GOOD[kind])
    assert (result.key, result.fate, result.reason, result.after) == (FIRING.key, "delivered", "", None)
    assert f"returned {GOOD[kind].status}" in result.words
    assert len(receiver.received) == 1


@EVERY
@pytest.mark.parametrize(
    ("answer", "fate", "reason"),
    [
        (Answer(302, b"", {"location": "/elsewhere"}), "failed", "redirect"),
        (Answer(400, b"why"), "failed", "bad_request"),
        (Answer(401, b"why"), "failed", "auth"),
        (Answer(403, b"why"), "failed", "forbidden"),
        (Answer(404, b"why"), "failed", "not_found"),
        (Answer(405, b"why"), "failed", "refused"),
        (Answer(408, b"why"), "again", "timeout"),
        (Answer(410, b"why"), "failed", "not_found"),
        (Answer(413, b"why"), "failed", "too_large"),
        (Answer(422, b"why"), "failed", "bad_request"),
        (Answer(429, b"why"), "again", "throttled"),
        (Answer(500, b"why"), "again", "server_error"),
        (Answer(501, b"why" * 10**5), "again", "server_error"),
        (Answer(503, b'{"message":"why"}'), "again", "server_error"),
        (HALF, "again", "connect"),
    ],
    ids=str,
)
def test_each_answer_has_its_fate_and_its_reason(kind: str, answer: Answer, fate: str, reason: str) -> None:
    result, receiver = one(kind, answer)
    assert (result.fate, result.reason, result.after) == (fate, reason, None), result.words
    assert result.reason in REASONS
    assert result.words.startswith("POST http://127.0.0.1")
    assert ("why" in result.words) == (b"why" in answer.body)
    assert len(receiver.received) == 1


@EVERY
@pytest.mark.parametrize(
    ("status", "header", "after"),
    [(429, "30", 30.0), (503, "7", 7.0), (429, "86400", 300.0), (429, "soon", None), (400, "30", None)],
)
def test_retry_after_is_obeyed_up_to_five_minutes(kind: str, status: int, header: str, after: float | None) -> None:
    result, _ = one(kind, Answer(status, b"", {"retry-after": header}))
    assert result.after == after


@EVERY
@pytest.mark.parametrize("answer", [HANG, DRIP], ids=["hang", "drip"])
def test_a_receiver_that_hangs_or_drips_costs_the_timeout_once(kind: str, answer: Answer) -> None:
    began = time.monotonic()
    with HttpReceiver(answer) as receiver:
        (notifier,) = notifiers(settings(kind, receiver.url, timeout="300ms"))
        (result,) = sent(notifier, [FIRING, OTHER])
    assert [(each.key, each.fate, each.reason) for each in result] == [
        (FIRING.key, "again", "timeout"),
        ("other", "again", "timeout"),
    ]
    assert "got no response within 0.3 s" in result[0].words
    assert time.monotonic() - began < 5
    assert len(receiver.received) == 1


@EVERY
@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (lambda there: f"http://127.0.0.1:{free_port()}", "connect"),
        (lambda there: "http://nowhere.invalid", "dns"),
        (lambda there: there.replace("http", "https"), "tls"),
    ],
    ids=["connect", "dns", "tls"],
)
def test_notifications_to_an_unreachable_receiver_are_retried(
    kind: str, url: Callable[[str], str], reason: str
) -> None:
    with HttpReceiver() as receiver:
        (notifier,) = notifiers(settings(kind, url(receiver.url)))
        (((result,)),) = sent(notifier, [FIRING])
    assert (result.fate, result.reason, result.maybe) == ("again", reason, False), result.words


@EVERY
def test_a_request_that_only_reached_a_proxy_did_not_reach_the_receiver(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        monkeypatch.setenv("NO_PROXY", "")
        (notifier,) = notifiers(settings(kind, "https://receiver.test", timeout="300ms"))
        (((result,)),) = sent(notifier, [FIRING])
        with proxy.accept()[0] as received:
            assert received.recv(99).startswith(b"CONNECT receiver.test:443")
    assert (result.fate, result.reason, result.maybe) == ("again", "timeout", False)


TRIED = {"alertmanager": [True, True], "pagerduty": [True, False], "slack": [True, True], "webhook": [True, False]}
"""Which of two notifications were sent; after a failure the rest is not."""


@EVERY
@pytest.mark.parametrize("answer", [HANG, DRIP, HALF], ids=["hang", "drip", "half"])
def test_what_was_sent_whole_and_not_answered_whole_may_have_arrived(kind: str, answer: Answer) -> None:
    with HttpReceiver(answer) as receiver:
        (notifier,) = notifiers(settings(kind, receiver.url, timeout="300ms"))
        (result,) = sent(notifier, [FIRING, OTHER])
    assert ([each.fate for each in result], [each.maybe for each in result]) == (["again", "again"], TRIED[kind])


@EVERY
@pytest.mark.parametrize("status", [200, 302, 400, 401, 408, 429, 500, 503])
def test_of_what_was_answered_is_known_what_became_of_it(kind: str, status: int) -> None:
    assert not one(kind, Answer(status))[0].maybe


@pytest.mark.parametrize("kind", sorted(KINDS_HERE.keys() - {"slack"}))  # its messages are always short
def test_what_did_not_go_out_whole_has_not_arrived(kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # it takes a connection and reads nothing
        (notifier,) = notifiers(settings(kind, f"http://127.0.0.1:{deaf.getsockname()[1]}", timeout="300ms"))
        note = {"note": "x" * 20_000_000}
        # PagerDuty gets no long annotations, and the fingerprint of long labels takes a webhook three seconds.
        large = (
            FIRING._replace(labels={**FIRING.labels, **note})
            if kind == "pagerduty"
            else FIRING._replace(annotations={**FIRING.annotations, **note})
        )
        (((result,)),) = sent(notifier, [large])
    assert (result.fate, result.reason, result.maybe) == ("again", "timeout", False)


@pytest.mark.parametrize(
    ("answer", "fate"),
    [
        (Answer(200, b"ok\n"), "delivered"),
        (Answer(200, b'{"ok":true}'), "delivered"),
        (Answer(200, b'{"ok":false,"error":"no_service"}'), "failed"),
        (Answer(200, b"<html>Log in</html>"), "failed"),
        (Answer(200, b"[]"), "failed"),
        (Answer(200, b"[" * 5000), "failed"),
        (Answer(200), "failed"),
    ],
)
def test_slack_has_taken_only_what_it_calls_ok(answer: Answer, fate: str) -> None:
    result, _ = one("slack", answer)
    assert (result.fate, result.reason) == (fate, "" if fate == "delivered" else "refused")


def test_errors_listed_by_pagerduty_are_in_the_message() -> None:
    answer = {"status": "invalid event", "message": "Event object is invalid", "errors": ["'summary' is missing"]}
    result, _ = one("pagerduty", Answer(400, json.dumps(answer).encode()))
    assert result.words.endswith("returned 400: Event object is invalid: 'summary' is missing")


def test_an_error_of_pagerduty_that_is_nested_too_deeply_is_reported_as_it_is() -> None:
    result, _ = one("pagerduty", Answer(400, b"[" * 5000))
    assert (result.fate, "returned 400: [[" in result.words) == ("failed", True)


def test_a_url_that_is_none_in_a_file_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("s3cret")
    result, receiver = one("slack", Answer(), webhook_url=None, webhook_url_file=tmp_path / "url")
    assert (result.fate, result.reason, receiver.received) == ("again", "refused", [])
    assert "s3cret" not in result.words


def test_a_certificate_that_is_none_is_a_problem_of_the_settings() -> None:
    with pytest.raises(BadSettings, match="ca_file: of on-call cannot be used"):
        notifiers(settings("slack", "https://slack.test", ca_file=__file__))


# -- several at once


def test_each_alertmanager_url_has_a_notifier_whose_name_does_not_depend_on_the_others() -> None:
    found = notifiers(settings("alertmanager", "", urls=["http://a:9093/am/", "https://b", "http://a:9093/am"]))
    assert [notifier.name for notifier in found] == ["on-call@a:9093/am", "on-call@b"]
    assert [notifier.name for notifier in notifiers(settings("slack", "https://x"))] == ["on-call"]


def named(name: str, label: str = "x") -> Notification:
    return FIRING._replace(key=name, labels={"alertname": name, label: "1", "empty": ""})


def test_an_alert_with_a_bad_name_of_a_label_fails_alone_and_is_not_sent() -> None:
    with HttpReceiver() as receiver:
        (notifier,) = notifiers(settings("alertmanager", receiver.url))
        result, nothing = sent(notifier, [named("A"), named("B", "a-b"), named("C")], [named("D", "1")])
    assert [(each.key, each.fate, each.reason) for each in result] == [
        ("A", "delivered", ""),
        ("B", "failed", "bad_request"),
        ("C", "delivered", ""),
    ]
    assert result[1].words == "not sent: 'a-b' is not a valid label name"
    assert nothing[0].fate == "failed"
    (received,) = receiver.received
    assert [alert["labels"] for alert in json.loads(received.body)] == [
        {"alertname": "A", "x": "1"},
        {"alertname": "C", "x": "1"},
    ]


@pytest.mark.parametrize(("status", "reason"), [(400, "bad_request"), (413, "too_large")])
def test_the_one_alert_that_an_alertmanager_does_not_take_is_found(status: int, reason: str) -> None:
    bad = Answer(status, b'"no"')
    script = [bad, Answer(), bad, bad, Answer()]  # all; A, B; C, D; C; D
    with HttpReceiver(*script) as receiver:
        (notifier,) = notifiers(settings("alertmanager", receiver.url))
        (result,) = sent(notifier, [named(name) for name in "ABCD"])
    assert [(each.key, each.fate) for each in result] == [
        ("A", "delivered"),
        ("B", "delivered"),
        ("C", "failed"),
        ("D", "delivered"),
    ]
    assert result[2].reason == reason
    assert len(receiver.received) == 5


@pytest.mark.parametrize("kind", ["pagerduty", "webhook"])
def test_after_a_failure_of_the_receiver_the_rest_is_not_sent_but_a_bad_notification_delays_no_other(kind: str) -> None:
    script = [Answer(500), GOOD[kind], Answer(400), Answer(429, b"", {"retry-after": "9"})]
    with HttpReceiver(*script) as receiver:
        (notifier,) = notifiers(settings(kind, receiver.url))
        (result,) = sent(notifier, [named(name) for name in "ABCDEF"])
    assert [(each.key, each.fate, each.reason, each.after) for each in result] == [
        ("A", "again", "server_error", None),
        ("B", "delivered", "", None),
        ("C", "failed", "bad_request", None),
        ("D", "again", "throttled", 9.0),
        ("E", "again", "throttled", 9.0),
        ("F", "again", "throttled", 9.0),
    ]
    assert len(receiver.received) == 4


@pytest.mark.parametrize("kind", ["pagerduty", "webhook"])
@pytest.mark.parametrize(
    ("answer", "fate", "reason", "after"),
    [
        (Answer(503, b"", {"retry-after": "30"}), "again", "server_error", 30.0),
        (Answer(401), "failed", "auth", None),
        (Answer(403), "failed", "forbidden", None),
        (Answer(404), "failed", "not_found", None),
        (Answer(410), "failed", "not_found", None),
        (Answer(307, b"", {"location": "/elsewhere"}), "failed", "redirect", None),
    ],
    ids=str,
)
def test_what_concerns_the_receiver_and_not_the_notice_is_the_fate_of_the_rest_without_trying(
    kind: str, answer: Answer, fate: str, reason: str, after: float | None
) -> None:
    with HttpReceiver(GOOD[kind], answer) as receiver:
        (notifier,) = notifiers(settings(kind, receiver.url))
        (result,) = sent(notifier, [named(name) for name in "ABCD"])
    assert [(each.key, each.fate, each.reason, each.after) for each in result] == [
        ("A", "delivered", "", None),
        *((name, fate, reason, after) for name in "BCD"),
    ]
    assert result[3].words == result[1].words
    assert len(receiver.received) == 2


def test_a_budget_says_when_there_is_room_again() -> None:
    now = [0.0]
    budget = Budget(2, 60.0, lambda: now[0])
    result = []
    for now[0] in (0.0, 10.0, 20.0, 60.0, 61.0, 70.0):
        sent = budget.take()
        result.append(sent and (sent.fate, sent.reason, sent.after))
    assert result == [
        None,
        None,
        ("again", "throttled", 40.0),
        None,
        ("again", "throttled", 9.0),
        None,
    ]


def test_pagerduty_gets_at_most_a_hundred_requests_a_minute_and_slack_one_a_second() -> None:
    now = [0.0]
    with HttpReceiver() as receiver:
        result = settings("pagerduty", receiver.url)
        assert result.kind == "pagerduty"
        (batch,) = sent(PagerDuty(result, steady=lambda: now[0]), [named(str(n)) for n in range(102)])
        assert [each.fate for each in batch] == ["delivered"] * 100 + ["again"] * 2
        assert batch[-1] == Sent(
            "101", "again", "throttled", "not sent: at most 100 requests in 60 s", 60.0, postponed=True
        )
    with HttpReceiver(*[GOOD["slack"]] * 2) as receiver:
        slack = settings("slack", receiver.url)
        assert slack.kind == "slack"
        first, second = sent(Slack(slack, steady=lambda: now[0]), [FIRING], [OTHER])
        assert (first[0].fate, second[0].fate, second[0].after) == ("delivered", "again", 1.0)
        assert len(receiver.received) == 1


# -- secrets


@EVERY
@pytest.mark.parametrize("status", [200, 202, 400, 404, 503])
def test_no_message_contains_secrets_that_the_receiver_repeats(
    kind: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    answers = [
        f"Cannot POST {PATHS[kind]}: {' '.join(CANARIES)}".encode(),
        json.dumps({"error": f"x{'y' * 180} {' '.join(CANARIES)}"}).replace("/", "\\/").encode(),
    ]
    for answer in answers:
        result, _ = one(kind, Answer(status, answer))
        assert result.words.startswith("POST http://127.0.0.1")
        assert not [canary for canary in CANARIES if canary in result.words and canary in secrets_of(kind)]
    ((notifier,), receiver) = notifiers(settings(kind, "http://x")), settings(kind, "http://x")
    state = repr(notifier) + repr(receiver) + repr(vars(notifier)["_post"]) + caplog.text
    assert not [canary for canary in CANARIES if canary in state]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (r'{"error": "bad token ab\/cdEFGH"}', "bad token ***"),
        (r'{"error": "bad token \u0061b\u002Fcd\u0045FGH"}', "bad token ***"),
        (r'{"error": "{\"token\":\"ab\\\/cdEFGH\"}"}', '{"token":"***"}'),
        (r"bad token ab\/cdEFGH", "bad token ***"),
        (r'{"error": "' + "y" * 190 + r' ab\/cdEFGH"}', "y" * 190 + " ***"),
        (r'{"error": "ab\\\\/cdEFGH"}', "***"),
    ],
)
def test_a_secret_is_removed_in_any_spelling_of_json(answer: str, words: str) -> None:
    result, _ = one("webhook", Answer(400, answer.encode()), headers={"Authorization": "Bearer ab/cdEFGH"})
    assert result.words.partition(" returned 400: ")[2] == words


def secrets_of(kind: str) -> str:
    return json.dumps(KINDS_HERE[kind]("http://x"))


@EVERY
def test_no_message_contains_secrets_if_the_receiver_is_unreachable(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    (notifier,) = notifiers(settings(kind, f"http://127.0.0.1:{free_port()}"))
    (((result,)),) = sent(notifier, [FIRING])
    assert not [canary for canary in CANARIES if canary in result.words + caplog.text]


# -- a page that says that it is a test


@EVERY
def test_a_test_page_says_that_it_is_one_and_who_sent_it_and_is_ended(kind: str) -> None:
    # Slack wants a second between two messages, and is given it.
    with HttpReceiver(GOOD[kind], GOOD[kind]) as receiver:
        result = tried(kind, receiver)
    assert [(each.action, each.good) for each in result] == [("paged", True), ("resolved", True)]
    assert str(result[0]).startswith("ok    on-call")
    paged, ended = (received.body.decode() for received in receiver.received)
    for words in ("DataRobotTestPage", "nothing is wrong", "sent by ", "workload-exporter notify test"):
        assert words in paged
    assert paged != ended


@EVERY
def test_a_test_page_that_was_not_delivered_is_not_ended(kind: str) -> None:
    with HttpReceiver(Answer(403, b"who?")) as receiver:
        (result,) = tried(kind, receiver)
    assert (result.good, str(result).startswith("FAIL  on-call"), "returned 403: who?" in str(result)) == (
        False,
        True,
        True,
    )
    assert len(receiver.received) == 1


def tried(kind: str, receiver: HttpReceiver) -> list[Tried]:
    async def send() -> list[Tried]:
        found = notifiers(settings(kind, receiver.url))
        return [each async for each in test_page(found, "severity", hold=0.0)]

    return asyncio.run(send())


# -- a real Alertmanager


@pytest.mark.real
def test_a_real_alertmanager_shows_what_fires_and_no_more_what_has_ended(tmp_path: Path) -> None:
    config = tmp_path / "alertmanager.yml"
    config.write_text("route: {receiver: none}\nreceivers: [{name: none}]\n")
    now = time.time()
    firing = FIRING._replace(began=now - 60)
    with alertmanager(tmp_path, config) as server:

        def shown() -> list[dict[str, Any]]:
            answer = httpx.get(f"{server.url}/api/v2/alerts", trust_env=False)
            result: list[dict[str, Any]] = answer.json()
            return result

        def post(*batches: Sequence[Notification], at: float = now) -> list[str]:
            result = settings("alertmanager", "", urls=[server.url])
            assert result.kind == "alertmanager"
            notifier = Alertmanager(result, server.url)

            async def send() -> list[str]:
                fates: list[str] = [each.fate for batch in batches for each in await notifier.send(batch, at)]
                await notifier.aclose()
                return fates

            return asyncio.run(send())

        assert post([firing]) == ["delivered"]
        (first,) = eventually(shown, 30)
        assert first["labels"] == firing.labels
        assert first["annotations"]["evidence"] == "Reason: ImagePullBackOff\nImage: registry.test/churn:7"
        assert first["fingerprint"] == fingerprint(dict(firing.labels))
        assert at(first["startsAt"]) == pytest.approx(firing.began, abs=0.001)
        assert at(first["endsAt"]) == pytest.approx(now + EXPIRY_SECONDS, abs=0.001)
        assert post([firing], at=now + 60) == ["delivered"]
        (again,) = shown()
        assert (again["fingerprint"], again["startsAt"]) == (first["fingerprint"], first["startsAt"])
        assert at(again["endsAt"]) == pytest.approx(now + 60 + EXPIRY_SECONDS, abs=0.001)
        unlabelled = FIRING._replace(key="unlabelled", labels={"alertname": ""})
        assert post([unlabelled, OTHER._replace(began=now)]) == ["failed", "delivered"]
        assert eventually(lambda: len(shown()) == 2, 30)
        ended = firing._replace(ended=time.time())
        assert post([ended], [ended]) == ["delivered"] * 2
        assert eventually(lambda: [each["labels"]["workload_id"] for each in shown()] == ["w2"], 30)


def at(result: str) -> float:
    return datetime.fromisoformat(result.replace("Z", "+00:00")).timestamp()
