"""Loads the settings: flags override the file, the file overrides the environment, the environment the defaults.

All problems are reported at once, each with its place and a remedy, before anything is opened.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from exporter.settings.checks import machine_problems, reference_problems
from exporter.settings.environment import ACCOUNT_VARIABLES, account_settings, traces_settings
from exporter.settings.model import Settings
from exporter.settings.model_errors import problems_of
from exporter.settings.problems import BadSettings, Problem
from exporter.settings.yaml_file import read


def load(
    file: Path | None,
    environment: Mapping[str, str],
    flags: Mapping[str, Any] | None = None,
    accounts: Literal["needed", "planned", "replaced"] = "needed",
) -> Settings:
    """The settings of a file (None: no file), the environment and flags (``web.telemetry_path`` -> value).

    `accounts`: ``planned`` ones are not used, so their tokens may be missing; ``replaced`` ones are left out, for
    commands that bring their own. Raises `BadSettings` with all problems.
    """
    problems: list[Problem] = []
    told, lines = read(file, problems) if file is not None else ({}, {})
    origins = {place: "--" + place.replace("_", "-") for place in flags or {}}
    for place, value in (flags or {}).items():
        part, _, name = place.partition(".")
        if isinstance(told.setdefault(part, {}), dict):
            told[part][name] = value
    traces = told.setdefault("traces", {})
    if isinstance(traces, dict):
        for name, (variable, given) in traces_settings(traces, environment).items():
            traces[name], origins[f"traces.{name}"] = given, variable
    from_environment = "accounts" not in told
    if accounts == "replaced" or (accounts == "planned" and from_environment):
        told["accounts"] = [{"token": "-"}]
    elif from_environment:
        told["accounts"] = [account_settings(environment)]
        origins |= ACCOUNT_VARIABLES
    settings: Settings | None = None
    try:
        settings = Settings.model_validate(told)
    except ValidationError as error:
        problems += problems_of(error, Settings, lines)
    if accounts == "needed":
        problems += machine_problems(told, environment, lines)
        problems += reference_problems(settings, environment, lines)
    problems = [_at_origin(each, origins) for each in problems]
    if problems or settings is None:
        raise BadSettings(problems)
    return settings


def _at_origin(problem: Problem, origins: Mapping[str, str]) -> Problem:
    """The problem at the flag or the variable that brought the value, where no file did."""
    near = [place for place in origins if re.match(re.escape(place) + r"(?![^.\[])", problem.place)]
    return Problem(origins[max(near, key=len)], problem.what) if near else problem
