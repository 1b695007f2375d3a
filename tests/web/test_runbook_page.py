"""Runbooks as HTML: every page and its text, links that lead somewhere, and Markdown without markup of its own."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.alerting.alerts import ALERTS
from exporter.runbooks.page import pages
from exporter.web.markdown import html
from exporter.web.runbook_page import runbook_page
from tests.web.serving import Served
from tests.web.test_status_page import EVIL, Parsed

NAMES = [alert.name for alert in ALERTS]


def shown(path: str) -> Parsed:
    status, body = runbook_page(path)
    assert status == 200
    return Parsed(body.decode())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# A `b`", '<h1 id="a-b">A <code>b</code></h1>'),
        ("one\ntwo\n\nthree", "<p>one\ntwo</p>\n<p>three</p>"),
        ("> quoted", "<blockquote><p>quoted</p></blockquote>"),
        ("```bash\na <b>\n\n# c\n```", '<pre tabindex="0"><code>a &lt;b&gt;\n\n# c</code></pre>'),
        ("- **a.** b\n- c", "<ul>\n<li><p><b>a.</b> b</p></li>\n<li><p>c</p></li>\n</ul>"),
        ("1. a\n   ```\n   b\n     c\n   ```\n\n2. d",
         '<ol>\n<li><p>a</p>\n<pre tabindex="0"><code>b\n  c</code></pre></li>\n<li><p>d</p></li>\n</ol>'),
        ("- a\n  goes on", "<ul>\n<li><p>a\ngoes on</p></li>\n</ul>"),
        ("| A | B |\n|---|---|\n| `x \\| y` | <z> |",
         '<table><thead><tr><th scope="col">A</th><th scope="col">B</th></tr></thead><tbody>\n'
         "<tr><td><code>x | y</code></td><td>&lt;z&gt;</td></tr>\n</tbody></table>"),
        ("[a](B.md#c)", '<p><a href="B.md#c" rel="noreferrer">a</a></p>'),
        ("[a](https://x.test/)", '<p><a href="https://x.test/" rel="noreferrer">a</a></p>'),
        ("[a](javascript:alert)", "<p>a</p>"),
        ("[a](../../deploy/x)", "<p>a</p>"),
        ("<!-- generated -->\n\na", "<p>a</p>"),
    ],
)  # fmt: skip
def test_markdown_becomes_html(text: str, expected: str) -> None:
    assert html(text) == expected


@given(st.text())
def test_no_text_adds_markup(text: str) -> None:
    words = text.replace("`", "").replace("[", "").replace("*", "").replace("\n", " ").replace("\r", " ")
    assert [tag for tag, _ in Parsed(html(f"a {words}")).tags] == ["p"]
    assert "script" not in [tag for tag, _ in Parsed(html(EVIL)).tags]


def test_every_alert_has_a_page_with_all_words_of_its_runbook() -> None:
    for name, text in pages().items():
        words = shown(name).text
        for line in text.splitlines():
            plain = re.sub(r"\]\(\S+\)|^\d+\. ", "", line.strip())
            if not line.startswith(("<!--", "|---", "```")) and not plain.startswith("```"):
                for word in re.findall(r"[\w']+", re.sub(r"[*`#\[\]]", " ", plain)):
                    assert word in words, (name, word)


def test_links_of_runbooks_lead_to_headings_and_pages_that_exist() -> None:
    ids = {name: {attributes.get("id") for _, attributes in shown(name).tags} for name in ("README", *NAMES)}
    for name in ids:
        for href, _ in shown(name).links:
            page, _, anchor = href.partition("#")
            if not href.startswith(("https://", "../")):
                there = page.removesuffix(".md") or name
                assert there in ids, href
                assert not anchor or anchor in ids[there], href


def test_the_server_has_a_page_for_each_alert_with_and_without_its_suffix_and_a_list_of_all() -> None:
    served = Served()
    for path in ("/runbooks/", "/runbooks/README.md", f"/runbooks/{NAMES[0]}", f"/runbooks/{NAMES[0]}.md"):
        response = served.request("GET", path)
        assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert "script-src" not in response.headers["content-security-policy"]
    assert served.request("GET", "/runbooks/<script>").status_code == 404
    assert {path for path, _ in served.counted} == {"/runbooks/"}
