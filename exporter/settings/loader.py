"""Loads the settings: flags override the file, the file overrides the environment, the environment the defaults.

All problems are reported at once, each with its place and a remedy, before anything is opened.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from exporter.settings.checks import machine_problems, named_files, reference_problems
from exporter.settings.environment import (
    ACCOUNT_VARIABLES,
    account_settings,
    events_settings,
    metrics_settings,
    traces_settings,
)
from exporter.settings.file_contents import Contents, contents
from exporter.settings.model import Settings
from exporter.settings.model_errors import problems_of
from exporter.settings.problems import BadSettings, Lines, Problem
from exporter.settings.proxies import proxy_problems
from exporter.settings.yaml_file import read

_OF_SIGNALS = {"traces": traces_settings, "metrics.otlp": metrics_settings, "events.otlp": events_settings}
SECTIONS = Settings.model_fields.keys() - {"accounts"}


def load(
    file: Path | None,
    environment: Mapping[str, str],
    flags: Mapping[str, Any] | None = None,
    accounts: Literal["needed", "planned", "replaced"] = "needed",
) -> Settings:
    """The settings from a file (None: no file), the environment and flags (``web.telemetry_path`` -> value).

    `accounts`: ``planned`` if they are not used and may lack tokens; ``replaced`` for commands that need no accounts or
    have their own. Raises `BadSettings` with all problems.
    """
    problems: list[Problem] = []
    files = dict(contents([file] if file is not None else []))
    given, lines = _in_file(file, problems, files) if file is not None else ({}, {})
    origins = {place: "--" + place.replace("_", "-") for place in flags or {}}
    for place, value in (flags or {}).items():
        part, _, name = place.partition(".")
        if isinstance(given.setdefault(part, {}), dict):
            given[part][name] = value
    origins |= _add_variables(given, environment)
    from_environment = "accounts" not in given
    if accounts == "replaced" or (accounts == "planned" and from_environment):
        given["accounts"] = [{"token": "-"}]
    elif from_environment:
        given["accounts"] = [account_settings(environment)]
        origins |= ACCOUNT_VARIABLES
    files |= contents(named_files(given))
    settings: Settings | None = None
    try:
        settings = Settings.model_validate(given)
    except ValidationError as error:
        problems += problems_of(error, Settings, lines)
    if accounts == "needed":
        problems += proxy_problems(environment)
        problems += machine_problems(given, environment, lines)
        problems += reference_problems(settings, environment, lines)
    problems = [_at_origin(each, origins) for each in problems]
    if problems or settings is None:
        raise BadSettings(problems, files)
    return settings


def _add_variables(given: dict[str, Any], environment: Mapping[str, str]) -> dict[str, str]:
    """Add settings from OpenTelemetry's variables; returns the variables by place."""
    origins: dict[str, str] = {}
    for place, of_signal in _OF_SIGNALS.items():
        section: Any = given
        for name in place.split("."):
            section = section.setdefault(name, {}) if isinstance(section, dict) else None
        if isinstance(section, dict):
            for name, (variable, value) in of_signal(section, environment).items():
                section[name], origins[f"{place}.{name}"] = value, variable
    return origins


def _in_file(file: Path, problems: list[Problem], files: Contents) -> tuple[dict[str, Any], Lines]:
    """What the file sets, and the lines. Raises `BadSettings` if it cannot be read: nothing else is known then."""
    given, lines = read(file, problems)
    if problems and not given:
        raise BadSettings(problems, files)
    # A section without settings, as when all its lines are comments, has the defaults.
    return {name: value for name, value in given.items() if value is not None or name not in SECTIONS}, lines


def _at_origin(problem: Problem, origins: Mapping[str, str]) -> Problem:
    """The problem with the flag or variable that set the value as its place, if the file did not."""
    near = [place for place in origins if re.match(re.escape(place) + r"(?![^.\[])", problem.place)]
    return Problem(origins[max(near, key=len)], problem.what) if near else problem
