"""All settings: one frozen `Settings`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Self

import yaml
from pydantic import AfterValidator, Field, model_validator

from exporter import redaction
from exporter.settings.accounts import AccountSettings
from exporter.settings.alerts import AlertSettings
from exporter.settings.collector import CollectorSettings
from exporter.settings.costs import CostSettings
from exporter.settings.detail import DetailSettings
from exporter.settings.events import EventSettings
from exporter.settings.log import LogSettings
from exporter.settings.metrics import MetricsSettings
from exporter.settings.objectives import ObjectiveSettings
from exporter.settings.paging import PagingSettings
from exporter.settings.section import Section
from exporter.settings.select import SelectSettings
from exporter.settings.state import StateSettings
from exporter.settings.sweep import SweepSettings
from exporter.settings.traces import TraceSettings
from exporter.settings.web import WebSettings


def _url_with_login(environment: Mapping[str, str], variable: str) -> str:
    """The URL in a variable if it contains a login; else empty."""
    given = environment.get(variable, "")
    return given if "@" in given else ""


def _at_least_one(accounts: tuple[AccountSettings, ...]) -> tuple[AccountSettings, ...]:
    if not accounts:
        raise ValueError("no accounts; add one, or remove `accounts` to use the environment")
    return accounts


class Settings(Section):
    """All settings. `accounts` in the file replace the account of the environment."""

    accounts: Annotated[tuple[AccountSettings, ...], AfterValidator(_at_least_one)] = Field(
        (), description="Accounts to sweep; default: one account from the environment."
    )
    sweep: SweepSettings = Field(
        default_factory=lambda: SweepSettings.model_validate({}), description="Schedule of sweeps."
    )
    metrics: MetricsSettings = Field(
        default_factory=lambda: MetricsSettings.model_validate({}), description="Which metric families are served."
    )
    detail: DetailSettings = Field(
        default_factory=lambda: DetailSettings.model_validate({}), description="Polling of details of workloads."
    )
    select: SelectSettings = Field(
        default_factory=lambda: SelectSettings.model_validate({}), description="Which workloads are monitored."
    )
    costs: CostSettings = Field(
        default_factory=lambda: CostSettings.model_validate({}), description="Prices, and what counts as waste."
    )
    objectives: tuple[ObjectiveSettings, ...] = Field(
        (),
        max_length=1000,
        description="Objectives of workloads (SLOs). The first row that matches a workload counts. See "
        "docs/objectives.md.",
    )
    state: StateSettings = Field(
        default_factory=lambda: StateSettings.model_validate({}), description="State that is kept across restarts."
    )
    traces: TraceSettings = Field(
        default_factory=lambda: TraceSettings.model_validate({}), description="Traces of workloads."
    )
    events: EventSettings = Field(
        default_factory=lambda: EventSettings.model_validate({}), description="Events of workloads."
    )
    alerts: AlertSettings = Field(default_factory=lambda: AlertSettings.model_validate({}), description="Alerts.")
    paging: PagingSettings = Field(
        default_factory=lambda: PagingSettings.model_validate({}), description="Who sends notifications."
    )
    web: WebSettings = Field(
        default_factory=lambda: WebSettings.model_validate({}), description="The exporter's own HTTP server."
    )
    log: LogSettings = Field(default_factory=lambda: LogSettings.model_validate({}), description="Logging.")

    @model_validator(mode="after")
    def _shared_state(self) -> Self:
        if self.select.leased and self.state.url is None:
            raise ValueError("select.shard: auto needs state.url; replicas share the accounts through its database")
        return self

    @model_validator(mode="after")
    def _counted_objectives(self) -> Self:
        for number, row in enumerate(self.objectives[:-1]):
            if row.row.matches_all:
                raise ValueError(f"objectives[{number}] matches all workloads, so the rows after it are never used")
        polled = {*self.detail.parts} or {"requests", "pods"} if self.detail.enabled else set()
        for number, row in enumerate(self.objectives):
            needed = {"requests"} if row.row.objective.counts_requests else set()
            needed |= {"pods"} if row.readiness is not None else set()
            if missing := sorted(needed - polled):
                what = "detail.enabled is false" if not self.detail.enabled else f"detail.parts lacks {missing[0]}"
                raise ValueError(f"objectives[{number}] cannot be counted: {what}")
        return self

    @property
    def collectors(self) -> tuple[CollectorSettings, ...]:
        """Where each signal of OpenTelemetry is sent."""
        return self.traces, self.metrics.otlp, self.events.otlp

    @property
    def all_pem_files(self) -> tuple[Path, ...]:
        """The files with certificates and keys of all accounts, receivers and collectors."""
        parts = (*self.accounts, *self.collectors, *self.paging.receivers)
        return tuple(file for part in parts for file in part.pem_files)

    def secrets(self, environment: Mapping[str, str] = os.environ) -> Iterator[redaction.Source]:
        """The sources of all secrets: those of the settings, and logins of proxies in environment variables."""
        for part in (*self.accounts, self.state, *self.collectors, *self.paging.receivers):
            yield from part.sources(environment)
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            for variable in (name, name.upper()):
                yield redaction.Source(partial(_url_with_login, environment, variable), redaction.url)

    def dump(self) -> str:
        """The settings as YAML, with defaults and without secrets."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
