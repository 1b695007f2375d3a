"""Snippets of README and docs, as a user would paste them: `check` accepts the settings, and the installation works."""

import asyncio
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
import yaml

from exporter.cli.main import main
from exporter.settings.model import Settings
from exporter.web.web_config import read_web_config
from tests.cli.test_main import run
from tests.components import component
from tests.e2e.servers import free_port
from tests.web.serving import Served
from tests.web.test_web_config import certificate

ROOT = Path(__file__).parent.parent
OTHERS = {
    "scrape_configs": "Prometheus",
    "modules": "blackbox_exporter",
    "apiVersion": "Grafana",
    "jsonData": "Grafana",
    "tls_server_config": "the exporter's web config, see below",
}
"""YAML for other programs, by its first key."""
SECRETS = {
    "token_file": "t",
    "routing_key_file": "k" * 32,
    "webhook_url_file": "https://hooks.slack.test/services/x",
    "url_file": "https://snitch.test/x",
    "password_file": "p",
}
"""Contents of the files that blocks name."""
ENVIRONMENT = {
    "DATAROBOT_API_TOKEN": "t",
    "PAGERDUTY_KEY": "k" * 32,
    "SLACK_WEBHOOK": "https://hooks.slack.test/services/x",
    "TICKETS_URL": "https://tickets.test/new",
    "TICKETS_SECRET": "s",
    "DEAD_MANS_SWITCH": "https://snitch.test/x",
    "MAIL_URL": "mailto://127.0.0.1:10025?from=a@b.test&to=c@b.test",
    "PHONE_URL": "ntfys://ntfy.example.test/topic",
}


class Block(NamedTuple):
    place: str
    text: str

    @property
    def keys(self) -> list[str]:
        return [str(key) for key in yaml.safe_load(self.text)]


def blocks() -> list[Block]:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "alerts").rglob("*.md"))]
    return [
        Block(f"{page.relative_to(ROOT)}:{text.count(chr(10), 0, found.start()) + 1}", found[2])
        for page in pages
        for text in [page.read_text()]
        for found in re.finditer(r"^( *)```ya?ml\b.*?\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL)
    ]


SETTINGS = [block for block in blocks() if {*block.keys} & {*Settings.model_fields}]


def test_a_yaml_block_contains_settings_or_is_for_a_known_program() -> None:
    others = [block for block in blocks() if block not in SETTINGS]
    assert [block.place for block in others if block.keys[0] not in OTHERS] == []
    assert len(SETTINGS) >= 10


@pytest.fixture
def pasted(tmp_path: Path, block: Block) -> Path:
    """The block as a file; the secret files that it names exist."""

    def create_secret(found: re.Match[str]) -> str:
        (tmp_path / found[1]).write_text(SECRETS[found[1]])
        return f"{found[1]}: {tmp_path / found[1]}"

    file = tmp_path / "exporter.yaml"
    file.write_text(re.sub(r"(\w+_file): ([^\s,}]+)", create_secret, block.text))
    return file


@pytest.mark.parametrize("block", SETTINGS, ids=lambda block: block.place)
def test_documented_settings_are_accepted_by_check(
    pasted: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    assert (main(["check", f"--config.file={pasted}"]), capsys.readouterr().err) == (0, "")


ALERTS = [block for block in SETTINGS if block.keys == ["alerts"]]


@pytest.mark.parametrize("block", ALERTS, ids=lambda block: block.place)
def test_documented_alert_settings_apply_to_the_printed_rules(pasted: Path) -> None:
    status, out, err = run("rules", f"--config.file={pasted}")
    assert (status, err) == (0, "")
    named = [rule["alert"] for group in yaml.safe_load(out)["groups"] for rule in group["rules"] if "alert" in rule]
    given = yaml.safe_load(pasted.read_text())["alerts"]
    assert {*given.get("on", ())} <= {*named}
    assert not {*given.get("off", ())} & {*named}
    assert ("note:" in out) == ("notes" in given)


# -- docs/security.md

SECURITY = (ROOT / "docs" / "security.md").read_text()


def security_block(kind: str) -> str:
    """The content of the code block of this kind."""
    (found,) = re.findall(rf"^ *```{kind}\n(.*?)^ *```$", SECURITY, re.MULTILINE | re.DOTALL)
    return textwrap.dedent(found)


def test_the_documented_web_config_is_accepted(tmp_path: Path) -> None:
    for name in ("server", "clients"):
        certificate(tmp_path, name)
    (tmp_path / "web.yml").write_text(security_block("yaml web-config"))
    assert list(read_web_config(tmp_path / "web.yml").basic_auth_users) == ["prometheus"]


@pytest.mark.real
def test_the_documented_proxy_passes_on_metrics_and_pages_for_people_only(tmp_path: Path) -> None:
    certificate(tmp_path, "exporter")
    port, served = free_port(), Served()
    site = security_block("nginx").replace("/etc/nginx", str(tmp_path)).replace("10443", f"127.0.0.1:{port}")

    async def work(host: str, own_port: int) -> list[int]:
        (tmp_path / "nginx.conf").write_text(
            f"daemon off; pid {tmp_path}/pid; error_log stderr; events {{}}\n"
            f"http {{ access_log off; client_body_temp_path {tmp_path}/body; proxy_temp_path {tmp_path}/proxy;\n"
            + "".join(f"{name}_temp_path {tmp_path}/{name};\n" for name in ("fastcgi", "uwsgi", "scgi"))
            + site.replace("127.0.0.1:10142", f"{host}:{own_port}")
            + "}\n"
        )
        command = (component("nginx"), "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf"))
        nginx = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
        try:
            async with httpx.AsyncClient(base_url=f"https://127.0.0.1:{port}", verify=False, trust_env=False) as client:
                async with asyncio.timeout(60):
                    while not await connects(port):  # noqa: ASYNC110 — there is no event to wait for
                        await asyncio.sleep(0.05)  # polling interval: it reports nothing when it is ready
                requests = [
                    ("GET", path) for path in ("/metrics", "/", "/?q=a", "/workloads/w?account=a", "/workloads.csv")
                ]
                requests += [("POST", "/"), ("POST", "/workloads/w")]
                requests += [
                    ("POST", path) for path in ("/-/reload", "/%2d/reload", "//-/reload", "/workloads/../-/reload")
                ]
                requests += [("GET", path) for path in ("/sd", "/-/silences", "/debug/config")]
                return [(await client.request(*each)).status_code for each in requests]
        finally:
            nginx.terminate()
            await nginx.wait()

    assert served.serve(work) == [200] * 5 + [403] * 2 + [404] * 7
    assert served.reloads == 0


async def connects(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


# -- the installation, as in the README


def shell_lines(page: str, beginning: str) -> str:
    """The one line of a shell block that begins like this."""
    (found,) = re.findall(rf"^{re.escape(beginning)}.*$", (ROOT / page).read_text(), re.MULTILINE)
    return str(found)


@pytest.mark.parametrize("command", ["export PATH=", "mkdir -p ~/.local/bin"])
def test_after_the_documented_command_workload_exporter_is_on_the_path(tmp_path: Path, command: str) -> None:
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parents[1])
    script = f"{shell_lines('README.md', command)}\ncommand -v workload-exporter\nworkload-exporter --version"
    environment = {"HOME": str(tmp_path), "PATH": f"{tmp_path}/.local/bin:/usr/bin:/bin"}
    ran = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, check=False, text=True
    )
    place, version = ran.stdout.splitlines()
    assert (ran.returncode, ran.stderr, place.startswith(str(tmp_path))) == (0, "", True)
    assert version.startswith("workload-exporter ")
