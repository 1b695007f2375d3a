"""Commands that must start quickly import no heavy modules: container health checks run every few seconds."""

import functools
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = frozenset(
    """
    apscheduler asyncio bcrypt google grpc httpx importlib.metadata jinja2 msgspec opentelemetry prometheus_client
    pydantic structlog uvicorn uvloop
    exporter.alerting exporter.api exporter.collect exporter.daemon exporter.metrics exporter.simulator exporter.web
    """.split()
)
PROGRAM = """
import json, sys
from exporter.cli.main import main
try:
    status = main(sys.argv[1:])
except SystemExit as error:
    status = error.code
print(json.dumps([status, sorted(sys.modules)]))
"""


@functools.cache
def started(*arguments: str) -> tuple[int, set[str]]:
    """Exit status of a command in a process of its own, and the modules that it imported."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("COV", "DATAROBOT_"))}
    child = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], env=environment, capture_output=True, text=True, timeout=60
    )
    status, modules = json.loads(child.stdout.splitlines()[-1])
    return status, set(modules)


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["--version"], 0),
        (["--help"], 0),
        (["healthcheck", "--help"], 0),
        (["healthcheck", "--web.listen-address=127.0.0.1:1"], 1),
    ],
)
def test_a_quick_command_imports_no_heavy_module(arguments: list[str], status: int) -> None:
    found, modules = started(*arguments)
    assert found == status
    assert not modules & HEAVY


def test_healthcheck_with_a_settings_file_imports_only_yaml(tmp_path: Path) -> None:
    web, settings = tmp_path / "web.yaml", tmp_path / "exporter.yaml"
    web.write_text("tls_server_config: {cert_file: absent, key_file: absent}\n")
    settings.write_text(f"web: {{listen_address: ['127.0.0.1:1'], config_file: {web}}}\nsweep: {{interval: 30s}}\n")
    status, modules = started("healthcheck", f"--config.file={settings}")
    assert status == 1
    assert "yaml" in modules
    assert not modules & HEAVY


def test_the_list_of_heavy_modules_is_up_to_date() -> None:
    _, modules = started("check")
    absent = HEAVY - modules - {"exporter.simulator", "grpc", "jinja2", "uvloop"}
    assert not absent


def test_a_library_for_colours_that_nothing_uses_is_not_imported_even_if_it_is_installed() -> None:
    assert importlib.util.find_spec("importlinter"), "it installs rich"
    _, modules = started("check")
    assert {"httpx", "structlog"} <= modules
    assert "rich.console" not in modules
