"""What all sections of the settings share: the base class with its secrets, and field types."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self, get_origin

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from exporter import redaction
from exporter.alerting.alerts import ALERTS
from exporter.settings.secret_files import SecretFile
from exporter.settings.values import nearest, seconds

MAX_DURATION_SECONDS = 366 * 86400.0
"""Longest duration of a setting: schedulers, sockets and dates overflow at some point."""


def _bounded(given: float) -> float:
    if given > MAX_DURATION_SECONDS:
        raise ValueError(f"too long; the maximum is {MAX_DURATION_SECONDS / 86400:.0f}d")
    return given


SECONDS = BeforeValidator(seconds, json_schema_input_type=float | str)
Duration = Annotated[float, SECONDS, Field(gt=0, allow_inf_nan=False), AfterValidator(_bounded)]
DurationOrZero = Annotated[float, SECONDS, Field(ge=0, allow_inf_nan=False), AfterValidator(_bounded)]
Importance = Literal["critical", "high", "moderate", "low"]
Tag = Annotated[str, Field(pattern=r"^[^=]+(=.*)?$")]


def known_names(of: Collection[str], kind: str) -> AfterValidator:
    def check(given: Collection[str]) -> Collection[str]:
        unknown = [name for name in given if name not in of]
        if unknown:
            raise ValueError(f"no {kind} is called {unknown[0]!r}{nearest(unknown[0], of)}")
        return given

    return AfterValidator(check)


ALERT_NAMES = known_names([alert.name for alert in ALERTS], "alert")


def valid_headers(headers: Mapping[str, SecretStr]) -> dict[str, SecretStr]:
    """The headers with names in lower case, as gRPC requires. Raises ValueError for invalid characters."""
    for number, (name, value) in enumerate(headers.items(), 1):
        if not re.fullmatch(r"[\w!#$%&'*+.^`|~-]+", name, re.ASCII):
            # The name is not quoted: it may be a secret value that was entered as a name by mistake.
            raise ValueError(f"the name of header {number} has characters that are not allowed in header names")
        if not re.fullmatch(r"[ -~]*", value.get_secret_value()):
            raise ValueError(f"the value of {name} has characters that are not allowed in headers")
    return {name.lower(): value for name, value in headers.items()}


Headers = Annotated[dict[str, SecretStr], AfterValidator(valid_headers)]


class Section(BaseModel):
    """A section. A secret NAME in `_required` or `_optional` is set by exactly one of NAME_file, NAME_env and NAME."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
    _required: ClassVar[tuple[str, ...]] = ()
    _optional: ClassVar[tuple[str, ...]] = ()
    _pem_files: ClassVar[tuple[str, ...]] = ("ca_file",)

    @model_validator(mode="before")
    @classmethod
    def _one_value_as_list(cls, given: object) -> object:
        """Accepts one value where a list may stand."""
        if not isinstance(given, dict):
            return given
        lists = {name for name, field in cls.model_fields.items() if get_origin(field.annotation) in (tuple, frozenset)}
        return {
            name: [value] if name in lists and isinstance(value, str | int | float | dict) else value
            for name, value in given.items()
        }

    @model_validator(mode="after")
    def _each_secret_once(self) -> Self:
        for secret in (*self._required, *self._optional):
            given = self.given(secret)
            if len(given) > 1 or (not given and secret in self._required):
                found = " and ".join(given) if given else f"no {secret}"
                raise ValueError(f"{found}; set exactly one of {secret}_file, {secret}_env and {secret}")
        return self

    @classmethod
    def required_secrets(cls) -> tuple[str, ...]:
        """The names of secrets without which the section is invalid."""
        return cls._required

    def given(self, secret: str) -> list[str]:
        """The fields that set a secret."""
        names = (f"{secret}_file", f"{secret}_env", secret)
        return [name for name in names if getattr(self, name) is not None]

    @property
    def pem_files(self) -> tuple[Path, ...]:
        """The files with certificates and keys that are used."""
        given = (getattr(self, name, None) for name in self._pem_files)
        return tuple(file for file in given if file is not None)

    @property
    def secret_files(self) -> frozenset[Path]:
        """The files that contain secrets."""
        given = (getattr(self, f"{secret}_file") for secret in (*self._required, *self._optional))
        return frozenset(file for file in given if file is not None)

    def source(self, secret: str, environment: Mapping[str, str] = os.environ) -> Callable[[], str]:
        """A function that returns the current value of a secret, empty if unset. It neither waits nor fails: a changed
        file is read again by `exporter.settings.secret_files.read_all`.
        """
        file, variable, given = (getattr(self, name) for name in (f"{secret}_file", f"{secret}_env", secret))
        if file is not None:
            return SecretFile(file)
        if variable is not None:
            return lambda: environment.get(variable, "").strip()
        return lambda: given.get_secret_value().strip() if given is not None else ""

    def sources(self, environment: Mapping[str, str] = os.environ) -> Iterator[redaction.Source]:
        """The sources of this section's secrets. Parts of a secret URL are secrets, too."""
        for secret in (*self._required, *self._optional):
            parts = redaction.url if secret.endswith("url") else redaction.whole
            yield redaction.Source(self.source(secret, environment), parts)
        headers: Mapping[str, SecretStr] = getattr(self, "headers", {})
        for name, value in headers.items():
            yield redaction.Source(value.get_secret_value, partial(redaction.header, name))
