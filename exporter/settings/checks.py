"""Checks beyond a single section: names given twice, missing files and variables, URLs that lead to DataRobot, tags."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, assert_never

from exporter.fleet.tag_labels import label_name
from exporter.settings.model import Settings
from exporter.settings.problems import Lines, Place, Problem, place_of
from exporter.settings.receivers import (
    AlertmanagerSettings,
    AnyReceiver,
    AppriseSettings,
    PagerDutySettings,
    SlackSettings,
    WebhookSettings,
)
from exporter.settings.values import host_of, nearest

_CERTIFICATES = ("certificate", "client_certificate", "client_key")
"""Settings of files whose names do not end with ``_file``."""
_COLLECTORS = ("traces",), ("metrics", "otlp"), ("events", "otlp")
"""The sections of `Settings.collectors`."""


def reference_problems(settings: Settings | None, environment: Mapping[str, str], lines: Lines) -> Iterator[Problem]:
    """Unknown accounts of receivers and objectives; URLs that would send POST requests to DataRobot; labels from tags
    that are not selected.
    """
    if settings is None:
        return
    accounts = [account.name for account in settings.accounts]
    for number, receiver in enumerate(settings.paging.receivers):
        place = ("paging", "receivers", number)
        for unknown in sorted(receiver.accounts - {*accounts}):
            what = f"no account is called {unknown!r}{nearest(unknown, accounts)}"
            yield Problem(place_of((*place, "accounts")), what, lines.get((*place, "accounts")))
        for url in _addresses(receiver, environment):
            yield from _targets_datarobot(settings, url, "a receiver", place, lines)
    for number, row in enumerate(settings.objectives):
        of_row = ("objectives", number, "accounts")
        for unknown in sorted(row.accounts - {*accounts}):
            what = f"no account is called {unknown!r}{nearest(unknown, accounts)}"
            yield Problem(place_of(of_row), what, lines.get(of_row))
    for section, collector in zip(_COLLECTORS, settings.collectors, strict=True):
        yield from _targets_datarobot(settings, collector.endpoint, "a collector", (*section, "endpoint"), lines)
    for number, name in enumerate(settings.alerts.tag_labels):
        place = ("alerts", "tag_labels", number)
        for problem in _tag_label_problems(settings, name):
            yield Problem(place_of(place), problem, lines.get(place))


def _tag_label_problems(settings: Settings, name: str) -> Iterator[str]:
    if not settings.metrics.tag_selection.covers(name):
        yield f"metrics.tags does not select the tag {name!r}; add it there"
    if label_name(name) in (*settings.alerts.labels, settings.alerts.severity_label):
        yield f"alerts.labels or alerts.severity_label already set the label {label_name(name)!r}"


def _addresses(receiver: AnyReceiver, environment: Mapping[str, str]) -> tuple[str, ...]:
    match receiver:
        case AlertmanagerSettings():
            return receiver.urls
        case PagerDutySettings():
            return (receiver.url,)
        case SlackSettings():
            return (receiver.source("webhook_url", environment)(),)
        case AppriseSettings():
            host = receiver.source("url", environment)().partition("://")[2]
            return (f"https://{host}",)  # as with json://HOST/
        case WebhookSettings():
            return (receiver.source("url", environment)(),)
        case _:
            assert_never(receiver)  # add a case for the new kind of receiver above


def _targets_datarobot(settings: Settings, url: str, name: str, place: Place, lines: Lines) -> Iterator[Problem]:
    host = host_of(url)
    if host and any(host_of(account.endpoint) == host for account in settings.accounts):
        yield Problem(
            place_of(place),
            f"{host} is DataRobot, which only gets GET requests; use the URL of {name}",
            lines.get(place),
        )


def machine_problems(given: Mapping[str, Any], environment: Mapping[str, str], lines: Lines) -> Iterator[Problem]:
    """Duplicate names, unreadable files and unset variables in the settings as given, valid or not."""
    yield from _item_problems(given["accounts"], ("accounts",), "account", environment, lines)
    for section in _COLLECTORS:
        collector: Any = given
        for name in section:
            collector = collector[name] if isinstance(collector, dict) and name in collector else {}
        for key, what in _unreadable_files(collector if isinstance(collector, dict) else {}, *_CERTIFICATES):
            yield Problem(place_of((*section, key)), what, lines.get((*section, key)))
    state = given["state"] if isinstance(given.get("state"), dict) else {}
    for key, what in (*_unset_variables(state, environment), *_unreadable_files(state, "password_file")):
        yield Problem(f"state.{key}", what, lines.get(("state", key)))
    paging = given.get("paging")
    receivers = paging.get("receivers") if isinstance(paging, dict) else ()
    yield from _item_problems(receivers, ("paging", "receivers"), "receiver", environment, lines)


def _item_problems(
    listed: object, place: Place, kind: str, environment: Mapping[str, str], lines: Lines
) -> Iterator[Problem]:
    taken: set[str] = set()
    items = listed if isinstance(listed, list) else [listed] if isinstance(listed, dict) else []
    for number, each in enumerate(items):
        part = each if isinstance(each, dict) else {}
        name = str(part.get("name", "default" if kind == "account" else number))
        findings = [
            *_unset_variables(part, environment),
            *_unreadable_files(part, *(key for key in part if key.endswith("_file"))),
        ]
        if name in taken:
            findings.insert(0, ("name", f"another {kind} is also called {name!r}; choose another name"))
        taken.add(name)
        for key, what in findings:
            yield Problem(place_of((*place, number, key)), what, lines.get((*place, number, key)))


def _unset_variables(given: Mapping[str, Any], environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for key, variable in given.items():
        if key.endswith("_env") and isinstance(variable, str) and not environment.get(variable, "").strip():
            secret = "API token" if key == "token_env" else key.removesuffix("_env")
            yield key, f"{variable} is not set; it must contain the {secret}"


def named_files(given: object) -> Iterator[Path]:
    """The files with certificates, secrets and the web config that settings name, valid or not."""
    for key, value in given.items() if isinstance(given, dict) else enumerate(given if isinstance(given, list) else ()):
        if isinstance(key, str) and isinstance(value, str) and (key.endswith("_file") or key in _CERTIFICATES):
            yield Path(value)
        yield from named_files(value)


def _unreadable_files(given: Mapping[str, Any], *keys: str) -> Iterator[tuple[str, str]]:
    for key in keys:
        path = given.get(key)
        if not isinstance(path, str):
            continue
        try:
            if not Path(path).read_text("utf-8").strip():
                yield key, f"{path} is empty"
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            yield key, f"{path} cannot be read: {reason}; check path and permissions"
