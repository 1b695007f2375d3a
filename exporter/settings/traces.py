"""Settings of OpenTelemetry traces."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import unquote

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from exporter.settings.section import SECONDS, Duration, DurationOrZero, Importance, Section, valid_headers
from exporter.settings.values import http_url


def _collector_url(given: str) -> str:
    return given and http_url(given, "http://collector:4318", "set secrets with traces.headers").rstrip("/")


def _plain_path(given: str) -> str:
    if "?" in given or "#" in given:
        raise ValueError("the path has a query or fragment, which would be logged; set secrets with traces.headers")
    return given


def _name_value_pairs(given: object) -> object:
    """The mapping of ``name=value,name=value`` with percent-encoded values, as in OpenTelemetry's variables."""
    if not isinstance(given, str):
        return given
    pairs = [pair.partition("=") for pair in given.split(",") if pair.strip()]
    if not all(name.strip() and equals for name, equals, _ in pairs):
        raise ValueError("not name=value pairs separated by commas")
    return {name.strip(): unquote(value.strip()) for name, _, value in pairs}


_PAIRS = BeforeValidator(_name_value_pairs, json_schema_input_type=str | dict[str, str | bool | int | float])


def _template(*names: str) -> AfterValidator:
    """A text in which only these names may be in braces."""

    def check(given: str) -> str:
        try:
            given.format(**dict.fromkeys(names, ""))
        except (LookupError, ValueError, AttributeError):
            known = " and ".join(f"{{{name}}}" for name in names)
            raise ValueError(f"only {known} may be in braces") from None
        return given

    return AfterValidator(check)


class TraceSettings(Section):
    """OpenTelemetry traces of episodes of workloads, and where to send them. No traces without an `endpoint`."""

    endpoint: Annotated[str, AfterValidator(_collector_url)] = Field(
        "", description="URL of an OpenTelemetry collector, such as `http://collector:4318`. Empty: no traces."
    )
    path: Annotated[str, AfterValidator(_plain_path)] = Field(
        "/v1/traces", pattern=r"^(/[!-~]*)?$", description="Path appended to the endpoint for `http/protobuf`."
    )
    protocol: Literal["http/protobuf", "grpc"] = Field("http/protobuf", description="Protocol of OTLP.")
    headers: Annotated[dict[str, SecretStr], _PAIRS, AfterValidator(valid_headers)] = Field(
        default_factory=dict, description="Additional request headers, such as an API key; their values are secrets."
    )
    compression: Literal["gzip", "none"] = Field("gzip", description="Compression of requests.")
    certificate: Path | None = Field(
        None, description="PEM file of the trusted certificate authorities, in place of the system's."
    )
    client_certificate: Path | None = Field(None, description="PEM file of the client certificate.")
    client_key: Path | None = Field(
        None, description="PEM file of the client certificate's private key, unless it is in the same file."
    )
    timeout: Duration = Field(10.0, description="Timeout of one request, from start to last byte.")
    service_name: Annotated[str, _template("id", "name")] = Field(
        "workload-{id}",
        min_length=1,
        description="`service.name` of a workload's traces; `{id}` and `{name}` are replaced by those of the workload.",
    )
    environment: str = Field("", description="`deployment.environment.name` of all traces; empty: not set.")
    resource_attributes: Annotated[dict[str, str | bool | int | float], _PAIRS] = Field(
        default_factory=dict, description="Additional resource attributes of all traces."
    )
    kinds: tuple[Literal["start", "stop", "failure", "replacement", "deletion"], ...] = Field(
        ("start", "stop", "failure", "replacement", "deletion"), description="Kinds of episodes that become traces."
    )
    importance: frozenset[Importance] = Field(
        frozenset(), description="Only traces of workloads with these importance values; empty: all."
    )
    sample_ratio: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Share of traces to keep, from 0 to 1, chosen by trace id; failures are always kept.",
    )
    min_duration: DurationOrZero = Field(0.0, description="Successful starts shorter than this get no trace.")
    crashes: bool = Field(
        False, description="Also create a trace of each container crash while the workload stays running."
    )
    checkpoint_after: DurationOrZero = Field(
        0.0, description="Interval at which an open episode gets an intermediate trace; 0: never."
    )
    backfill: Annotated[float, SECONDS, Field(ge=0, le=604800)] = Field(
        0.0,
        description="How far back the very first sweep searches for completed replacements and starts; 0: not at all.",
    )
    max_bytes: int = Field(
        50_000_000,
        gt=0,
        le=1_000_000_000_000,
        description="Maximum bytes of traces that wait to be sent; beyond it, the oldest are dropped.",
    )
    max_age: Duration = Field(
        604800.0, le=2592000, description="How long a trace may wait to be sent before it is dropped."
    )
    self_traces: bool = Field(
        True, description="Also send traces of the exporter's own sweeps if they fail, are slow, or are sampled."
    )

    _pem_files = ("certificate", "client_certificate", "client_key")

    @model_validator(mode="after")
    def _key_of_a_certificate(self) -> Self:
        if self.client_key is not None and self.client_certificate is None:
            raise ValueError("client_key without client_certificate; set both or neither")
        return self

    @property
    def resource(self) -> dict[str, str | bool | int | float]:
        """Resource attributes of all traces."""
        named: dict[str, str | bool | int | float] = {"deployment.environment.name": self.environment}
        return self.resource_attributes | (named if self.environment else {})
