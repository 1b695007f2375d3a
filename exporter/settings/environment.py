"""Settings from environment variables: DataRobot's for one account, OpenTelemetry's for its signals."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from exporter.log import log
from exporter.settings.values import DEFAULT_ENDPOINT


def account_settings(environment: Mapping[str, str]) -> dict[str, Any]:
    account: dict[str, Any] = {"endpoint": environment.get("DATAROBOT_ENDPOINT") or DEFAULT_ENDPOINT}
    if environment.get("DATAROBOT_API_TOKEN_FILE"):
        return account | {"token_file": environment["DATAROBOT_API_TOKEN_FILE"]}
    return account | {"token_env": "DATAROBOT_API_TOKEN"}


ACCOUNT_VARIABLES = {
    "accounts": "environment",
    "accounts[0].endpoint": "DATAROBOT_ENDPOINT",
    "accounts[0].token_file": "DATAROBOT_API_TOKEN_FILE",
}
_COLLECTOR_VARIABLES = (
    "ENDPOINT", "PROTOCOL", "HEADERS", "COMPRESSION", "CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY", "TIMEOUT",
)  # fmt: skip
_METRICS_VARIABLES = {
    "interval": "OTEL_METRIC_EXPORT_INTERVAL",
    "temporality": "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
}
_PROCESS_ATTRIBUTES = ("service.", "telemetry.", "process.", "host.", "os.", "container.", "k8s.")
"""Prefixes of OTEL_RESOURCE_ATTRIBUTES that describe this process and not the workloads."""
FromEnvironment = dict[str, tuple[str, Any]]
"""Settings by name, with the variable that sets each."""


def traces_settings(in_file: Mapping[str, Any], environment: Mapping[str, str]) -> FromEnvironment:
    """Settings of traces from OpenTelemetry's variables. The file takes precedence.

    Empty if `OTEL_TRACES_EXPORTER` is ``none``, or no endpoint is set, because the variables are then meant for other
    programs. `OTEL_SDK_DISABLED` overrides the file: there is no endpoint.
    Source: OpenTelemetry specification, "OpenTelemetry Protocol Exporter" and "Environment Variable Specification".
    """
    return _signal("TRACES", in_file, environment, _workload_attributes)


def metrics_settings(in_file: Mapping[str, Any], environment: Mapping[str, str]) -> FromEnvironment:
    """Settings of the push of metrics from OpenTelemetry's variables. The file takes precedence.

    `OTEL_EXPORTER_OTLP_ENDPOINT` alone pushes no metrics, because most people scrape them: it is used with
    `OTEL_METRICS_EXPORTER=otlp`.
    """
    return _chosen("METRICS", in_file, environment, _valid_attributes, _METRICS_VARIABLES)


def events_settings(in_file: Mapping[str, Any], environment: Mapping[str, str]) -> FromEnvironment:
    """Settings of log records, as those of the push of metrics. Their resources are those of traces."""
    return _chosen("LOGS", in_file, environment, None)


def _chosen(
    signal: str,
    in_file: Mapping[str, Any],
    environment: Mapping[str, str],
    attributes: Callable[[str], str] | None,
    more: Mapping[str, str] = MappingProxyType({}),
) -> FromEnvironment:
    given = {name: value.strip() for name, value in environment.items() if value.strip()}
    wanted = given.get(f"OTEL_{signal}_EXPORTER") == "otlp" or f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT" in given
    return _signal(signal, in_file, environment, attributes, more) if wanted or in_file.get("endpoint") else {}


def _signal(
    signal: str,
    in_file: Mapping[str, Any],
    environment: Mapping[str, str],
    attributes: Callable[[str], str] | None,
    more: Mapping[str, str] = MappingProxyType({}),
) -> FromEnvironment:
    given = {name: value.strip() for name, value in environment.items() if value.strip()}
    if given.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return {"endpoint": ("OTEL_SDK_DISABLED", "")}
    if given.get(f"OTEL_{signal}_EXPORTER") == "none":
        return {}
    found: FromEnvironment = {}
    for name in _COLLECTOR_VARIABLES:
        for variable in (f"OTEL_EXPORTER_OTLP_{name}", f"OTEL_EXPORTER_OTLP_{signal}_{name}"):
            if variable in given:
                found[name.lower()] = variable, given[variable]
    whole_url = f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT"
    if found.get("endpoint", ("",))[0] == whole_url and "endpoint" not in in_file:
        found["path"] = whole_url, ""
    found |= {name: (variable, given[variable].lower()) for name, variable in more.items() if variable in given}
    for name in found.keys() & {"timeout", "interval"}:
        variable, milliseconds = found[name]
        found[name] = variable, float(milliseconds) / 1000 if milliseconds.isdecimal() else milliseconds
    if not in_file.get("endpoint", "endpoint" in found):
        return {}
    if attributes is not None and "OTEL_RESOURCE_ATTRIBUTES" in given:
        found["resource_attributes"] = "OTEL_RESOURCE_ATTRIBUTES", attributes(given["OTEL_RESOURCE_ATTRIBUTES"])
    return {name: each for name, each in found.items() if name not in in_file}


def _valid_attributes(given: str) -> str:
    """The pairs of OTEL_RESOURCE_ATTRIBUTES. Invalid pairs are logged and ignored, because other programs use the
    variable, too.
    """
    pairs = [pair for pair in given.split(",") if pair.strip()]
    good = [pair for pair in pairs if re.match(r"\s*[^\s=][^=]*=", pair)]
    if len(good) < len(pairs):
        log.warning("ignored invalid pairs in OTEL_RESOURCE_ATTRIBUTES", pairs=len(pairs) - len(good))
    return ",".join(good)


def _workload_attributes(given: str) -> str:
    """The pairs of OTEL_RESOURCE_ATTRIBUTES that also describe workloads."""
    pairs = _valid_attributes(given).split(",")
    return ",".join(pair for pair in pairs if not pair.strip().startswith(_PROCESS_ATTRIBUTES))
