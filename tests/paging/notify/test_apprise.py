"""Receivers by Apprise: what services on this machine are sent, and what became of it."""

import asyncio
import json
import re
import smtplib
import socket
import ssl
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import apprise
import pytest
import requests
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope, Session
from pydantic import ValidationError

from exporter.alerting.notification import Notification
from exporter.apprise_process import Answer as ProcessAnswer
from exporter.apprise_process import fitted, of_error
from exporter.paging.notify import Sent
from exporter.paging.notify.apprise import Apprise, message
from exporter.redaction import Secrets, service_url
from exporter.settings.loader import load
from exporter.settings.problems import BadSettings
from exporter.settings.receivers import AppriseSettings
from tests.e2e.servers import eventually, free_port
from tests.receivers import HALF, HANG, Answer, HttpReceiver
from tests.web.test_web_config import certificate

PAGING = (Path(__file__).parents[3] / "docs" / "paging.md").read_text()
NOW = 1_795_000_000.0
TOKEN = "tokencanary5678901234567"
FIRING = Notification(
    "w1",
    {"alertname": "DataRobotWorkloadErrored", "severity": "critical", "account": "acme", "workload": "churn <eu> *x*"},
    {"summary": "The workload has failed.", "explain": "workload-exporter explain w1"},
    NOW - 300.0,
    evidence=(("Reason", "@channel [Fix it](http://evil.test) <!everyone>"),),
    links=(("Console", "https://dr.test/w1?a=1&b=(2)"), ("Runbook", "runbooks/Errored.md")),
)
OTHER = FIRING._replace(key="w2", labels={**FIRING.labels, "workload": "scorer", "severity": "warning"}, evidence=())
ENDED = OTHER._replace(key="w3", ended=NOW)


def settings(url: str | None, **more: Any) -> AppriseSettings:
    return AppriseSettings.model_validate({"name": "phone", "kind": "apprise", "url": url, "timeout": 30.0} | more)


def notifier(url: str | None, **more: Any) -> Apprise:
    return Apprise(settings(url, **more))


def sent(receiver: Apprise, *batches: Sequence[Notification]) -> list[list[Sent]]:
    """The results of each batch."""

    async def send() -> list[list[Sent]]:
        return [await receiver.send(batch, NOW) for batch in batches]

    return asyncio.run(send())


def mattermost(receiver: HttpReceiver, more: str = "") -> str:
    return f"{receiver.url.replace('http', 'mmost')}/{TOKEN}{more}"


# -- what is sent

AT, LT, GT = "\uff20", "\u2039", "\u203a"
PLAIN = (
    f"FIRING DataRobotWorkloadErrored: churn {LT}eu{GT} *x* (account acme)",
    "The workload has failed.",
    f"Reason: {AT}channel [Fix it] (http://evil.test) {LT}!everyone{GT}",
    "Details: workload-exporter explain w1",
    "Console: https://dr.test/w1?a=1&b=(2)",
)
MARKED = (
    rf"**FIRING** DataRobotWorkloadErrored\: churn {LT}eu{GT} \*x\* \(account acme\)",
    r"The workload has failed\.",
    rf"Reason: {AT}channel \[Fix it\]\(http\:\/\/evil\.test\) {LT}\!everyone{GT}",
    "Details: `workload-exporter explain w1`",
    "[Console](https://dr.test/w1?a=1&b=%282%29)",
)


def test_a_message_about_one_alert_has_its_title_and_no_mention_or_link_that_it_reports() -> None:
    assert message([FIRING], "severity") == {
        "type": "failure",
        "title": PLAIN[0],
        "text": [[*PLAIN[1:]]],
        "markdown": [[*MARKED[1:]]],
    }


def test_a_message_about_several_alerts_lists_them_most_severe_first() -> None:
    made = message([OTHER, FIRING], "severity")
    assert (made["type"], made["title"]) == ("failure", f"2 firing: {PLAIN[0].removeprefix('FIRING ')} …")
    assert made["text"][0] == [*PLAIN]
    assert made["markdown"][0] == [*MARKED]
    assert [block[0] for block in made["text"]][1] == "FIRING DataRobotWorkloadErrored: scorer (account acme)"


@pytest.mark.parametrize(
    ("severity", "ended", "alert", "kind"),
    [
        ("critical", None, "DataRobotWorkloadErrored", "failure"),
        ("warning", None, "DataRobotWorkloadErrored", "warning"),
        ("info", None, "DataRobotWorkloadErrored", "info"),
        ("none", None, "DataRobotWatchdog", "info"),
        ("critical", NOW, "DataRobotWorkloadErrored", "success"),
        ("warning", NOW, "DataRobotWorkloadStopped", "info"),  # it is over, but the workload may still be stopped
    ],
)
def test_each_severity_is_a_type_of_apprise(severity: str, ended: float | None, alert: str, kind: str) -> None:
    labels = {**FIRING.labels, "severity": severity, "alertname": alert}
    assert message([FIRING._replace(labels=labels, ended=ended)], "severity")["type"] == kind


@pytest.mark.parametrize(
    ("limit", "text"),
    [
        (40, "a1\na2\na3\n\nb1"),
        (10, "a1\na2\n\nb1"),
        (7, "a1\n\nb1"),
        (5, "a…"),
    ],
)
def test_what_is_too_long_for_a_service_has_fewer_lines(limit: int, text: str) -> None:
    found = fitted([["a1", "a2", "a3"], ["b1"]], limit, "\n")
    assert len(found) <= limit
    assert found == text if limit > 5 else found.startswith("a1")


def test_of_more_alerts_than_a_service_takes_the_first_are_listed() -> None:
    blocks = [[f"alert {n}", "x" * 500] for n in range(20)]
    assert fitted(blocks, 60, "\n") == "alert 0\nalert 1\nalert 2\nalert 3\nalert 4\n… and 15 more"
    assert fitted([["x" * 500]], 10, "\n") == "xxxxxxxxx…"


def test_a_service_gets_one_message_for_what_fires_and_one_for_what_has_ended() -> None:
    with HttpReceiver() as receiver:
        (results,) = sent(notifier(mattermost(receiver)), [FIRING, ENDED, OTHER])
    assert [(each.key, each.fate) for each in results] == [(key, "delivered") for key in ("w1", "w3", "w2")]
    assert results[0].words == f"mmost://… POST {receiver.url}/… was accepted"
    firing, ended = (json.loads(each.body)["text"] for each in receiver.received)
    assert firing.splitlines()[:2] == [f"2 firing: {PLAIN[0].removeprefix('FIRING ')} …", PLAIN[0]]
    assert ended.splitlines()[0] == "RESOLVED DataRobotWorkloadErrored: scorer (account acme)"


@pytest.mark.long
def test_a_service_that_takes_markdown_gets_markdown() -> None:
    with HttpReceiver() as receiver:
        sent(notifier(mattermost(receiver, "?format=markdown")), [FIRING])
    ((text,),) = ([json.loads(each.body)["text"]] for each in receiver.received)
    assert text.endswith("  \n".join(MARKED[1:]))


@pytest.mark.long
def test_ntfy_gets_title_text_and_the_icon_of_the_severity() -> None:
    with HttpReceiver(Answer(200, b'{"id":"1"}')) as receiver:
        sent(notifier(f"{receiver.url.replace('http', 'ntfy')}/topic-{TOKEN}"), [FIRING])
    (received,) = receiver.received
    posted = json.loads(received.body)
    assert (posted["topic"], posted["title"]) == (f"topic-{TOKEN}", PLAIN[0])
    assert posted["message"] == "\n".join(PLAIN[1:])


# -- what became of it


@pytest.mark.long
@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (
            [
                Answer(302, b"", {"location": "/elsewhere"}),
                Answer(400, f'{{"message": "bad {TOKEN}"}}'.encode()),
                Answer(403),
                Answer(429, b"", {"retry-after": "7"}),
                Answer(503, b"", {"retry-after": "86400"}),
                HALF,
            ],
            [
                ("failed", "redirect", None, False, "returned 302: a redirect, which is not followed"),
                ("failed", "bad_request", None, False, "returned 400: bad ***"),
                ("failed", "forbidden", None, False, "returned 403"),
                ("again", "throttled", 7.0, False, "returned 429"),
                ("again", "server_error", 300.0, False, "returned 503"),
                ("again", "connect", None, True, "failed: ('Connection broken: "),
            ],
        )
    ],
)
def test_each_response_has_its_fate(answers: list[Answer], expected: list[tuple[Any, ...]]) -> None:
    with HttpReceiver(*answers) as receiver:
        results = sent(notifier(mattermost(receiver)), *[[FIRING]] * len(answers))
        assert len(receiver.received) == len(answers)
    for (result,), (fate, reason, after, maybe, words) in zip(results, expected, strict=True):
        assert (result.fate, result.reason, result.after, result.maybe) == (fate, reason, after, maybe)
        assert result.words.startswith(f"mmost://… POST {receiver.url}/… {words}")


@pytest.mark.long
def test_after_a_failure_what_has_ended_is_not_sent_and_has_not_arrived() -> None:
    with HttpReceiver(HALF) as receiver:
        (results,) = sent(notifier(mattermost(receiver)), [FIRING, ENDED])
    assert [(each.key, each.fate, each.maybe) for each in results] == [("w1", "again", True), ("w3", "again", False)]
    assert len(receiver.received) == 1


def _refused(code: int) -> Exception:
    return smtplib.SMTPRecipientsRefused({"a@b.test": (code, b"no")})


def _chained(cause: Exception) -> Exception:
    error = requests.ConnectionError("x")
    error.__context__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (requests.ReadTimeout("slow"), ("timeout", False, True)),
        (requests.ConnectTimeout("slow"), ("timeout", False, False)),
        (TimeoutError(), ("timeout", False, True)),
        (_chained(socket.gaierror(-2, "unknown")), ("dns", False, False)),
        (_chained(ssl.SSLError("bad certificate")), ("tls", False, False)),
        (_chained(ConnectionResetError()), ("connect", False, True)),
        (ConnectionRefusedError(111, "refused"), ("connect", False, False)),
        (smtplib.SMTPServerDisconnected("closed"), ("connect", False, True)),
        (smtplib.SMTPAuthenticationError(535, b"no"), ("auth", True, False)),
        (smtplib.SMTPDataError(552, b"too much"), ("too_large", True, False)),
        (smtplib.SMTPDataError(451, b"later"), ("server_error", False, False)),
        (_refused(550), ("refused", True, False)),
        (_refused(450), ("server_error", False, False)),
        (KeyError("bug"), ("refused", True, False)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_each_error_has_its_reason(error: Exception, answer: tuple[str, bool, bool]) -> None:
    found: ProcessAnswer = of_error(error)
    assert (found["reason"], found.get("lasting", False), found.get("maybe", False)) == answer


@pytest.mark.long
def test_a_server_that_hangs_costs_the_timeout_and_delays_no_other_receiver() -> None:
    with HttpReceiver(HANG) as hanging, HttpReceiver() as good:
        slow, quick = notifier(mattermost(hanging), timeout=1.0), notifier(mattermost(good))
        order: list[str] = []

        async def send(receiver: Apprise, name: str) -> Sent:
            (result,) = await receiver.send([FIRING], NOW)
            order.append(name)
            return result

        async def both() -> tuple[Sent, Sent]:
            begun = asyncio.create_task(send(slow, "slow"))
            await asyncio.to_thread(eventually, lambda: hanging.received, 30)
            result = await send(quick, "quick")
            return await begun, result

        hung, delivered = asyncio.run(both())
    assert (hung.fate, hung.reason, hung.maybe) == ("again", "timeout", True)
    assert delivered.fate == "delivered"


@pytest.mark.long
def test_a_response_without_end_is_stopped_with_its_process() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                try:
                    while True:
                        connection.sendall(b"x")
                        ended.wait(0.05)
                except OSError:
                    ended.set()

        ended = threading.Event()
        thread = threading.Thread(target=drip)
        thread.start()
        (((result,)),) = sent(notifier(f"mmost://127.0.0.1:{server.getsockname()[1]}/{TOKEN}", timeout=0.5), [FIRING])
        assert (result.fate, result.reason, result.maybe) == ("again", "timeout", True)
        assert result.words == "mmost://… got no response within 0.5 s"
        assert ended.wait(30)
        thread.join()


@pytest.mark.long
def test_a_call_that_is_cancelled_leaves_no_process() -> None:
    def children() -> str:
        return Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text()

    with HttpReceiver(HANG) as receiver:
        hanging = notifier(mattermost(receiver))

        async def cancel() -> str:
            task = asyncio.create_task(hanging.send([FIRING], NOW))
            await asyncio.to_thread(eventually, lambda: receiver.received, 30)
            task.cancel()
            await asyncio.wait([task])
            return children()

        assert asyncio.run(cancel()) == children()


def test_at_most_twenty_messages_are_sent_a_minute() -> None:
    receiver = Apprise(settings(None, url_file="/nonexistent"), steady=lambda: 0.0)
    for _ in range(20):
        assert receiver.budget.take() is None
    taken = receiver.budget.take()
    assert taken is not None
    assert (taken.fate, taken.postponed, taken.after) == ("again", True, 60.0)


# -- mail


class Mailbox:
    """A mail server that keeps what it accepts, or answers all of it with `answer`."""

    def __init__(self, answer: str = "250 OK") -> None:
        self.answer = answer
        self.received: list[tuple[list[str], EmailMessage]] = []

    async def handle_DATA(self, server: object, session: Session, envelope: Envelope) -> str:  # noqa: N802 — its name
        assert isinstance(envelope.content, bytes)
        content = message_from_bytes(envelope.content, policy=policy.default)
        self.received.append((envelope.rcpt_tos, content))
        return self.answer


@contextmanager
def serving(mailbox: Mailbox, **more: Any) -> Iterator[int]:
    """The port of its server."""
    controller = Controller(mailbox, hostname="127.0.0.1", port=free_port(), **more)
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


def mailed(mailbox: Mailbox, *batches: Sequence[Notification]) -> list[list[Sent]]:
    with serving(mailbox) as port:
        return sent(notifier(f"mailto://127.0.0.1:{port}?from=exporter@example.test&to=on-call@example.test"), *batches)


@pytest.mark.long
def test_a_mail_has_the_title_as_its_subject_and_a_second_one_says_that_it_has_ended() -> None:
    mailbox = Mailbox()
    (results,) = mailed(mailbox, [FIRING, ENDED])
    assert [(each.fate, each.words) for each in results] == [("delivered", "mailto://… was accepted")] * 2
    (to, mail), (_, ended) = mailbox.received
    assert (to, mail["subject"]) == (["on-call@example.test"], PLAIN[0])
    assert mail.get_content().splitlines() == [*PLAIN[1:]]
    assert ended["subject"] == "RESOLVED DataRobotWorkloadErrored: scorer (account acme)"


@pytest.mark.long
def test_a_mail_server_says_whether_to_try_again() -> None:
    for answer, fate, reason in (
        ("451 later", "again", "server_error"),
        ("554 no", "failed", "refused"),
        ("552 too large", "failed", "too_large"),
    ):
        (((result,)),) = mailed(Mailbox(answer), [FIRING])
        assert (result.fate, result.reason, result.maybe) == (fate, reason, False)
        assert answer[4:] in result.words


# -- secrets, trust and settings


@pytest.mark.parametrize(
    ("url", "removed", "kept"),
    [
        (
            "tgram://123456789:AAFabcdefgh-ijkl/-1001234567890",
            ["AAFabcdefgh-ijkl", "123456789:AAFabcdefgh-ijkl", "-1001234567890"],
            [],
        ),
        ("discord://998877665544332211/xYz-canary_77", ["xYz-canary_77", "998877665544332211"], []),
        (
            "mailtos://alerts%40example.test:pass%2Fword@mail.example.test:587?to=a@b.test",
            ["pass/word", "pass%2Fword", "alerts@example.test:pass/word"],
            ["mail.example.test", "mail.example.test:587"],
        ),
        ("ntfys://ntfy.example.test/k3y-topic?token=tk_AbC123", ["k3y-topic", "tk_AbC123"], ["ntfy.example.test"]),
        ("json://127.0.0.1:8080/canary-path-1", ["canary-path-1"], ["127.0.0.1", "127.0.0.1:8080"]),
    ],
)
def test_of_a_url_everything_but_the_name_of_the_server_is_a_secret(
    url: str, removed: list[str], kept: list[str]
) -> None:
    own = [part.text for part in service_url(url)]
    for each in [url, *removed]:
        assert Secrets().text(f"x {each} y", *own) == "x *** y"
    for each in kept:
        assert Secrets().text(f"x {each} y", *own) == f"x {each} y"


def test_the_secrets_of_the_settings_are_removed_from_all_text() -> None:
    given = settings("tgram://123456789:AAFabcdefgh-ijkl/-1001")
    secrets = Secrets(given.sources())
    assert secrets.text("GET https://api.telegram.org/bot123456789:AAFabcdefgh-ijkl/x") == (
        "GET https://api.telegram.org/bot***/x"
    )
    assert "AAF" not in repr(given)


def test_what_apprise_says_of_a_failure_contains_no_secret() -> None:
    (((result,)),) = sent(notifier(f"mmost://127.0.0.1:{free_port()}/{TOKEN}"), [FIRING])
    assert (result.fate, result.reason, result.maybe) == ("again", "connect", False)
    assert TOKEN not in result.words
    assert "with url: /hooks/***" in result.words


@pytest.mark.parametrize("url", ["nosuch://canary-secret-1/x", f"mmost://localhost/%20?canary={TOKEN}"])
def test_a_url_that_apprise_cannot_use_is_a_problem_of_the_settings(url: str) -> None:
    with pytest.raises(BadSettings, match=r"url: of phone cannot be used by Apprise: \w+") as error:
        notifier(url)
    assert "canary" not in str(error.value)


def test_a_url_that_is_none_is_refused_or_waited_for(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="not a URL of Apprise, such as mailto"):
        notifier("s3cret")
    (tmp_path / "url").write_text("")
    (((result,)),) = sent(notifier(None, url_file=tmp_path / "url"), [FIRING])
    assert (result.fate, result.reason) == ("again", "refused")


def test_without_apprise_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    expected = r"kind: of phone: kind apprise needs Apprise, .*; pip install 'datarobot-workload-exporter\[notify\]'"
    with pytest.raises(BadSettings, match=expected):
        notifier("ntfy://localhost/topic")


def test_a_url_of_datarobot_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "exporter.yaml"
    file.write_text("paging:\n  receivers:\n    - {name: x, kind: apprise, url: 'json://u:p@app.datarobot.com/api'}\n")
    with pytest.raises(BadSettings, match=r"app\.datarobot\.com is DataRobot, which only gets GET requests"):
        load(file, {"DATAROBOT_API_TOKEN": "t"})


def _https(folder: Path, answered: list[bytes]) -> tuple[socket.socket, threading.Thread]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for _ in range(2):
            connection, _ = server.accept()
            try:
                with context.wrap_socket(connection, server_side=True) as secured:
                    answered.append(secured.recv(99))
                    secured.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            except OSError:
                answered.append(b"")

    thread = threading.Thread(target=serve)
    thread.start()
    return server, thread


@pytest.mark.long
def test_a_server_is_trusted_by_the_authorities_of_ca_file(tmp_path: Path) -> None:
    certificate(tmp_path)
    answered: list[bytes] = []
    server, thread = _https(tmp_path, answered)
    with server:
        url = f"mmosts://127.0.0.1:{server.getsockname()[1]}/{TOKEN}"
        (((unknown,)),) = sent(notifier(url), [FIRING])
        (((trusted,)),) = sent(notifier(url, ca_file=tmp_path / "server.pem"), [FIRING])
        thread.join()
    assert (unknown.fate, unknown.reason, unknown.maybe) == ("again", "tls", False)
    assert trusted.fate == "delivered"
    assert [each[:12] for each in answered] == [b"", b"POST /hooks/"]


@pytest.mark.long
def test_a_mail_server_is_trusted_by_the_authorities_of_ca_file(tmp_path: Path) -> None:
    certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    mailbox = Mailbox()
    with serving(mailbox, tls_context=context) as port:
        url = f"mailtos://127.0.0.1:{port}?from=exporter@example.test&to=on-call@example.test"
        (((unknown,)),) = sent(notifier(url), [FIRING])
        (((trusted,)),) = sent(notifier(url, ca_file=tmp_path / "server.pem"), [FIRING])
    assert (unknown.fate, unknown.reason) == ("again", "tls")
    assert (trusted.fate, len(mailbox.received)) == ("delivered", 1)


def test_a_ca_file_that_cannot_be_used_is_a_problem_of_the_settings() -> None:
    with pytest.raises(BadSettings, match="ca_file: of phone cannot be used"):
        notifier("ntfy://localhost/topic", ca_file=__file__)


@pytest.mark.long
def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        monkeypatch.setenv("NO_PROXY", "")
        received: list[bytes] = []

        def accept() -> None:
            with proxy.accept()[0] as connection:
                received.append(connection.recv(99))

        thread = threading.Thread(target=accept)
        thread.start()
        (((result,)),) = sent(notifier(f"mmosts://receiver.test/{TOKEN}"), [FIRING])
        thread.join()
    assert received[0].startswith(b"CONNECT receiver.test:443")
    assert (result.fate, result.reason) == ("again", "connect")


# -- docs/paging.md

SAMPLES = {
    "WEBHOOK_ID": "998877665544332211",
    "WEBHOOK_TOKEN": "a" * 68,
    "WEBHOOK_KEY": "k" * 26,
    "BOT_TOKEN": "123456789:AAFabcdefgh-ijklmnopqrstuvwxyz1234567",
    "CHAT_ID": "-1001234567890",
    "HOST": "chat.example.test",
}


@pytest.mark.filterwarnings("ignore:.*imghdr.*:DeprecationWarning")  # imported by Apprise
def test_apprise_accepts_the_documented_urls() -> None:
    rows = re.findall(r"^\| [^|]+ \| (.*`\w+://.*) \|$", PAGING, re.MULTILINE)
    urls = [url for row in rows for url in re.findall(r"`(\w+://[^`]*)`", row)]
    assert len(urls) == 9, urls
    for url in urls:
        given = re.sub("|".join(SAMPLES), lambda found: SAMPLES[found[0]], url)
        assert apprise.Apprise.instantiate(given) is not None, given
