"""The form that silences a workload: which requests it accepts, and that those of other sites change nothing."""

import asyncio
import base64
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlencode

import bcrypt
import pytest

from exporter.alerting.rules import DEFAULT
from exporter.web.passwords import Passwords
from exporter.web.responses import Headers, HttpRequest, HttpResponse, header
from exporter.web.silence_form import TOKEN_SECONDS, SilenceForm
from exporter.web.workload_page import rendered
from tests.web.serving import Served
from tests.web.test_status_page import Parsed, state
from tests.web.test_workload_page import requested

HASH = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
OWN: Mapping[str, str] = {"host": "exporter.test:10142", "origin": "https://exporter.test:10142"}


def login(user: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:secret".encode()).decode()


class Formed:
    """A form of users `jane` and `joe`, at `now` seconds; `silenced`: the silences that it wants."""

    def __init__(self, *users: str) -> None:
        self.now, self.silenced = 1000.0, list[Mapping[str, str]]()
        self.result: Any = []
        passwords = Passwords(dict.fromkeys(users, HASH))
        self.form = SilenceForm(lambda: passwords, self._silences, lambda: self.now)

    async def _silences(self, method: str, wanted: Mapping[str, str]) -> Any:
        assert method == "POST"
        self.silenced.append(wanted)
        return self.result

    def token(self, user: str = "jane", account: str = "eu", workload_id: str = "w1") -> str:
        made = self.form.tokens(_headers({"authorization": login(user)}))
        assert made is not None
        return made(account, workload_id)

    def post(self, token: str, *, user: str = "jane", workload_id: str = "w1", **changed: str | None) -> HttpResponse:
        fields = {"account": "eu", "for": "4h", "token": token}
        headers: dict[str, str] = {**OWN, "authorization": login(user)}
        for name, value in changed.items():
            into = fields if name in ("account", "duration", "token") else headers
            key = {"duration": "for", "fetched": "sec-fetch-site"}.get(name, name)
            if value is None:
                into.pop(key)
            else:
                into[key] = value
        request = HttpRequest(_headers(headers), urlencode(fields), "POST", f"/workloads/{workload_id}")
        return asyncio.run(self.form.post(request, workload_id))


def _headers(values: Mapping[str, str]) -> Headers:
    return [(name.encode(), value.encode()) for name, value in values.items()]


def test_the_form_of_the_own_page_silences_the_workload_as_the_user_and_leads_back() -> None:
    formed = Formed("jane", "joe")
    response = formed.post(formed.token(), fetched="same-origin")
    assert (response.status, header(response.headers, b"location")) == (303, "?account=eu#silence")
    assert formed.silenced == [
        {
            "account": "eu",
            "workload_id": "w1",
            "for": "4h",
            "author": "jane",
            "comment": "from the page of the workload",
        }
    ]
    assert formed.post(formed.token()).status == 303, "over plain HTTP, a browser sends no Sec-Fetch-Site"


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"origin": "https://evil.test"}, 403),
        ({"origin": "https://exporter.test:10142.evil.test"}, 403),
        ({"origin": "https://exporter.test"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://["}, 403),
        ({"origin": None}, 403),
        ({"origin": "file://exporter.test:10142"}, 403),
        ({"host": ""}, 403),
        ({"fetched": "cross-site"}, 403),
        ({"fetched": "same-site"}, 403),
        ({"fetched": "none"}, 403),
        ({"user": "joe"}, 403),
        ({"workload_id": "w2"}, 403),
        ({"account": "us"}, 403),
        ({"token": ""}, 403),
        ({"token": None}, 403),
        ({"token": "x.y"}, 403),
        ({"token": "\u00e9"}, 403),
        ({"token": "99999999.0"}, 403),
        ({"duration": "8760h"}, 400),
        ({"duration": None}, 400),
    ],
)
def test_no_other_request_changes_anything(changed: dict[str, str | None], status: int) -> None:
    formed = Formed("jane", "joe")
    token = changed.pop("token", formed.token())
    response = formed.post(token or "", **changed)  # type: ignore[arg-type]
    assert (response.status, formed.silenced) == (status, [])


def test_a_token_ends_after_an_hour_and_is_no_token_of_another_process() -> None:
    formed = Formed("jane")
    token, foreign = formed.token(), Formed("jane").token()
    assert formed.post(foreign).status == 403
    formed.now += TOKEN_SECONDS
    assert formed.post(token).status == 303
    formed.now += 1
    assert formed.post(token).status == 403


def test_without_a_login_there_is_no_form_and_no_token() -> None:
    formed = Formed()
    assert formed.form.tokens(_headers({"authorization": login("jane")})) is None
    assert formed.post("1.2").status == 403


def test_what_cannot_be_silenced_is_answered_with_the_reason() -> None:
    formed = Formed("jane")
    formed.result = (404, "Direct paging is off; see paging.who.\n")
    assert formed.post(formed.token()).status == 404


def test_the_page_has_the_form_only_if_a_user_logs_in_and_silences_exist() -> None:
    def forms(**facts: Any) -> list[str | None]:
        shown = Parsed(rendered(requested(state(), **facts))[1])
        return [given["formaction"] for tag, given in shown.tags if tag == "button"]

    def tokens(account: str, workload_id: str) -> str:
        return f"{account}-{workload_id}&"

    found = forms(tokens=tokens, silences=())
    assert [parse_qs((action or "").removeprefix("?")) for action in found] == [
        {"account": ["eu"], "for": [lasts], "token": ["eu-w1&"]} for lasts in ("1h", "4h", "1d")
    ]
    assert forms(tokens=tokens) == forms(silences=()) == []
    assert DEFAULT.status == ""


def test_the_server_accepts_the_form_of_its_page_and_refuses_that_of_another_site() -> None:
    served = Served()
    served.application.passwords = Passwords({"jane": HASH})
    own = {"host": "127.0.0.1", "authorization": login("jane")}
    page = served.request("GET", "/workloads/w1?account=eu", **own)
    assert (page.status_code, page.headers["referrer-policy"]) == (200, "same-origin")
    token = re.findall(r"token=(\S+)", page.text)[0]
    path = f"/workloads/w1?account=eu&for=1h&token={token}"
    assert served.request("POST", path, **own, origin="http://evil.test").status_code == 403
    assert served.request("POST", path, **own).status_code == 403
    assert served.request("POST", path, host="127.0.0.1", origin="http://127.0.0.1").status_code == 401
    assert served.silenced == []
    assert served.request("POST", path, **own, origin="http://127.0.0.1").status_code == 303
    assert served.silenced == ["POST"]
