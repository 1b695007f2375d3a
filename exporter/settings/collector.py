"""Settings that all signals of OpenTelemetry share: the collector, and how to reach it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import unquote

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from exporter.settings.section import Duration, Section, valid_headers
from exporter.settings.values import http_url

Attributes = dict[str, str | bool | int | float]


def _collector_url(given: str) -> str:
    return given and http_url(given, "http://collector:4318", "set secrets with headers").rstrip("/")


def _plain_path(given: str) -> str:
    if "?" in given or "#" in given:
        raise ValueError("the path has a query or fragment, which would be logged; set secrets with headers")
    return given


def _name_value_pairs(given: object) -> object:
    """The mapping of ``name=value,name=value`` with percent-encoded values, as in OpenTelemetry's variables."""
    if not isinstance(given, str):
        return given
    pairs = [pair.partition("=") for pair in given.split(",") if pair.strip()]
    if not all(name.strip() and equals for name, equals, _ in pairs):
        raise ValueError("not name=value pairs separated by commas")
    return {name.strip(): unquote(value.strip()) for name, _, value in pairs}


PAIRS = BeforeValidator(_name_value_pairs, json_schema_input_type=str | dict[str, str | bool | int | float])
CollectorUrl, PlainPath = AfterValidator(_collector_url), AfterValidator(_plain_path)
PATH, PATH_DESCRIPTION = r"^(/[!-~]*)?$", "Path appended to the endpoint for `http/protobuf`."


class CollectorSettings(Section):
    """A collector of OpenTelemetry. Nothing is sent without an `endpoint`."""

    endpoint: Annotated[str, CollectorUrl] = ""
    path: Annotated[str, PlainPath] = ""
    protocol: Literal["http/protobuf", "grpc"] = Field("http/protobuf", description="Protocol of OTLP.")
    headers: Annotated[dict[str, SecretStr], PAIRS, AfterValidator(valid_headers)] = Field(
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

    _pem_files = ("certificate", "client_certificate", "client_key")

    @model_validator(mode="after")
    def _key_of_a_certificate(self) -> Self:
        if self.client_key is not None and self.client_certificate is None:
            raise ValueError("client_key without client_certificate; set both or neither")
        return self
