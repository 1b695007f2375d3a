"""The pages at /runbooks/NAME: the runbook of an alert, for who has no other place for them; ``README``: their list."""

from __future__ import annotations

import functools

from jinja2 import Environment
from markupsafe import Markup

from exporter import __version__
from exporter.alerting.alerts import BY_NAME
from exporter.runbooks.page import index, page
from exporter.web.markdown import html
from exporter.web.rendering import environment, policy

POLICY = policy()
INDEX = "README"


@functools.cache
def _environment() -> Environment:
    return environment()


def runbook_page(path: str) -> tuple[int, bytes]:
    """The status code, and the page in UTF-8. `path`: the name of an alert, perhaps with ``.md``; empty: the list."""
    name = path.removesuffix(".md") or INDEX
    found = name == INDEX or name in BY_NAME
    text = _environment().get_template("runbook.html").render(
        title="Runbooks" if name == INDEX else name,
        text=_html(name) if found else None,
        version=__version__,
    )  # fmt: skip
    return 200 if found else 404, text.encode()


@functools.cache
def _html(name: str) -> Markup:
    return Markup(html(index() if name == INDEX else page(BY_NAME[name])))  # noqa: S704 — escaped
