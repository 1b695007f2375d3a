"""Settings of the state: a file, or a database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from exporter.settings.section import Section
from exporter.settings.values import postgresql_url


class StateSettings(Section):
    """State that is kept across restarts: totals of workloads, and times of first observation."""

    path: Path | None = Field(
        None,
        description="SQLite file of the state. Without it, and without `url`, totals of workloads start from zero at "
        "each start.",
    )
    url: Annotated[str, AfterValidator(postgresql_url)] | None = Field(
        None,
        description="PostgreSQL database of the state instead of a file, such as `postgresql://exporter@db/exporter`, "
        "with the parameters of libpq, such as `?sslmode=verify-full`. Needs the extra `postgres`.",
    )
    password_file: Path | None = Field(
        None,
        description="File with the password of the database; read again when it changes. Without any password, "
        "`PGPASSFILE` and `PGPASSWORD` are used.",
    )
    password_env: str | None = Field(None, description="Environment variable with the password.")
    password: SecretStr | None = Field(None, description="The password itself.")
    on_trouble: Literal["refuse", "set_aside"] = Field(
        "refuse",
        description="If the file is damaged or from a newer version: `refuse` to start, or `set_aside`: rename it "
        "and start with an empty state.",
    )

    _optional = ("password",)

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.path is not None and self.url is not None:
            raise ValueError("path and url; set one of them")
        if self.url is None and self.given("password"):
            raise ValueError("a password without url; set url, or remove the password")
        if self.url is not None and self.on_trouble == "set_aside":
            raise ValueError("on_trouble: set_aside is for a file; remove it, or set path instead of url")
        return self
