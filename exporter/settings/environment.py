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
"""Attributes of OTEL_RESOURCE_ATTRIBUTES that are true of this process and not of the workloads it tells about."""


def traces_settings(told: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, tuple[str, Any]]:
    """Settings of traces that the file (`told`) lacks, as OpenTelemetry's variables give them: name -> variable, value.

    Empty where they switch their own exporter off, or nothing names an endpoint: then they are meant for somebody else.
    Where they switch OpenTelemetry off, there is no endpoint, whatever the file says.
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
    if found.get("endpoint", ("",))[0] == "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" and "endpoint" not in told:
        found["path"] = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", ""  # it is a whole URL
    if "timeout" in found:
        variable, milliseconds = found["timeout"]
        found["timeout"] = variable, float(milliseconds) / 1000 if milliseconds.isdecimal() else milliseconds
    if not told.get("endpoint", "endpoint" in found):
        return {}
    if "OTEL_RESOURCE_ATTRIBUTES" in given:
        found["resource_attributes"] = (
            "OTEL_RESOURCE_ATTRIBUTES",
            _workload_attributes(given["OTEL_RESOURCE_ATTRIBUTES"]),
        )
    return {name: each for name, each in found.items() if name not in told}


def _workload_attributes(given: str) -> str:
    """The pairs of OTEL_RESOURCE_ATTRIBUTES that are true of workloads, too. Others rely on that variable as well: what
    is wrong in it is told, and left out.
    """
    pairs = [pair for pair in given.split(",") if pair.strip()]
    good = [pair for pair in pairs if re.match(r"\s*[^\s=][^=]*=", pair)]
    if len(good) < len(pairs):
        log.warning("OTEL_RESOURCE_ATTRIBUTES: what is no name=value is left out", pairs=len(pairs) - len(good))
    return ",".join(pair for pair in good if not pair.strip().startswith(_PROCESS_ATTRIBUTES))
