"""Settings from environment variables: DataRobot's for one account, OpenTelemetry's for traces."""

from __future__ import annotations

import re
from collections.abc import Mapping
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
_TRACES_VARIABLES = (
    "ENDPOINT", "PROTOCOL", "HEADERS", "COMPRESSION", "CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY", "TIMEOUT",
)  # fmt: skip
_PROCESS_ATTRIBUTES = ("service.", "telemetry.", "process.", "host.", "os.", "container.", "k8s.")
"""Prefixes of OTEL_RESOURCE_ATTRIBUTES that describe this process and not the workloads."""


def traces_settings(in_file: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, tuple[str, Any]]:
    """Settings of traces from OpenTelemetry's variables: name -> variable, value. The file takes precedence.

    Empty if `OTEL_TRACES_EXPORTER` is ``none``, or no endpoint is set, because the variables are then meant for other
    programs. `OTEL_SDK_DISABLED` overrides the file: there is no endpoint.
    Source: OpenTelemetry specification, "OpenTelemetry Protocol Exporter" and "Environment Variable Specification".
    """
    given = {name: value.strip() for name, value in environment.items() if value.strip()}
    if given.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return {"endpoint": ("OTEL_SDK_DISABLED", "")}
    if given.get("OTEL_TRACES_EXPORTER") == "none":
        return {}
    found: dict[str, tuple[str, Any]] = {}
    for name in _TRACES_VARIABLES:
        for variable in (f"OTEL_EXPORTER_OTLP_{name}", f"OTEL_EXPORTER_OTLP_TRACES_{name}"):
            if variable in given:
                found[name.lower()] = variable, given[variable]
    if found.get("endpoint", ("",))[0] == "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" and "endpoint" not in in_file:
        found["path"] = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", ""  # this variable has the whole URL
    if "timeout" in found:
        variable, milliseconds = found["timeout"]
        found["timeout"] = variable, float(milliseconds) / 1000 if milliseconds.isdecimal() else milliseconds
    if not in_file.get("endpoint", "endpoint" in found):
        return {}
    if "OTEL_RESOURCE_ATTRIBUTES" in given:
        found["resource_attributes"] = (
            "OTEL_RESOURCE_ATTRIBUTES",
            _workload_attributes(given["OTEL_RESOURCE_ATTRIBUTES"]),
        )
    return {name: each for name, each in found.items() if name not in in_file}


def _workload_attributes(given: str) -> str:
    """The pairs of OTEL_RESOURCE_ATTRIBUTES that also describe workloads. Invalid pairs are logged and ignored, because
    other programs use the variable, too.
    """
    pairs = [pair for pair in given.split(",") if pair.strip()]
    good = [pair for pair in pairs if re.match(r"\s*[^\s=][^=]*=", pair)]
    if len(good) < len(pairs):
        log.warning("ignored invalid pairs in OTEL_RESOURCE_ATTRIBUTES", pairs=len(pairs) - len(good))
    return ",".join(pair for pair in good if not pair.strip().startswith(_PROCESS_ATTRIBUTES))
