"""All settings: one frozen `Settings`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Annotated

import yaml
from pydantic import AfterValidator, Field

from exporter import redaction
from exporter.settings.accounts import AccountSettings
from exporter.settings.alerts import AlertSettings
from exporter.settings.detail import DetailSettings
from exporter.settings.log import LogSettings
from exporter.settings.metrics import MetricsSettings
from exporter.settings.paging import PagingSettings
from exporter.settings.section import Section
from exporter.settings.select import SelectSettings
from exporter.settings.state import StateSettings
from exporter.settings.sweep import SweepSettings
from exporter.settings.traces import TraceSettings
from exporter.settings.web import WebSettings


def _url_with_login(environment: Mapping[str, str], variable: str) -> str:
    """The URL of a variable if a user and a password are in it."""
    given = environment.get(variable, "")
    return given if "@" in given else ""


def _at_least_one(accounts: tuple[AccountSettings, ...]) -> tuple[AccountSettings, ...]:
    if not accounts:
        raise ValueError("no account; list at least one, or leave `accounts` out to use the environment")
    return accounts


class Settings(Section):
    """All settings. `accounts` of the file replace the one that the environment makes."""

    accounts: Annotated[tuple[AccountSettings, ...], AfterValidator(_at_least_one)] = Field(
        (), description="The accounts to sweep; without any, the environment makes one."
    )
    sweep: SweepSettings = Field(
        default_factory=lambda: SweepSettings.model_validate({}), description="How often the API is swept."
    )
    metrics: MetricsSettings = Field(
        default_factory=lambda: MetricsSettings.model_validate({}), description="What is served."
    )
    detail: DetailSettings = Field(
        default_factory=lambda: DetailSettings.model_validate({}), description="Details of workloads."
    )
    select: SelectSettings = Field(
        default_factory=lambda: SelectSettings.model_validate({}), description="Which workloads."
    )
    state: StateSettings = Field(default_factory=lambda: StateSettings.model_validate({}), description="What is kept.")
    traces: TraceSettings = Field(
        default_factory=lambda: TraceSettings.model_validate({}), description="Traces of workloads."
    )
    alerts: AlertSettings = Field(default_factory=lambda: AlertSettings.model_validate({}), description="Alerts.")
    paging: PagingSettings = Field(
        default_factory=lambda: PagingSettings.model_validate({}), description="Who tells of alerts."
    )
    web: WebSettings = Field(
        default_factory=lambda: WebSettings.model_validate({}), description="The exporter's own HTTP server."
    )
    log: LogSettings = Field(default_factory=lambda: LogSettings.model_validate({}), description="Logging.")

    def secrets(self, environment: Mapping[str, str] = os.environ) -> Iterator[redaction.Source]:
        """Where the secrets of the settings come from, and the logins of proxies, which are in the environment."""
        for part in (*self.accounts, self.traces, *self.paging.receivers):
            yield from part.sources(environment)
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            for variable in (name, name.upper()):
                yield redaction.Source(partial(_url_with_login, environment, variable), redaction.url)

    def dump(self) -> str:
        """The settings as YAML, defaults included, secrets hidden."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
