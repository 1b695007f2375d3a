"""The wheel and the source distribution: the same bytes from every build, and everything inside that a user needs."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

from exporter import __version__
from exporter.asset_files import asset_files
from tests.e2e.servers import eventually, free_port

ROOT = Path(__file__).parent.parent
NAME = f"datarobot_workload_exporter-{__version__}"
SOURCES = ("alerts", "dashboards", "deploy", "docs", "exporter", "CHANGELOG.md", "LICENSE", "README.md")
PROJECT = ("pyproject.toml", "requirements.lock", "requirements-dev.lock", "requirements-build.in")


def copied(folder: Path, modified: float) -> Path:
    """A copy of what is packaged, in a folder of its own, with files of another time."""
    for name in (*SOURCES, *PROJECT):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
        else:
            shutil.copy(ROOT / name, folder / name)
    for file in folder.rglob("*"):
        os.utime(file, (modified, modified))
    return folder


def build(source: Path, target: Path, umask: int) -> tuple[Path, Path]:
    """Build the source distribution, and the wheel from it, with the build system that is installed."""
    command = (sys.executable, "-m", "build", "--no-isolation", "--outdir", target, source)
    done = subprocess.run(command, capture_output=True, text=True, umask=umask, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return target / f"{NAME}.tar.gz", target / f"{NAME}-py3-none-any.whl"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The source distribution and the wheel."""
    folder = tmp_path_factory.mktemp("package")
    return build(copied(tmp_path_factory.mktemp("source"), 1.5e9), folder, 0o022)


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        return Parser().parsestr(archive.read(f"{NAME}.dist-info/METADATA").decode())


def files(*patterns: str) -> set[str]:
    """The files of the repository at these places, without caches."""
    found = {str(file.relative_to(ROOT)) for each in patterns for file in ROOT.glob(each) if file.is_file()}
    return {name for name in found if "__pycache__" not in name and "node_modules" not in name}


@pytest.mark.long
def test_a_build_in_another_folder_at_another_time_gives_the_same_bytes(
    built: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    again = build(copied(tmp_path / "other", 1.7e9), tmp_path / "dist", 0o077)
    assert [file.read_bytes() for file in again] == [file.read_bytes() for file in built]


@pytest.mark.long
def test_the_wheel_has_the_modules_and_the_files_for_other_programs(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[1]) as archive:
        names = {*archive.namelist()}
    modules = files("exporter/**/*")
    assert not [place for place in asset_files() if "rules" in place or "runbooks" in place], "they are generated"
    assert "exporter/py.typed" in modules
    about = {f"{NAME}.dist-info/{name}" for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt")}
    assert names == modules | {f"exporter/assets/{name}" for name in asset_files()} | about | {
        f"{NAME}.dist-info/licenses/LICENSE"
    }


@pytest.mark.long
def test_the_source_distribution_has_all_that_is_packaged_and_the_locked_versions(built: tuple[Path, Path]) -> None:
    with tarfile.open(built[0]) as archive:
        names = {name.removeprefix(f"{NAME}/") for name in archive.getnames()}
    packaged = files(*SOURCES, *PROJECT, *(f"{folder}/**/*" for folder in SOURCES))
    assert {name for name in packaged if not name.endswith(".png")} <= names
    assert not {name for name in names if name.startswith(("tests/", "benchmarks/", "."))} - {".gitignore"}


@pytest.mark.long
def test_commands_work_from_the_wheel_outside_the_repository(built: tuple[Path, Path], tmp_path: Path) -> None:
    with zipfile.ZipFile(built[1]) as archive:
        archive.extractall(tmp_path / "installed")
    assert {place: file.read_bytes() for place, file in asset_files(tmp_path / "installed" / "exporter").items()} == {
        place: file.read_bytes() for place, file in asset_files().items()
    }
    program = (
        "import exporter; from exporter.cli.main import main; print(exporter.__file__)\n"
        "for each in ('rules', 'runbook Watchdog', 'dashboards fleet', 'assets export out', 'completion zsh', 'man'):\n"
        "    assert main(each.split()) == 0, each\n"
    )
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path / "installed")}
    command = (sys.executable, "-c", program)
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(str(tmp_path / "installed"))
    assert (tmp_path / "out/alerts/rules.yml").read_bytes() == (ROOT / "alerts/rules.yml").read_bytes()


@pytest.mark.exhaustive  # it needs the package index; the test above does the same without an installation
def test_the_plain_installation_runs_the_demo_in_a_clean_environment(built: tuple[Path, Path], tmp_path: Path) -> None:
    subprocess.run((sys.executable, "-m", "venv", tmp_path / "environment"), check=True)
    subprocess.run((tmp_path / "environment/bin/pip", "install", "--quiet", built[1]), check=True)
    program, port, log = str(tmp_path / "environment/bin/workload-exporter"), free_port(), tmp_path / "log"
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}

    def output(*arguments: str) -> str:
        command = (program, *arguments)
        return subprocess.run(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True).stdout

    address = f"--web.listen-address=127.0.0.1:{port}"
    with log.open("w") as file:
        demo = subprocess.Popen((program, "demo", address), cwd=tmp_path, env=environment, stderr=file)
    try:
        assert eventually(lambda: "crash-loop-1" in output("top", "--once", address), 60)
        (account,) = re.findall(r"(DATAROBOT_ENDPOINT)=(\S+) (DATAROBOT_API_TOKEN)=(\S+)", log.read_text())
        environment |= {account[0]: account[1], account[2]: account[3]}
        assert "Runbook DataRobotWorkloadErrored: workload-exporter runbook" in output("explain", "crash-loop-1")
        assert "workload-exporter.yaml was written" in output("init")
        assert "valid: account default" in output("check", "--config.file=workload-exporter.yaml")
    finally:
        demo.kill()
        demo.wait()


@pytest.mark.long
def test_the_plain_installation_lacks_what_few_need(built: tuple[Path, Path]) -> None:
    about = metadata(built[1])
    assert about["Version"] == __version__
    extras: dict[str, set[str]] = {}
    for requirement in about.get_all("Requires-Dist", []):
        name, _, condition = requirement.partition(" extra == ")
        extras.setdefault(condition.strip("'"), set()).add(name)
    plain = " ".join(extras[""])
    assert not any(name in plain for name in ("grpcio", "psycopg", "apprise", "pytest"))
    assert {*about.get_all("Provides-Extra", [])} >= {"grpc", "postgres", "dev"}
