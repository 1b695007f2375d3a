"""Settings of OpenTelemetry traces."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import unquote

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from exporter.settings.section import Duration, DurationOrZero, Importance, Section, valid_headers
from exporter.settings.values import http_url, seconds


def _collector_url(given: str) -> str:
    return given and http_url(given, "http://collector:4318", "secrets go into traces.headers").rstrip("/")


def _plain_path(given: str) -> str:
    if "?" in given or "#" in given:
        raise ValueError("a path with a query or fragment, which would be logged; secrets go into traces.headers")
    return given


def _name_value_pairs(given: object) -> object:
    """The mapping of ``name=value,name=value`` with percent-encoded values, as OpenTelemetry's variables have it."""
    if not isinstance(given, str):
        return given
    pairs = [pair.partition("=") for pair in given.split(",") if pair.strip()]
    if not all(name.strip() and equals for name, equals, _ in pairs):
        raise ValueError("give name=value, several of them separated by commas")
    return {name.strip(): unquote(value.strip()) for name, _, value in pairs}


def _template(*names: str) -> AfterValidator:
    """A text in which each of these names may stand in braces, and nothing else may."""

    def check(given: str) -> str:
        try:
            given.format(**dict.fromkeys(names, ""))
        except (LookupError, ValueError, AttributeError):
            known = " and ".join(f"{{{name}}}" for name in names)
            raise ValueError(f"only {known} may stand in braces") from None
        return given

    return AfterValidator(check)


class TraceSettings(Section):
    """OpenTelemetry traces of what happens to workloads, and where they are sent. Without an `endpoint`: none."""

    endpoint: Annotated[str, AfterValidator(_collector_url)] = Field(
        "", description="URL of an OpenTelemetry collector, such as `http://collector:4318`. Empty: no traces."
    )
    path: Annotated[str, AfterValidator(_plain_path)] = Field(
        "/v1/traces", pattern=r"^(/[!-~]*)?$", description="What is added to the endpoint for `http/protobuf`."
    )
    protocol: Literal["http/protobuf", "grpc"] = Field("http/protobuf", description="How traces are sent.")
    headers: Annotated[dict[str, SecretStr], BeforeValidator(_name_value_pairs), AfterValidator(valid_headers)] = Field(
        default_factory=dict, description="Headers sent along, such as an API key; their values are secrets."
    )
    compression: Literal["gzip", "none"] = Field("gzip", description="How requests are compressed.")
    certificate: Path | None = Field(
        None, description="PEM file of the certificate authorities to trust instead of the system's."
    )
    client_certificate: Path | None = Field(None, description="PEM file of the certificate to show to the collector.")
    client_key: Path | None = Field(
        None, description="PEM file of its private key, where it is not in the same file as the certificate."
    )
    timeout: Duration = Field(10.0, description="Time for one request, from start to last byte.")
    service_name: Annotated[str, _template("id", "name")] = Field(
        "workload-{id}",
        min_length=1,
        description="`service.name` of a workload's traces; `{id}` and `{name}` stand for the workload's.",
    )
    environment: str = Field("", description="`deployment.environment.name` of the traces; empty: none.")
    resource_attributes: Annotated[dict[str, str | bool | int | float], BeforeValidator(_name_value_pairs)] = Field(
        default_factory=dict, description="More attributes of the resource of every trace."
    )
    kinds: tuple[Literal["start", "stop", "failure", "replacement", "deletion"], ...] = Field(
        ("start", "stop", "failure", "replacement", "deletion"), description="What traces are made of."
    )
    importance: frozenset[Importance] = Field(
        frozenset(), description="Traces only of workloads of these importances; empty: of all."
    )
    sample_ratio: float = Field(1.0, ge=0, le=1, description="Which part of the traces is made, chosen by trace id.")
    min_duration: DurationOrZero = Field(0.0, description="Starts that succeed in less than this make no trace.")
    crashes: bool = Field(False, description="Also a trace of each crash of a container whose workload stays running.")
    checkpoint_after: DurationOrZero = Field(
        0.0, description="What lasts longer than this gets a trace of what is known so far, again and again; 0: never."
    )
    backfill: Annotated[float, BeforeValidator(seconds), Field(ge=0, le=604800)] = Field(
        0.0,
        description="How far back the very first sweep looks for replacements and starts that were over; 0: not.",
    )
    max_bytes: int = Field(
        50_000_000,
        gt=0,
        le=1_000_000_000_000,
        description="Most bytes of traces that wait to be sent; beyond it the oldest are dropped.",
    )
    max_age: Duration = Field(604800.0, le=2592000, description="How long a trace waits before it is dropped.")
    self_traces: bool = Field(True, description="Also send traces of the exporter's own sweeps that tell something.")

    @model_validator(mode="after")
    def _key_of_a_certificate(self) -> Self:
        if self.client_key is not None and self.client_certificate is None:
            raise ValueError("client_key without client_certificate; give both or neither")
        return self

    @property
    def resource(self) -> dict[str, str | bool | int | float]:
        """The attributes that the resource of every trace has."""
        named: dict[str, str | bool | int | float] = {"deployment.environment.name": self.environment}
        return self.resource_attributes | (named if self.environment else {})
