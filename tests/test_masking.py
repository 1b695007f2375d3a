"""Likely secrets and personal addresses are masked; ordinary words, names and ids are left."""

import time

import pytest

from exporter.masking import MAX_INPUT, scrubbed


@pytest.mark.parametrize(
    ("words", "left"),
    [
        ("the candidate is errored", "the candidate is errored"),
        ("a\x00b\nc", "a b c"),
        ("ask jane.doe@example.test now", "ask [e-mail] now"),
        ("dial 10.1.2.3:8080 failed", "dial [address] failed"),
        ("dial fe80:0:0:0:1:2 failed", "dial [address] failed"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer […]"),
        ("API_TOKEN=hunter2 is wrong", "API_TOKEN=[…] is wrong"),
        ("password: hunter2", "password: […]"),
        ("GET https://u:p@host/x?sig=abc&t=1", "GET https://[…]@host/x?[…]&[…]"),
        ("key NjU0MzIxNjU0MzIxNjU0MzIxNjU0MzIxNjU0MzIx here", "key […] here"),
        ("x" * 300, "x" * 256),
        ('{"password": "hunter2", "n": 1}', '{"password": […], "n": 1}'),
        (r"{\"api_key\": \"hun ter\"}", r"{\"api_key\": […]}"),
        ('secret: "hun\\"ter2" said', "secret: […] said"),
        ("token='a b' said", "token=[…] said"),
        ('password="hunter', "password=[…]"),
        ("run --password hunter2 now", "run --password […] now"),
        ("run -token hunter2 now", "run -token […] now"),
        ("run --db-password=hunter2 now", "run --db-password=[…] now"),
        ("Authorization: Token abcd1234", "Authorization: Token […]"),
        ('{"Authorization": "Token abcd1234"}', '{"Authorization": "Token […]"}'),
        ("HTTP_AUTHORIZATION=abcd1234", "HTTP_AUTHORIZATION=[…]"),
        ("for AKIAIOSFODNN7EXAMPLE only", "for […] only"),
        ("dial [fe80::1]:80 failed", "dial [[address]]:80 failed"),
        ("dial ::1 failed", "dial [address] failed"),
        ("dial 2001:db8::a:1%eth0", "dial [address]%eth0"),
        ("ask user@localhost, or jane@example.test.", "ask [e-mail], or [e-mail]."),
        ("https://user:pw@localhost/x", "https://[…]@localhost/x"),
    ],
)
def test_a_message_is_masked(words: str, left: str) -> None:
    assert scrubbed(words) == left
    assert scrubbed(left) == left


@pytest.mark.parametrize(
    "words",
    [
        "at 12:30:45 the node was lost",
        "2026-11-20T10:00:00Z",
        "manifest unknown: x:1",
        'Back-off pulling image "registry.example.test:5000/team/app:1.2.3"',
        "registry.example.test/app@sha256:0123456789abcdef",
        "std::bad_alloc in ns::f2, 0/3 nodes",
        "the flag --token is required",
        "the access-token expired",
        "unauthorized: authorization failed",
        "0/5 nodes are available: 5 Insufficient nvidia.com/gpu.",
    ],
)
def test_a_message_keeps_its_ordinary_words(words: str) -> None:
    assert scrubbed(words) == words


@pytest.mark.parametrize("secret", ["AKIAIOSFODNN7EXAMPLE", "0123456789abcdef0123456789abcdef"])
@pytest.mark.parametrize("shown", range(0, 20, 3))
def test_a_secret_is_not_shown_in_part_because_the_message_was_cut_within_it(secret: str, shown: int) -> None:
    words = "password=" + "p" * (MAX_INPUT - 10 - shown) + " " + secret + " and more"
    assert scrubbed(words) == scrubbed(words[:MAX_INPUT]) == "password=[…]"


@pytest.mark.parametrize(
    "piece", ["a", "a.", "a-", "key", "key ", "a:", "::", "1", "1.", "@", "a@", "--key ", "?", "//", '"', "\\", " "]
)
def test_the_longest_message_is_masked_quickly(piece: str) -> None:
    begun = time.process_time()
    scrubbed(piece * 100_000)
    assert time.process_time() - begun < 0.5
