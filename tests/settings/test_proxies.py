"""Proxies of the environment: what the HTTP library cannot use is an error with its variable, or is left out."""

import os
from unittest import mock

import httpx
import pytest

from exporter.settings.loader import load
from exporter.settings.problems import BadSettings
from exporter.settings.proxies import proxy_problems, remove_unusable_exceptions

TOKEN = {"DATAROBOT_API_TOKEN": "abcdefgh"}


@pytest.mark.parametrize(
    "url",
    ["socks5://proxy:1080", "http://proxy:99999", "http://user:hunter22@proxy:port", "ftp://proxy", "::::", "a b"],
)
@pytest.mark.parametrize("variable", ["ALL_PROXY", "https_proxy", "HTTP_PROXY"])
def test_a_proxy_that_cannot_be_used_is_an_error_with_its_variable(variable: str, url: str) -> None:
    with pytest.raises(BadSettings) as caught:
        load(None, TOKEN | {variable: url})
    assert [problem.place for problem in caught.value.problems] == [variable]
    assert "hunter22" not in str(caught.value)


@pytest.mark.parametrize("url", ["", "http://proxy:3128", "https://user:pass@proxy.example", "proxy.example:3128"])
def test_the_library_accepts_each_proxy_that_is_accepted(url: str) -> None:
    assert list(proxy_problems({"HTTPS_PROXY": url})) == []
    with mock.patch.dict(os.environ, {"HTTPS_PROXY": url}, clear=True):
        httpx.AsyncClient()


def test_exceptions_that_the_library_does_not_support_are_left_out_and_returned() -> None:
    given = "localhost, .svc,*.example,10.0.0.0/8,[::1],fd00::1,fd00::/8,host:abc,http://internal:80,,*"
    environment = {"NO_PROXY": given, "no_proxy": "fd00::/8"}
    with mock.patch.dict(os.environ, environment, clear=True), pytest.raises((httpx.InvalidURL, ValueError)):
        httpx.AsyncClient()
    assert remove_unusable_exceptions(environment) == ["fd00::/8", "host:abc"]
    assert environment == {
        "NO_PROXY": "localhost,.svc,*.example,10.0.0.0/8,::1,fd00::1,http://internal:80,*",
        "no_proxy": "",
    }
    for entry in environment["NO_PROXY"].split(","):
        with mock.patch.dict(os.environ, {"NO_PROXY": entry, "HTTP_PROXY": "http://proxy:1"}, clear=True):
            httpx.AsyncClient()
    assert remove_unusable_exceptions({}) == []
