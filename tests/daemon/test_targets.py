"""The endpoints of workloads in service discovery: as reported, without a way for the token to another host."""

import pytest

from exporter.api.models import Workload
from exporter.daemon.views import MAX_URL, invoke_url, same_origin

BASE = "https://dr.example.test/api/v2"
MADE = f"{BASE}/endpoints/workloads/w%2F1/"


@pytest.mark.parametrize(
    ("reported", "url", "own_host"),
    [
        (f"{BASE}/endpoints/workloads/w1", f"{BASE}/endpoints/workloads/w1/", True),
        (f"{BASE}/endpoints/workloads/w1/", f"{BASE}/endpoints/workloads/w1/", True),
        ("https://DR.example.test:443/serve/", "https://DR.example.test:443/serve/", True),
        ("https://north.example.test/serve/w1", "https://north.example.test/serve/w1/", False),
        ("https://north.example.test/serve?w=1", "https://north.example.test/serve?w=1", False),
        ("http://dr.example.test/serve/", "http://dr.example.test/serve/", False),
        ("https://dr.example.test:8443/serve/", "https://dr.example.test:8443/serve/", False),
        ("https://dr.example.test.evil.test/", "https://dr.example.test.evil.test/", False),
        (None, MADE, True),
        ("", MADE, True),
        ("/serve/w1", MADE, True),
        ("ftp://dr.example.test/", MADE, True),
        ("https://dr.example.test@evil.test/", MADE, True),
        ("https://[::1/", MADE, True),
        ("https://dr.example.test:port/", MADE, True),
        ("https://dr.example.test/a b", MADE, True),
        ("https://dr.example.test/\n", "https://dr.example.test/", True),
        ("https://dr.example.test/\x07", MADE, True),
        ("https://dr.example.test/" + "a" * MAX_URL, MADE, True),
    ],
)
def test_the_endpoint_is_as_reported_and_only_the_configured_host_is_our_own(
    reported: str | None, url: str, own_host: bool
) -> None:
    made = invoke_url(BASE, Workload(id="w/1", endpoint=reported))
    assert (made, same_origin(made, BASE)) == (url, own_host)
