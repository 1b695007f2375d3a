"""The shell functions of the runbooks, typed into interactive shells."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.runbooks.shell import CONFIG_FLAG, FUNCTIONS
from exporter.simulator import Simulator
from tests.components import component
from tests.e2e.servers import Recorder, free_port, recorder

pytestmark = pytest.mark.real

SHELLS = {"bash": ("bash", "--norc", "--noprofile", "-i"), "zsh": ("zsh", "-fis")}
RESPONSES = {
    "/api/v2/fine": (200, b'{"name": "caf\xc3\xa9"}'),
    "/api/v2/unreported": (204, b""),
    "/api/v2/start": (202, b""),
    "/api/v2/token": (401, b'{"message": "Invalid API key"}'),
    "/api/v2/role": (403, b'{"detail": "no"}'),
    "/api/v2/page": (200, b"<html>log in</html>"),
    "/api/v2/empty": (200, b""),
    "/api/v2/busy": (503, b"upstream\n"),
}
PRINTED = {
    "dr_get fine": (0, '{\n  "name": "café"\n}\n'),
    "dr_get unreported": (0, "(204: nothing is reported yet)\n"),
    "dr_send POST start": (0, "(202: accepted)\n"),
    "dr_get token": (
        1,
        'GET URL/token: 401, the token is not accepted; check DATAROBOT_API_TOKEN\n{"message": "Invalid API key"}\n',
    ),
    "dr_get role": (
        1,
        "GET URL/role: 403, not permitted: the role of the user of this token is too low, or the feature is disabled\n"
        '{"detail": "no"}\n',
    ),
    "dr_get workloads/x/": (
        1,
        "GET URL/workloads/x/: 404, not found: an unknown id, not shared with the user of this token, or no such "
        'object\n{"detail": "Not Found"}\n',
    ),
    "dr_get page": (1, "GET URL/page: 200, the body is not JSON\n<html>log in</html>\n"),
    "dr_get empty": (1, "GET URL/empty: 200, the body is not JSON\n"),
    "dr_get busy": (1, "GET URL/busy: 503, refused or failed\nupstream\n"),
    "dr_pods": (
        1,
        "GET URL/workloads/w/protons/?limit=100: 404, not found: an unknown id, not shared with the user of this "
        'token, or no such object\n{"detail": "Not Found"}\n',
    ),
}


@pytest.fixture(scope="module")
def api() -> Iterator[Recorder]:
    with recorder(lambda _, path: RESPONSES.get(path, (404, b'{"detail": "Not Found"}'))) as server:
        yield server


def typed(shell: str, folder: Path, *commands: str, **environment: str) -> list[tuple[int, str]]:
    """Exit status and output of each command, typed into an interactive shell after the functions.

    The shell prints its prompts to its own output.
    """
    component(shell)
    one = "{{ {}\n}} >out 2>&1; echo $? >>out; cat out >>all; printf '\\0' >>all"
    given = "\n".join([FUNCTIONS, *map(one.format, commands), ""])
    known = {"DATAROBOT_API_TOKEN": "secret", "WORKLOAD_ID": "w", **environment}
    ran = subprocess.run(
        SHELLS[shell],
        input=given,
        env=os.environ | known,
        cwd=folder,
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert (folder / "all").exists(), ran.stderr
    printed = [each[:-1].rpartition("\n") for each in (folder / "all").read_text().split("\0")[:-1]]
    return [(int(status), text + new_line) for text, new_line, status in printed]


@pytest.mark.parametrize(("shell", "ending"), [("bash", ""), ("zsh", "/"), ("bash", "/api/v2"), ("zsh", "/api/v2/")])
def test_each_kind_of_response_has_its_own_text(api: Recorder, tmp_path: Path, shell: str, ending: str) -> None:
    results = typed(shell, tmp_path, *PRINTED, DATAROBOT_ENDPOINT=api.url + ending)
    shown = [(status, text.replace(f"{api.url}/api/v2", "URL")) for status, text in results]
    assert dict(zip(PRINTED, shown, strict=True)) == PRINTED


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("config", "arguments"), [("", "0 <>\n"), ("/etc/my exporter.yaml", "1 <--config.file=/etc/my exporter.yaml>\n")]
)
def test_the_flag_for_the_settings_file_is_one_argument_or_none(
    tmp_path: Path, shell: str, config: str, arguments: str
) -> None:
    command = f'set -- {CONFIG_FLAG}; echo "$# <$*>"'
    assert typed(shell, tmp_path, command, DATAROBOT_ENDPOINT="", CONFIG=config) == [(0, arguments)]


@pytest.mark.parametrize("shell", SHELLS)
def test_without_a_response_the_url_and_the_reason_are_printed(tmp_path: Path, shell: str) -> None:
    port = free_port()
    ((status, text),) = typed(shell, tmp_path, "dr_get workloads/w/", DATAROBOT_ENDPOINT=f"http://127.0.0.1:{port}/")
    curl, reason = text.splitlines()
    assert (status, curl.startswith("curl: (7) Failed to connect to 127.0.0.1")) == (1, True)
    assert reason == (
        f"GET http://127.0.0.1:{port}/api/v2/workloads/w/: 000, no response, for the reason that curl reports above"
    )


@pytest.mark.parametrize("shell", SHELLS)
def test_a_change_is_sent_with_its_body_and_the_token(api: Recorder, tmp_path: Path, shell: str) -> None:
    before = len(api.received)
    typed(shell, tmp_path, 'dr_send PATCH fine "{\\"importance\\": \\"low\\"}"', DATAROBOT_ENDPOINT=api.url)
    assert api.received[before:] == [("PATCH", "/api/v2/fine", b'{"importance": "low"}')]


@pytest.mark.parametrize("shell", SHELLS)
def test_pods_of_all_versions_are_shown_and_those_that_are_not_reported(tmp_path: Path, shell: str) -> None:
    with Simulator(workloads=45) as simulator:
        workload = next(n for n in range(45) if simulator.world.actor(n).story.name == "monitor frozen")
        actor = simulator.world.actor(workload)
        moment = actor.moment(simulator.clock())
        ((status, text),) = typed(
            shell,
            tmp_path,
            "dr_pods",
            DATAROBOT_ENDPOINT=simulator.url,
            DATAROBOT_API_TOKEN=simulator.token,
            WORKLOAD_ID=actor.id(moment),
        )
    expected = f"version {actor.proton(moment)}, role active, provisioning:\n(204: nothing is reported yet)\n"
    assert (status, text) == (0, expected)
