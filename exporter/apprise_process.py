"""Sends messages by Apprise, in a process of its own: ``python -m exporter.apprise_process``.

Apprise's calls block, and one to a server whose response never ends cannot be stopped in a thread: a process is killed.
Nor is its memory that of the daemon. Standard input has a JSON value per line: a receiver, then messages. Standard
output has one for each: `Answer`.
"""

from __future__ import annotations

import json
import logging
import smtplib
import ssl
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, TypedDict
from urllib.parse import urlsplit

from exporter.failures import MARGIN_BYTES, MAX_BODY_BYTES, failure_of
from exporter.trust import trusted

NAME = "DataRobot workload exporter"
SMTP_AUTHENTICATION, SMTP_TOO_LARGE = (530, 534, 535, 538), (523, 552)
"""Codes of responses; source: RFC 4954 (6), RFC 5321 (4.2.3)."""


class Answer(TypedDict, total=False):
    """What a receiver or a message led to. `accepted`: Apprise can use the receiver, or it took the message.

    With a response over HTTP: its `status`, `headers` and `body`, a character per byte. With an error: `reason`, as of
    `exporter.failures`, and `text`; `lasting`: it would be the same again; `maybe`: the message may have arrived.
    `request`: method and server.
    """

    accepted: bool
    request: str
    status: int
    headers: dict[str, str]
    body: str
    reason: str
    text: str
    lasting: bool
    maybe: bool


def fitted(blocks: Sequence[Sequence[str]], limit: int, newline: str) -> str:
    """Blocks of lines as a text of at most `limit` characters: if it is longer, with fewer lines of each block, then
    with the first lines of the first blocks.
    """
    for number in range(max(map(len, blocks)), 0, -1):
        text = "\n\n".join(newline.join(block[:number]) for block in blocks)
        if len(text) <= limit:
            return text
    for number in range(len(blocks) - 1, 0, -1):
        heads = [block[0] for block in blocks[:number]]
        text = newline.join([*heads, f"… and {len(blocks) - number} more"])
        if len(text) <= limit:
            return text
    return blocks[0][0][: limit - 1] + "…"


def main() -> None:
    """Answer each line of standard input."""
    try:
        import apprise  # noqa: F401 — first, so that an incomplete installation is an answer
    except ImportError as error:
        _write(Answer(accepted=False, text=f"Apprise cannot be imported: {error}"))
        return
    log, attempts = _Log(), list[Answer]()
    receiver = json.loads(sys.stdin.readline())
    _trust(receiver["ca_file"], attempts)
    service = _service(receiver)
    _write(Answer(accepted=service is not None, text=log.text()))
    for line in sys.stdin if service is not None else ():
        log.clear()
        attempts.clear()
        _write(_sent(service, json.loads(line), log, attempts))


def _service(receiver: Any) -> Any:
    """Apprise's object for the URL of a receiver; None: it cannot use it."""
    from apprise import Apprise, AppriseAsset, OverflowMode

    asset = AppriseAsset(
        app_id=NAME,
        app_desc=NAME,
        app_url="",
        image_url_mask="",  # no icons from the web
        image_url_logo="",
        async_mode=False,
        http_redirects=False,  # secrets go to the configured host and nowhere else
        pem_autogen=False,
        pgp_autogen=False,
        service_timeout=0,  # the other process waits
        storage_mode="memory",
        allow_templates=False,
    )
    service: Any = Apprise.instantiate(receiver["url"], asset=asset)
    if service is None:
        return None
    service.socket_connect_timeout = service.socket_read_timeout = receiver["timeout"]
    service.request_rate_per_sec = 0  # the other process limits the rate
    if service.overflow_mode == OverflowMode.UPSTREAM:
        service.overflow_mode = OverflowMode.TRUNCATE
    return service


def _sent(service: Any, message: Any, log: _Log, attempts: list[Answer]) -> Answer:
    from apprise import NotifyFormat, NotifyType

    is_markdown = service.resolve_format(NotifyFormat.MARKDOWN) == NotifyFormat.MARKDOWN
    title = message["title"]
    limit = service.body_maxlen - (0 if service.title_maxlen > 0 else len(title) + 10)  # else it is part of the body
    body = fitted(message["markdown"], limit, "  \n") if is_markdown else fitted(message["text"], limit, "\n")
    try:
        accepted = bool(
            service.notify(
                body=body,
                title=title,
                notify_type=NotifyType(message["type"]),
                body_format=NotifyFormat.MARKDOWN if is_markdown else NotifyFormat.TEXT,
            )
        )
    except Exception as error:  # noqa: BLE001 — of any of two hundred services
        accepted, log.error = False, error
    if accepted:
        return Answer(accepted=True, request=attempts[-1]["request"]) if attempts else Answer(accepted=True)
    failed = next((each for each in attempts if not 200 <= each.get("status", 0) < 300), None)
    if failed is None and log.error is not None:
        failed = of_error(log.error)
    return Answer(accepted=False) | (failed or Answer(text=log.text(), **(attempts[-1] if attempts else {})))


def of_error(error: BaseException) -> Answer:
    """An exception of a request, or of a session with a mail server."""
    import requests
    import urllib3

    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return _of_smtp(min(code for code, _ in error.recipients.values()), text)
    if isinstance(error, smtplib.SMTPResponseException) and error.smtp_code > 0:
        return _of_smtp(error.smtp_code, text)
    if isinstance(error, TimeoutError | requests.Timeout):
        return Answer(reason="timeout", text=text, maybe=not isinstance(error, requests.ConnectTimeout))
    if not isinstance(error, OSError | requests.RequestException):
        return Answer(reason="refused", text=f"{type(error).__name__}: {text}", lasting=True)
    reason, _ = failure_of(error, str)
    cause = (
        error.args[0].reason if error.args and isinstance(error.args[0], urllib3.exceptions.MaxRetryError) else error
    )
    unsent = (ConnectionRefusedError, smtplib.SMTPConnectError, urllib3.exceptions.NewConnectionError)
    return Answer(reason=reason, text=text, maybe=reason == "connect" and not isinstance(cause, unsent))


def _of_smtp(code: int, text: str) -> Answer:
    if code < 500:
        return Answer(reason="server_error", text=text)
    reason = "auth" if code in SMTP_AUTHENTICATION else "too_large" if code in SMTP_TOO_LARGE else "refused"
    return Answer(reason=reason, text=text, lasting=True)


def _trust(ca_file: str | None, attempts: list[Answer]) -> None:
    """Trust what the exporter trusts, over HTTP and SMTP, and record the attempts over HTTP."""
    import requests

    class Adapter(requests.adapters.HTTPAdapter):
        def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
            host, tls = super().build_connection_pool_key_attributes(request, verify, cert)
            return host, tls | {"ssl_context": trusted(ca_file)} if verify else tls

        def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
            if not verify:  # else the context above does it; this would add the authorities of another package
                super().cert_verify(conn, url, verify, cert)

        def send(self, request: requests.PreparedRequest, *arguments: Any, **named: Any) -> requests.Response:
            parts = urlsplit(request.url or "")
            attempt = Answer(request=f"{request.method} {parts.scheme}://{parts.netloc.rpartition('@')[2]}/…")
            attempts.append(attempt)
            try:
                response = super().send(request, *arguments, **{**named, "stream": True})
                body = b"".join(_beginning(response))
            except requests.RequestException as error:
                attempt.update(of_error(error))
                raise
            response._content = body  # noqa: SLF001 — requests would read all of it
            headers = {name.lower(): value for name, value in response.headers.items()}
            kept: dict[str, str] = {name: headers[name] for name in ("retry-after", "date") if name in headers}
            attempt.update(Answer(status=response.status_code, headers=kept, body=body.decode("latin-1")))
            return response

    requests.sessions.HTTPAdapter = Adapter  # type: ignore[attr-defined]  # it has no option for it
    # By this name, the mail library makes the context of a connection.
    ssl.create_default_context = partial(_context, ssl.create_default_context, ca_file)


def _context(original: Any, ca_file: str | None, *arguments: Any, **named: Any) -> Any:
    context = original(*arguments, **named)
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context


def _beginning(response: Any) -> Iterator[bytes]:
    """Enough of a body for an error message; after it the connection is closed."""
    left = MAX_BODY_BYTES + MARGIN_BYTES
    with response:
        for chunk in response.iter_content(4096):
            yield chunk
            left -= len(chunk)
            if left <= 0:
                return


class _Log(logging.Handler):
    """The messages of Apprise at warning and above, and the exception that it handled last: it passes none on."""

    def __init__(self) -> None:
        super().__init__()
        self._texts: list[str] = []
        self.error: BaseException | None = None
        logger = logging.getLogger("apprise")
        logger.handlers, logger.propagate = [self], False
        logger.setLevel(logging.DEBUG)

    def clear(self) -> None:
        self._texts, self.error = [], None

    def text(self) -> str:
        return " ".join(dict.fromkeys(self._texts))

    def emit(self, record: logging.LogRecord) -> None:
        self.error = sys.exc_info()[1] or self.error
        if record.levelno >= logging.WARNING:
            self._texts.append(record.getMessage())


def _write(answer: Answer) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
