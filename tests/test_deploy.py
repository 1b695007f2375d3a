"""The files of deploy/: each is what its reader expects, and they agree with each other and with the program.

No container is started here. What a file can be checked with without one, checks it: Prometheus, Alertmanager, systemd.
"""

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.cli.main import parser
from exporter.metrics.account_families import ACCOUNTS
from exporter.metrics.family import COMMON_LABELS
from exporter.metrics.registry import FAMILIES
from exporter.settings.loader import load
from exporter.telemetry.own_metrics import OWN_METRICS, Report
from exporter.tracing.episode_traces import EpisodeTrace
from exporter.tracing.trace import Trace
from tests.components import component
from tests.test_snippets import blocks

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
PORT = 10142


def read(place: str) -> Any:
    return yaml.safe_load((DEPLOY / place).read_text())


def manifests(kind: str) -> Iterator[Any]:
    for file in sorted((DEPLOY / "kubernetes").glob("*.yaml")):
        for document in yaml.safe_load_all(file.read_text()):
            if document["kind"] == kind:
                yield document


def manifest(kind: str) -> Any:
    (only,) = manifests(kind)
    return only


COMPOSE = read("compose.yaml")
SERVICES: dict[str, Any] = COMPOSE["services"]
UNIT = (DEPLOY / "workload-exporter.service").read_text()
POD = manifest("Deployment")["spec"]["template"]
(CONTAINER,) = POD["spec"]["containers"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def without_variables(text: str, **given: str) -> str:
    """Text with ``${NAME:-default}`` put in."""
    return re.sub(r"\$\{(\w+):-([^}]*)\}", lambda match: given.get(match[1], match[2]), text)


def mounts(service: str) -> Iterator[tuple[Path, str]]:
    """The files and folders of the repository that a service sees, and where."""
    for volume in SERVICES[service].get("volumes", ()):
        source, target, *_ = volume.split(":")
        if source.startswith("."):
            yield (DEPLOY / source).resolve(), target


def unit(name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", UNIT, re.MULTILINE)


# -- the program


@pytest.mark.parametrize(
    "arguments",
    [
        [without_variables(word) for word in SERVICES["exporter"]["command"]],
        [without_variables(word, EXPORTER_COMMAND="run") for word in SERVICES["exporter"]["command"]],
        CONTAINER["args"],
        shlex.split(unit("ExecStart")[0])[1:],
    ],
    ids=["demo of compose", "run of compose", "kubernetes", "systemd"],
)
def test_the_program_knows_its_command_and_every_flag(arguments: list[str]) -> None:
    told = parser(arguments[0]).parse_args(arguments)
    assert told.command in ("run", "demo")
    assert str(PORT) in " ".join(vars(told)["web.listen_address"] or [str(PORT)])


def test_the_environment_of_compose_is_one_account() -> None:
    environment = {
        name: without_variables(value, DATAROBOT_API_TOKEN="secret")
        for name, value in SERVICES["exporter"]["environment"].items()
    }
    (account,) = load(None, environment).accounts
    assert (account.endpoint, account.token_env) == ("https://app.datarobot.com/api/v2", "DATAROBOT_API_TOKEN")


def test_no_compose_variable_lacks_a_default() -> None:
    assert re.findall(r"\$\{\w+[^:\w]", (DEPLOY / "compose.yaml").read_text()) == []


def test_kubernetes_and_systemd_give_the_token_as_a_file(tmp_path: Path) -> None:
    named = {each["name"] for each in CONTAINER["env"]} | {pair.partition("=")[0] for pair in unit("Environment")}
    assert named == {"DATAROBOT_ENDPOINT", "DATAROBOT_API_TOKEN_FILE"}
    (tmp_path / "token").write_text("secret")
    (account,) = load(None, {"DATAROBOT_API_TOKEN_FILE": str(tmp_path / "token")}).accounts
    assert account.token_file == tmp_path / "token"


# -- compose


@pytest.mark.real
def test_compose_understands_its_file() -> None:
    told = subprocess.run(
        [component("docker-compose"), "-f", DEPLOY / "compose.yaml", "config"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    assert set(yaml.safe_load(told.stdout)["services"]) == set(SERVICES)


def test_what_is_mounted_is_there() -> None:
    assert {str(path.relative_to(ROOT)) for service in SERVICES for path, _ in mounts(service)} == {
        "alerts/rules.yml",
        "dashboards",
        "deploy/alertmanager.yml",
        "deploy/grafana/provisioning",
        "deploy/prometheus.yml",
    }
    for service in SERVICES:
        assert [str(path) for path, _ in mounts(service) if not path.exists()] == []


def test_images_are_of_one_version_and_ours_is_built_here() -> None:
    for name, service in SERVICES.items():
        if "build" in service:
            assert (DEPLOY / service["build"] / "Dockerfile").exists()
        else:
            assert re.search(r":v?\d+\.\d+\.\d+$", service["image"]), name


def test_nothing_is_published_beyond_loopback() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert len(published) == len(SERVICES)
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []


def test_files_name_services_that_are_there() -> None:
    prometheus = read("prometheus.yml")
    asked = [
        *[
            target
            for job in prometheus["scrape_configs"]
            for told in job["static_configs"]
            for target in told["targets"]
        ],
        *[
            target
            for manager in prometheus["alerting"]["alertmanagers"]
            for told in manager["static_configs"]
            for target in told["targets"]
        ],
        *[each["url"].removeprefix("http://") for each in sources()],
        SERVICES["exporter"]["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"].removeprefix("http://"),
    ]
    ports = {"exporter": {PORT}, "prometheus": {9090}, "alertmanager": {9093}, "jaeger": {4318, 16686}}
    assert [place for place in asked if int(place.partition(":")[2]) not in ports[place.partition(":")[0]]] == []
    assert {job["job_name"] for job in prometheus["scrape_configs"]} == {"datarobot"}, "what the alert rules ask for"


# -- what the others read


def sources() -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = read("grafana/provisioning/datasources/datarobot.yaml")["datasources"]
    return told


@pytest.mark.real
def test_prometheus_takes_its_configuration_as_its_container_sees_it(tmp_path: Path) -> None:
    for path, target in mounts("prometheus"):
        place = tmp_path / target.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
    (config,) = [word.partition("=")[2] for word in SERVICES["prometheus"]["command"] if "config.file" in word]
    told = subprocess.run(
        [component("promtool"), "check", "config", tmp_path / config.lstrip("/")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    assert re.search(r"SUCCESS: \d+ rules found", told.stdout)


@pytest.mark.real
def test_alertmanager_takes_its_configuration() -> None:
    told = subprocess.run(
        [component("amtool"), "check-config", DEPLOY / "alertmanager.yml"], capture_output=True, text=True, check=False
    )
    assert (told.returncode, "SUCCESS" in told.stdout) == (0, True), told.stderr


def test_grafana_finds_its_datasources_and_its_dashboards() -> None:
    told = sources()
    assert len({each["uid"] for each in told}) == len(told)
    assert [each["type"] for each in told if each.get("isDefault")] == ["prometheus"]
    (provider,) = read("grafana/provisioning/dashboards/datarobot.yaml")["providers"]
    state = {target: path for path, target in mounts("grafana")}
    assert state[provider["options"]["path"]] == ROOT / "dashboards"
    assert state["/etc/grafana/provisioning"] == DEPLOY / "grafana" / "provisioning"


def test_an_exemplar_leads_to_its_trace() -> None:
    assert "--enable-feature=exemplar-storage" in SERVICES["prometheus"]["command"]
    kinds = {each["uid"]: each["type"] for each in sources()}
    (prometheus,) = [each for each in sources() if each["type"] == "prometheus"]
    (way,) = prometheus["jsonData"]["exemplarTraceIdDestinations"]
    report = Report(0.0)
    report.account("acme", 30.0, 10.0).made(EpisodeTrace("start", "success", 90.0, Trace(bytes(16), {}, ())))
    assert f'# {{{way["name"]}="{bytes(16).hex()}"}} 90.0' in report.openmetrics().decode()
    assert kinds[way["datasourceUid"]] == "jaeger"


# -- labels of targets

ATTACHED = {"namespace", "pod", "service", "endpoint", "container", "job", "instance", "node", "prometheus"}
"""What the Prometheus operator attaches to a target, or to what it sends on."""
LABELS = {
    *COMMON_LABELS,
    *(label for rows in (FAMILIES, ACCOUNTS, OWN_METRICS) for row in rows for label in row.labels),
}
LABELS |= set(re.findall(r'[{,](\w+)="', Report(0.0).text().decode()))


def scrape_jobs() -> Iterator[tuple[str, bool, set[str]]]:
    """Each job that scrapes the exporter in deploy/, README and docs: where, `honor_labels`, the labels it attaches."""
    for endpoint in manifest("ServiceMonitor")["spec"]["endpoints"]:
        yield "servicemonitor.yaml", endpoint.get("honorLabels", False), ATTACHED
    files = {str(file): file.read_text() for file in DEPLOY.glob("*.y*ml")} | {
        each.place: each.text for each in blocks()
    }
    for place, text in files.items():
        for job in yaml.safe_load(text).get("scrape_configs", ()):
            if job.get("metrics_path", "/metrics") == "/metrics":
                labels = {label for group in job.get("static_configs", ()) for label in group.get("labels", ())}
                labels |= {rule["target_label"] for rule in job.get("relabel_configs", ()) if "target_label" in rule}
                of_pods = ATTACHED if "kubernetes_sd_configs" in job else set()
                yield place, job.get("honor_labels", False), {"job", "instance"} | labels | of_pods


def test_no_job_that_is_shown_lets_a_label_of_the_target_take_the_place_of_ours() -> None:
    jobs = list(scrape_jobs())
    assert {place.rpartition("/")[2].partition(":")[0] for place, *_ in jobs} >= {
        "servicemonitor.yaml", "prometheus.yml", "README.md",
    }  # fmt: skip
    assert {place: labels & LABELS for place, honoured, labels in jobs if labels & LABELS and not honoured} == {}


def test_no_metric_of_ours_has_a_label_that_only_the_target_has() -> None:
    """With honor_labels it would replace the job that alert rules ask for, or the instance."""
    assert LABELS & {"job", "instance", "namespace", "pod", "service", "node", "prometheus"} == set()


# -- kubernetes


def test_labels_ports_volumes_and_secrets_of_the_manifests_agree() -> None:
    labels = POD["metadata"]["labels"]
    service = manifest("Service")
    assert manifest("Deployment")["spec"]["selector"]["matchLabels"] == labels
    assert service["spec"]["selector"] == labels
    assert manifest("NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == labels
    assert manifest("ServiceMonitor")["spec"]["selector"]["matchLabels"] == service["metadata"]["labels"]
    (port,) = CONTAINER["ports"]
    (asked,) = manifest("ServiceMonitor")["spec"]["endpoints"]
    assert (port["name"], port["containerPort"]) == (asked["port"], PORT)
    assert {told["port"] for told in service["spec"]["ports"]} == {PORT}
    (allowed,) = manifest("NetworkPolicy")["spec"]["ingress"]
    assert allowed["ports"] == [{"protocol": "TCP", "port": PORT}]
    volumes = {volume["name"]: volume for volume in POD["spec"]["volumes"]}
    mounted = {mount["name"]: mount["mountPath"] for mount in CONTAINER["volumeMounts"]}
    assert volumes.keys() == mounted.keys()
    secret = manifest("Secret")
    (item,) = volumes["token"]["secret"]["items"]
    environment = {each["name"]: each for each in CONTAINER["env"]}
    reference = environment["DATAROBOT_ENDPOINT"]["valueFrom"]["secretKeyRef"]
    assert {volumes["token"]["secret"]["secretName"], reference["name"]} == {secret["metadata"]["name"]}
    assert {item["key"], reference["key"]} == secret["stringData"].keys()
    assert environment["DATAROBOT_API_TOKEN_FILE"]["value"] == f"{mounted['token']}/{item['path']}"
    (state,) = [word.partition("=")[2] for word in CONTAINER["args"] if word.startswith("--state.path=")]
    assert state.startswith(f"{mounted['state']}/")
    assert (
        volumes["state"]["persistentVolumeClaim"]["claimName"] == manifest("PersistentVolumeClaim")["metadata"]["name"]
    )


def test_the_pod_is_nobody_and_writes_nowhere_but_its_state() -> None:
    pod, own = POD["spec"]["securityContext"], CONTAINER["securityContext"]
    user, _, group = re.findall(r"^USER (\d+)(:)(\d+)$", DOCKERFILE, re.MULTILINE)[0]
    assert (pod["runAsNonRoot"], pod["runAsUser"], pod["runAsGroup"]) == (True, int(user), int(group))
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert own == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    assert POD["spec"]["automountServiceAccountToken"] is False


def test_probes_ask_what_the_program_answers() -> None:
    probes = {name: CONTAINER[f"{name}Probe"]["httpGet"] for name in ("liveness", "readiness")}
    assert {name: probe["path"] for name, probe in probes.items()} == {
        "liveness": "/-/healthy",
        "readiness": "/-/ready",
    }
    assert {probe["port"] for probe in probes.values()} == {"metrics"}


def test_the_kustomization_names_manifests_that_are_there() -> None:
    told = manifest("Kustomization")
    assert [name for name in told["resources"] if not (DEPLOY / "kubernetes" / name).exists()] == []
    assert {told["namespace"]} == {
        each["metadata"]["namespace"] for each in (manifest("Secret"), manifest("ServiceMonitor"))
    }


# -- systemd


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The unit with a program in it that is there: systemd looks for it."""
    file = tmp_path / "workload-exporter.service"
    program = shlex.split(unit("ExecStart")[0])[0]
    file.write_text(UNIT.replace(program, shutil.which("true") or "/bin/true"))
    return file


@pytest.mark.real
def test_systemd_has_nothing_to_say_against_the_unit(installed: Path) -> None:
    told = subprocess.run(
        [component("systemd-analyze"), "verify", installed], capture_output=True, text=True, check=False
    )
    assert (told.returncode, told.stderr) == (0, "")


@pytest.mark.real
def test_systemd_finds_the_unit_little_exposed(installed: Path) -> None:
    """On systemd's scale from 0 to 10; a unit without hardening has 9.6."""
    told = subprocess.run(
        [component("systemd-analyze"), "security", "--offline=true", "--threshold=20", "--no-pager", installed],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stdout[-300:]


def test_systemd_tries_again_after_a_failure_but_not_after_bad_settings() -> None:
    assert (unit("Restart"), unit("RestartPreventExitStatus")) == (["on-failure"], ["2"])


def test_systemd_lets_the_process_leave_no_core_file_from_its_first_moment_on() -> None:
    assert unit("LimitCORE") == ["0"]


# -- the collector that hands traces on to DataRobot

COLLECTOR_TEXT = (DEPLOY / "otel-collector.example.yaml").read_text()
COLLECTOR = yaml.safe_load(COLLECTOR_TEXT)
ROUTES = COLLECTOR["connectors"]["routing"]["table"]
PIPELINES: dict[str, dict[str, list[str]]] = COLLECTOR["service"]["pipelines"]


def test_every_part_of_a_pipeline_of_the_collector_is_there_and_every_part_is_used() -> None:
    for side in ("receivers", "exporters"):
        there = COLLECTOR[side].keys() | COLLECTOR["connectors"].keys()
        assert {name for pipeline in PIPELINES.values() for name in pipeline[side]} == there
    routed = {name for route in ROUTES for name in route["pipelines"]}
    routed |= {*COLLECTOR["connectors"]["routing"]["default_pipelines"]}
    assert routed == {name for name, pipeline in PIPELINES.items() if pipeline["receivers"] == ["routing"]}


def test_the_collector_tells_datarobot_of_each_workload_in_its_own_name() -> None:
    for route in ROUTES:
        (workload,) = re.findall(r'^attributes\["datarobot\.workload\.id"\] == "(\w+)"$', route["condition"])
        sent = [COLLECTOR["exporters"][name] for place in route["pipelines"] for name in PIPELINES[place]["exporters"]]
        (theirs,) = (each for each in sent if "headers" in each)
        assert theirs["headers"]["X-DataRobot-Entity-Id"] == f"workload-{workload}"
        assert theirs["traces_endpoint"] == "${env:DATAROBOT_HOST}/otel/v1/traces"


def test_no_secret_stands_in_the_file_of_the_collector() -> None:
    keys = {each["headers"]["X-DataRobot-Api-Key"] for each in COLLECTOR["exporters"].values() if "headers" in each}
    assert keys == {"${env:DATAROBOT_API_TOKEN}"}
    assert re.findall(r"(?i)(?:token|secret|password|key)\s*: *(?!\$\{env:)\S+", COLLECTOR_TEXT) == []
