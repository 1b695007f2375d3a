"""What every command gets: its options, and the settings when it needs them."""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from exporter.redaction import Secrets
    from exporter.settings.model import Settings


class Context:
    """Options of a command, and the secrets to remove from its output."""

    def __init__(self, options: argparse.Namespace, secrets: Secrets) -> None:
        self.options, self.secrets = options, secrets

    def settings(self, accounts: Literal["needed", "planned", "replaced"] = "needed") -> Settings:
        """Read the settings from file, environment and flags. Raises `BadSettings`; `accounts`: see `load`."""
        from exporter.settings.loader import load  # here: `healthcheck` and `docs` need no pydantic models
        from exporter.settings.proxies import remove_unusable_exceptions

        for entry in remove_unusable_exceptions(os.environ):
            print(
                f"workload-exporter: NO_PROXY: {entry} is ignored: not a host, an address or a network of IPv4",
                file=sys.stderr,
            )

        options = vars(self.options)
        flags = {place: value for place, value in options.items() if "." in place and value is not None}
        settings = load(options["config_file"], os.environ, flags, accounts)
        self.secrets.follow(settings.secrets())
        return settings

    @property
    def settings_files(self) -> tuple[Path, ...]:
        """The files from which `settings` reads."""
        file = vars(self.options)["config_file"]
        return () if file is None else (file,)

    def reader(self, accounts: Literal["needed", "planned", "replaced"] = "needed") -> Callable[[], Settings]:
        """A function that reads the settings again."""
        return partial(self.settings, accounts)
