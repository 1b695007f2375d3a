"""The form on the page of a workload that silences its alerts in direct paging: a POST that a browser may send.

It exists only where users log in. A browser sends the login with the forms of other sites, too, so a request has to
come from this server's own page: its `Origin` names this server, `Sec-Fetch-Site` says the same if the browser sends
it, and it has a token that was made for this user and workload. The fields are in the address: no body is read.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import parse_qsl, urlencode

from exporter.web.passwords import Passwords
from exporter.web.responses import Headers, HttpRequest, HttpResponse, Rows, header, plain

TOKEN_SECONDS = 3600.0
"""For how long a page may be open before its form is refused."""
DURATIONS = ("1h", "4h", "1d")
COMMENT = "from the page of the workload"
SilencesResult = Rows | tuple[int, str]
"""The silences, or a status code and an error text."""
Tokens = Callable[[str, str], str]
"""The token for a form, by account and id of the workload."""


class SilenceForm:
    """Makes tokens for forms, and accepts a form. `passwords` are those in force; `silences` creates one by POST."""

    def __init__(
        self,
        passwords: Callable[[], Passwords | None],
        silences: Callable[[str, Mapping[str, str]], Awaitable[SilencesResult]],
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._passwords, self._silences, self._steady = passwords, silences, steady
        self._key = os.urandom(32)

    def tokens(self, headers: Headers) -> Tokens | None:
        """Makes the tokens for the user of an authorized request; None: no login is required, so there is no form."""
        user = self._user(headers)
        if user is None:
            return None
        expires = f"{self._steady() + TOKEN_SECONDS:.0f}"
        return lambda account, workload_id: f"{expires}.{self._mac(expires, user, account, workload_id)}"

    async def post(self, request: HttpRequest, workload_id: str) -> HttpResponse:
        """Silence all alerts of a workload, and lead back to its page. The request is authorized."""
        user = self._user(request.headers)
        if user is None or not _from_this_server(request.headers):
            return plain(403, "web pages cannot change anything; use curl or the command line\n")
        try:
            given = dict(parse_qsl(request.query, max_num_fields=10))
        except ValueError:
            return plain(400, "more than 10 parameters\n")
        account, lasts = given.get("account", ""), given.get("for", "")
        if not self._is_valid(given.get("token", ""), user, account, workload_id):
            return plain(403, "the page is too old, or of another replica; load it again\n")
        if lasts not in DURATIONS:
            return plain(400, f"unknown duration; use one of: {' '.join(DURATIONS)}\n")
        wanted = {"account": account, "workload_id": workload_id, "for": lasts, "author": user, "comment": COMMENT}
        result = await self._silences("POST", wanted)
        if isinstance(result, tuple):
            return plain(*result)
        back = f"?{urlencode({'account': account})}#silence"
        return plain(303, "silenced\n", (b"location", back.encode()))

    def _user(self, headers: Headers) -> str | None:
        passwords = self._passwords()
        return passwords.user(header(headers, b"authorization")) if passwords is not None else None

    def _mac(self, *parts: str) -> str:
        text = "".join(f"{len(part)}:{part}" for part in parts)
        return hmac.new(self._key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()

    def _is_valid(self, token: str, user: str, account: str, workload_id: str) -> bool:
        expires, _, mac = token.partition(".")
        expected = self._mac(expires, user, account, workload_id)
        return hmac.compare_digest(mac.encode(), expected.encode()) and float(expires) >= self._steady()


def _from_this_server(headers: Headers) -> bool:
    """Whether a browser reports that its request is of a page of this server. Another page cannot set these headers."""
    origin, host = header(headers, b"origin"), header(headers, b"host")
    fetched = header(headers, b"sec-fetch-site")
    scheme, _, named = origin.partition("://")
    same = scheme in ("https", "http") and named.lower() == host.lower() != ""
    return same and fetched in ("", "same-origin")
