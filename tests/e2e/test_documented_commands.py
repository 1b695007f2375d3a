"""Runs the command lines in the blocks of README and docs against a daemon on the demo fleet, each in a shell."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from exporter.simulator import Simulator
from exporter.simulator.stories import STORIES
from exporter.simulator.waste import PRICES, WASTE
from tests import http
from tests.components import component
from tests.e2e.servers import eventually, free_port, running
from tests.receivers import HttpReceiver

pytestmark = [pytest.mark.real, pytest.mark.long]
ROOT = Path(__file__).parent.parent.parent
OTHERS = {
    "make": "runs this test",
    "docker": "needs Docker",
    "pipx": "installs a package",
    "python3 -m venv": "installs a package",
    "exporter/bin/pip": "installs a package",
    "CREATE": "SQL",
    "mkdir -p ~/.local/bin": "runs in tests/test_snippets.py",
    "export PATH": "runs in tests/test_snippets.py",
    "export DATAROBOT": "the test has its own",
    "export OTEL": "the test has its own",
    "(datarobot": "PromQL",
    "count by": "PromQL",
    "and on": "PromQL",
    "* on": "PromQL",
    ")": "PromQL",
    "workload-exporter state copy": "runs in tests/e2e/test_postgresql.py",
    "workload-exporter init": "runs in tests/cli/test_init.py",
    "workload-exporter run": "does not end; the daemon of this test is one",
    "workload-exporter replay": "does not end; runs in tests/cli/test_record.py",
    "workload-exporter demo --from": "does not end; runs in tests/cli/test_record.py",
    "workload-exporter demo --story": "plays for minutes; runs in tests/cli/test_story.py",
    "workload-exporter man": "needs man-db; runs in tests/cli/test_completion.py",
    "journalctl": "needs systemd",
    "kubectl": "needs Kubernetes",
    "/tmp/mail/bin/aiosmtpd": "does not end",
    "export MAIL_URL": "a receiver of its own in tests/paging/notify/test_apprise.py",
    ".venv/bin/workload-exporter": "a receiver of its own in tests/paging/notify/test_apprise.py",
    "UPDATE_GOLDEN": "writes files of the repository",
}
"""Beginnings of lines that are not run here, with the reason."""
WITHOUT_SETTINGS = re.compile("workload-exporter (assets|runbook|completion|record --inspect)")
STATUS = {"explain": {0, 3, 4}}
"""Exit statuses other than 0, by command."""


def lines() -> Iterator[tuple[str, str]]:
    """Page and line, of all blocks without a language. What follows a prompt is output."""
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for language, block in re.findall(r"^ *```(.*?)\n(.*?)^ *```$", page.read_text(), re.MULTILINE | re.DOTALL):
            text = "" if language else re.sub(r"\\\n\s*", "", block)
            prompted = re.findall(r"^\s*\$ (.*)$", text, re.MULTILINE)
            for line in prompted or text.splitlines():
                if line.strip():
                    yield page.name, line.strip()


def test_each_line_is_run_here_or_a_reason_is_given() -> None:
    unknown = {line for _, line in lines() if not line.startswith((*OTHERS, "workload-exporter", "curl", "mkdir"))}
    assert unknown == set()
    assert {start for start in OTHERS if not any(line.startswith(start) for _, line in lines())} == set()


RUN = [(page, line) for page, line in lines() if not line.startswith(tuple(OTHERS))]


class Shell(NamedTuple):
    folder: Path
    port: int
    environment: dict[str, str]

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        """Run a line, with the daemon at a port of its own and ids that exist."""
        script = line.replace("127.0.0.1:10142", f"127.0.0.1:{self.port}").replace("6543…", "65430000000000000000abcd")
        script = script.replace("--for 20m", "--for 5s")
        if "silence end" in script:
            silence = self.run("workload-exporter silence list").stdout.split()[0]
            script = re.sub(r"end \w+", f"end {silence}", script)
        if not WITHOUT_SETTINGS.match(script):
            script = re.sub(
                r"^(workload-exporter.*?)(\s[#|].*)?$", rf"\1 --config.file={self.folder}/exporter.yaml", script
            )
        return subprocess.run(
            ["bash", "-c", script], cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    folder, port = tmp_path_factory.mktemp("commands"), free_port()
    with ExitStack() as stack:
        api = stack.enter_context(Simulator(workloads=60, seed=7, stories=(*STORIES, *WASTE)))
        collector = stack.enter_context(HttpReceiver())
        settings = {
            "accounts": [{"name": "demo", "endpoint": api.url, "token": api.token, "requests_per_second": 100}],
            "web": {"listen_address": [f"127.0.0.1:{port}"]},
            "metrics": {"tags": ["team", "env"]},
            "costs": {"bundles": PRICES, "min_history": 0},
            "objectives": [{"tags": ["team=team-1"], "availability": 0.999}],
            "traces": {"endpoint": collector.url},
            "paging": {"who": "direct", "receivers": [{"name": "on-call", "kind": "webhook", "url": collector.url}]},
        }
        (folder / "exporter.yaml").write_text(json.dumps(settings))
        command = (sys.executable, "-m", "exporter", "run", f"--config.file={folder / 'exporter.yaml'}")
        stack.enter_context(running(folder / "log", *command))
        ready = f"http://127.0.0.1:{port}/-/ready"
        assert eventually(lambda: http.get(ready).status_code == 200, 60), (folder / "log").read_text()
        path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
        yield Shell(folder, port, {"PATH": path, "HOME": str(folder)})


@pytest.mark.parametrize("page", sorted({page for page, _ in RUN}))
def test_the_lines_of_a_page_succeed_in_their_order(shell: Shell, page: str) -> None:
    component("jq")
    for line in [line for where, line in RUN if where == page]:
        ran = shell.run(line)
        assert (ran.returncode in STATUS.get(line.split()[1], {0}), "rror" in ran.stderr) == (True, False), (line, ran)
