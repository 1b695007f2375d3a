"""Known secrets are removed from text that others send, in every escaped form; the rest is unchanged."""

import base64
import html
import json
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import quote, quote_plus, unquote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from exporter.redaction import MAX_FORMER, READ_SECONDS, Part, Secrets, Source, header, login, url, whole
from exporter.settings.loader import load

TOKEN = "NjU4+Zm9v/YmFy=="


def knowing(*secrets: str) -> Secrets:
    return Secrets(Source(str(secret).__str__) for secret in secrets)


# -- notations, decoded by the standard library and not by the code under test


def json_string(text: str, choose: Callable[[list[str]], str]) -> str:
    """The inside of a JSON string; `choose` selects one of the notations of each character."""
    short = {'"': '\\"', "\\": "\\\\", "/": "\\/", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    written = []
    for character in text:
        units = character.encode("utf-16-be")
        pairs = [int.from_bytes(units[at : at + 2]) for at in range(0, len(units), 2)]
        variants = ["".join(f"\\u{unit:04x}" for unit in pairs), "".join(f"\\u{unit:04X}" for unit in pairs)]
        variants += [short[character]] if character in short else []
        variants += [character] if character not in '"\\' and character >= " " else []
        written.append(choose(variants))
    return "".join(written)


def url_text(text: str, choose: Callable[[list[str]], str]) -> str:
    return "".join(
        choose(["".join(f"%{byte:02{case}}" for byte in each.encode()) for case in "xX"] + [quote(each)])
        for each in text
    )


def html_text(text: str, choose: Callable[[list[str]], str]) -> str:
    return "".join(
        choose([f"&#{ord(each)};", f"&#x{ord(each):x};", f"&#X{ord(each):04X};", html.escape(each)]) for each in text
    )


def of_json(text: str) -> str:
    decoded: str = json.loads(f'"{text}"')
    return decoded


WRITTEN: dict[str, tuple[Callable[[str, Callable[[list[str]], str]], str], Callable[[str], str]]] = {
    "json": (json_string, of_json),
    "url": (url_text, unquote),
    "html": (html_text, html.unescape),
}
# HTML cannot represent control characters, and no notation lone surrogates.
CHARACTERS = st.characters(min_codepoint=0x20, exclude_categories=["Cs", "Cc"], exclude_characters="*")
SECRETS = st.one_of(st.text("abcdefXYZ0123456789+/=-_.", min_size=6), st.text(CHARACTERS, min_size=6))
PLAIN = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="*%&\\#;"))


@given(SECRETS, PLAIN, PLAIN, st.lists(st.sampled_from([*WRITTEN]), max_size=3), st.integers())
def test_no_spelling_hides_a_secret(secret: str, before: str, after: str, levels: list[str], seed: int) -> None:
    assume(Part(secret).searched)
    body, choose = before + secret + after, random.Random(seed).choice
    for name in levels:
        body = WRITTEN[name][0](body, choose)
    cleaned = knowing(secret).clean(body.encode()).decode()
    assert knowing(secret).text(body) == cleaned
    for name in reversed(levels):
        assert secret not in cleaned
        cleaned = WRITTEN[name][1](cleaned)
    assert secret not in cleaned
    assert "***" in cleaned


@given(SECRETS, st.text(CHARACTERS), st.text(CHARACTERS), st.integers(1, 4), st.integers())
def test_nested_json_hides_no_secret(secret: str, before: str, after: str, levels: int, seed: int) -> None:
    assume(Part(secret).searched)
    body, choose = before + secret + after, random.Random(seed).choice
    for _ in range(levels):
        body = json_string(body, choose)
    cleaned = knowing(secret).clean(body.encode()).decode()
    for _ in range(levels):
        cleaned = of_json(cleaned)  # it is still JSON
    assert secret not in cleaned


@pytest.mark.parametrize(
    ("body", "cleaned"),
    [
        (f"Invalid API key {TOKEN}.", "Invalid API key ***."),
        (f"Authorization: Bearer {TOKEN}", "Authorization: Bearer ***"),
        (f"{TOKEN} and {TOKEN}{TOKEN}", "*** and ***"),
        (r'{"message": "key NjU4+Zm9v\/YmFy=="}', '{"message": "key ***"}'),
        (r'{"message": "key NjU4\u002bZm9v/YmFy\u003d\u003D"}', '{"message": "key ***"}'),
        (r'{"message": "{\"key\":\"NjU4\\u002bZm9v\\\/YmFy==\"}"}', r'{"message": "{\"key\":\"***\"}"}'),
        (r'{"path": "C:\\NjU4+Zm9v/YmFy=="}', r'{"path": "C:\\***"}'),
        ("/login?key=NjU4%2BZm9v%2fYmFy%3D%3D&x=1%20", "/login?key=***&x=1%20"),
        ("/login?next=%2Flogin%3Fkey%3DNjU4%252BZm9v%252FYmFy%253D%253D", "/login?next=%2Flogin%3Fkey%3D***"),
        ("<b>NjU4&#43;Zm9v&#x2F;YmFy&equals;&#61;</b> &amp; more", "<b>***</b> &amp; more"),
        (r"{'key': 'NjU4\x2bZm9v/YmFy=='}", "{'key': '***'}"),
    ],
)
def test_a_token_is_removed_and_the_text_around_it_stays(body: str, cleaned: str) -> None:
    assert knowing(TOKEN).clean(body.encode()) == cleaned.encode()
    assert knowing(TOKEN).text(body) == cleaned


@pytest.mark.parametrize(
    "body", [b"%" + b"25" * 500_000, b"\\\\" * 500_000, b"&" + b"amp;" * 250_000, b"\\u005c" * 160_000]
)
def test_deeply_nested_escapes_are_decoded_up_to_a_limit(body: bytes) -> None:
    """Each level decodes the whole body, so the number of decoded bytes is limited."""
    assert knowing(TOKEN).clean(body) is body


def test_a_form_has_plus_for_spaces() -> None:
    body = f"password={quote_plus('correct horse/battery')}"
    assert knowing("correct horse/battery").text(body) == "password=***"


def test_json_stays_valid_where_a_secret_follows_a_backslash() -> None:
    assert json.loads(knowing("nEW-tOKEN-1").clean(rb'{"message": "a\nEW-tOKEN-1"}')) == {"message": "a***"}


@given(SECRETS, st.text())
def test_text_without_a_secret_is_unchanged(secret: str, text: str) -> None:
    assume(secret not in html.unescape(unquote(text)))
    body = text.encode("utf-8", "surrogatepass")
    assert knowing(secret).clean(body) is body
    assert knowing(secret).text(text) is text


# -- what is searched for


@pytest.mark.parametrize(
    ("part", "searched"),
    [
        (Part("five5"), False),
        (Part("sixsix"), True),
        (Part("123456"), False),
        (Part("1234567890123456"), True),
        (Part("production", sure=False), False),
        (Part("application/json", sure=False), True),
        (Part("tenant-42", sure=False), False),
        (Part("v2/Alerts", sure=False), False),
        (Part("T0A1B2C3D", sure=False), True),
    ],
)
def test_short_texts_and_ordinary_words_are_not_searched_for(part: Part, searched: bool) -> None:
    """It would remove parts of names and times from what the API sends."""
    assert part.searched == searched


def searched(parts: Iterable[Part]) -> set[str]:
    return {part.text for part in parts if part.searched}


LOGIN = base64.b64encode(b"grafana:pa55word").decode().rstrip("=")


@pytest.mark.parametrize(
    ("parts", "texts"),
    [
        (whole("a-b-c-d"), {"a-b-c-d"}),
        (login("grafana:pa55word"), {"grafana:pa55word", "pa55word", LOGIN}),
        (header("authorization", "Bearer tokentoken"), {"Bearer tokentoken", "tokentoken"}),
        (
            header("Authorization", f"Basic {LOGIN}=="),
            {f"Basic {LOGIN}==", f"{LOGIN}==", *searched(login("grafana:pa55word"))},
        ),
        (header("Authorization", "Basic no-base64"), {"Basic no-base64", "no-base64"}),
        (header("x-honeycomb-team", "hcaik01J2x9"), {"hcaik01J2x9"}),
        (header("x-api-key", "wordlike"), {"wordlike"}),
        (header("x-scope-orgid", "tenant-1"), set()),
        (header("x-api-key-id", "production"), set()),
        (header("x-team", "Bearer wordlike"), {"wordlike"}),
        (
            url("https://hooks.test/services/T0A1B2C3D/xYz1234567"),
            {
                "https://hooks.test/services/T0A1B2C3D/xYz1234567",
                "services/T0A1B2C3D/xYz1234567",
                "T0A1B2C3D",
                "xYz1234567",
            },
        ),
        (url("https://hooks.test/alerts"), {"https://hooks.test/alerts"}),
        (url("https://hooks.test/"), set()),
        (url("https://hooks.test/a?key=q1w2e3r4"), {"https://hooks.test/a?key=q1w2e3r4", "key=q1w2e3r4", "q1w2e3r4"}),
        (
            url("http://grafana:pa55word@proxy.test"),
            {"http://grafana:pa55word@proxy.test", *searched(login("grafana:pa55word"))},
        ),
        (url("http://[bad"), {"http://[bad"}),
    ],
)
def test_parts_of_each_kind_of_secret_are_secrets(parts: Iterable[Part], texts: set[str]) -> None:
    assert searched(parts) == texts


def test_every_secret_of_the_settings_is_known(tmp_path: Path) -> None:
    for name in ("token", "key"):
        (tmp_path / name).write_text(f"{name}-of-a-file\n")
    environment = {
        "TOKEN": "token-of-a-variable",
        "HOOK": "https://hooks.test/hook/0f4Variable",
        "OTEL_EXPORTER_OTLP_HEADERS": "api-key=header%20of%20a%20variable",
        "HTTPS_PROXY": "http://user:password-of-a-proxy@proxy.test:3128",
        "http_proxy": "http://plain.test:3128",
    }
    file = tmp_path / "exporter.yaml"
    file.write_text(f"""
accounts:
  - {{name: a, token: token-of-the-file}}
  - {{name: b, token_env: TOKEN}}
  - {{name: c, token_file: {tmp_path / "token"}}}
traces: {{endpoint: "http://collector.test"}}
paging:
  receivers:
    - {{name: p, kind: pagerduty, routing_key: {"k" * 32}}}
    - {{name: q, kind: pagerduty, routing_key_file: {tmp_path / "key"}}}
    - {{name: s, kind: slack, webhook_url_env: HOOK}}
    - {{name: w, kind: webhook, url: "https://u:password-of-a-url@w.test", hmac_secret: hmac-secret}}
    - {{name: m, kind: alertmanager, urls: ["http://am.test"], headers: {{Authorization: Bearer header-of-the-file}}}}
""")
    secrets = Secrets(load(file, environment).secrets(environment))
    for secret in (
        "token-of-the-file", "token-of-a-variable", "token-of-a-file", "header of a variable", "k" * 32,
        "key-of-a-file", "0f4Variable", "password-of-a-url", "hmac-secret", "header-of-the-file", "password-of-a-proxy",
    ):  # fmt: skip
        assert secrets.text(f"<{secret}>") == "<***>"
    untouched = "collector.test am.test plain.test hooks.test user u"
    assert secrets.text(untouched) == untouched


# -- changes over time


def test_a_secret_replaced_in_its_file_stays_known(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("the-first-token")
    now = 0.0
    secrets = Secrets([Source(file.read_text)], lambda: now)
    assert secrets.clean(b"the-first-token the-second-token") == b"*** the-second-token"
    file.write_text("the-second-token")
    now += READ_SECONDS
    assert secrets.clean(b"the-first-token the-second-token") == b"*** ***"
    assert secrets.text("the-first-token the-second-token") == "*** ***"


def test_new_settings_add_secrets_and_remove_none() -> None:
    secrets = knowing("the-first-token")
    secrets.follow([Source(lambda: "the-second-token")])
    assert secrets.clean(b"the-first-token the-second-token") == b"*** ***"


def test_a_secret_is_known_as_soon_as_it_is_sent() -> None:
    secrets = Secrets()
    assert secrets.text("the-newest-token") == "the-newest-token"
    secrets.learn("the-newest-token")
    assert secrets.text("the-newest-token") == "***"


def test_all_secrets_in_use_and_the_newest_former_ones_stay_known() -> None:
    secrets = knowing(*(f"in-use-{number}" for number in range(MAX_FORMER + 50)))
    for number in range(MAX_FORMER + 2):
        secrets.learn(f"replaced-{number}-")
    text = f"in-use-0 in-use-{MAX_FORMER + 49} replaced-0- replaced-2- replaced-{MAX_FORMER + 1}-"
    assert secrets.text(text) == "*** *** replaced-0- *** ***"


def test_ordinary_words_sent_to_a_receiver_are_removed_from_its_responses() -> None:
    secrets = knowing(TOKEN)
    assert secrets.text(f"alerts for production: {TOKEN}", "production") == "alerts for ***: ***"
    assert secrets.text("alerts for production") == "alerts for production"
