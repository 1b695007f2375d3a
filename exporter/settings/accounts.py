"""Settings of accounts."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr

from exporter.settings.section import Duration, Section
from exporter.settings.values import DEFAULT_ENDPOINT, base_url


class AccountSettings(Section):
    """One endpoint with one token, set by exactly one of `token_file`, `token_env` and `token`."""

    name: str = Field(
        "default", pattern=r"^[a-zA-Z0-9_.-]{1,63}$", description="Value of the label `account` on every metric."
    )
    endpoint: Annotated[str, BeforeValidator(lambda given: base_url(given) if isinstance(given, str) else given)] = (
        Field(DEFAULT_ENDPOINT, description="URL of DataRobot, with or without `/api/v2`.")
    )
    token_file: Path | None = Field(
        None, description="File with the API token; read again when it changes and after a 401."
    )
    token_env: str | None = Field(None, description="Environment variable with the API token.")
    token: SecretStr | None = Field(
        None, description="The API token itself, if the settings file as a whole is stored as a secret."
    )
    ca_file: Path | None = Field(
        None, description="PEM file of more trusted certificate authorities, applied on change."
    )
    requests_per_second: float = Field(
        10.0, ge=0.001, le=1000, description="Maximum API requests per second, evenly spaced, including retries."
    )
    concurrency: int = Field(4, ge=1, le=64, description="Maximum concurrent API requests.")
    timeout: Duration = Field(30.0, description="Timeout of one request, from start to last byte.")

    _required = ("token",)

    @property
    def origin(self) -> str:
        """Scheme, host and port of the endpoint: identifies an installation of DataRobot."""
        parts = urlsplit(self.endpoint)
        return f"{parts.scheme}://{parts.netloc.lower()}"

    def token_source(self, environment: Mapping[str, str] = os.environ) -> Callable[[], str]:
        """A function that returns the current token; see `source`."""
        return self.source("token", environment)
