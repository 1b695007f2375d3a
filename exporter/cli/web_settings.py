"""How to reach the daemon of these settings."""

from __future__ import annotations

from exporter.settings.model import Settings
from exporter.web.web_config import read_web_config


def uses_tls(settings: Settings) -> bool:
    """Whether the server uses TLS. Raises `BadSettings` for an invalid web config file."""
    file = settings.web.config_file
    return file is not None and read_web_config(file).tls_server_config is not None
