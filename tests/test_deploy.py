"""The files of deploy/ are valid and consistent with each other and with the program.

No container is started. Files are checked with Prometheus, Alertmanager, systemd and Compose where possible.
"""

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from exporter.cli.main import parser
from exporter.cli.own_server import LOGIN
from exporter.metrics.account_families import ACCOUNTS
from exporter.metrics.family import COMMON_LABELS
from exporter.metrics.registry import FAMILIES
from exporter.settings.loader import load
from exporter.telemetry.own_metrics import OWN_METRICS
from exporter.telemetry.report import Report
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
REPLICAS = ("exporter-1", "exporter-2")
UNIT = (DEPLOY / "workload-exporter.service").read_text()
POD = manifest("Deployment")["spec"]["template"]
(CONTAINER,) = POD["spec"]["containers"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def without_variables(text: str, **given: str) -> str:
    """A text with ``${NAME:-default}`` substituted."""
    return re.sub(r"\$\{(\w+):-([^}]*)\}", lambda match: given.get(match[1], match[2]), text)


def mounts(service: str) -> Iterator[tuple[Path, str]]:
    """The files and folders of the repository that a service mounts, with their target paths."""
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
        *[[without_variables(word) for word in SERVICES[replica]["command"]] for replica in REPLICAS],
        CONTAINER["args"],
        shlex.split(unit("ExecStart")[0])[1:],
    ],
    ids=["demo of compose", "run of compose", *REPLICAS, "kubernetes", "systemd"],
)
def test_the_program_accepts_the_command_and_every_flag(arguments: list[str]) -> None:
    options = parser(arguments[0]).parse_args(arguments)
    assert options.command in ("run", "demo")
    assert str(PORT) in " ".join(vars(options)["web.listen_address"] or [str(PORT)])


def test_the_environment_of_compose_configures_one_account() -> None:
    environment = {
        name: without_variables(value, DATAROBOT_API_TOKEN="secret")
        for name, value in SERVICES["exporter"]["environment"].items()
    }
    (account,) = load(None, environment).accounts
    assert (account.endpoint, account.token_env) == ("https://app.datarobot.com/api/v2", "DATAROBOT_API_TOKEN")


def test_every_compose_variable_has_a_default() -> None:
    assert re.findall(r"\$\{\w+[^:\w]", (DEPLOY / "compose.yaml").read_text()) == []


def test_kubernetes_and_systemd_provide_the_token_as_a_file(tmp_path: Path) -> None:
    named = {each["name"] for each in CONTAINER["env"]} | {pair.partition("=")[0] for pair in unit("Environment")}
    assert named == {"DATAROBOT_ENDPOINT", "DATAROBOT_API_TOKEN_FILE", LOGIN}
    (tmp_path / "token").write_text("secret")
    (account,) = load(None, {"DATAROBOT_API_TOKEN_FILE": str(tmp_path / "token")}).accounts
    assert account.token_file == tmp_path / "token"


# -- compose


@pytest.mark.real
@pytest.mark.parametrize("options", [[], ["--profile", "postgresql"]], ids=["default", "postgresql"])
def test_compose_accepts_its_file(options: list[str]) -> None:
    done = subprocess.run(
        [component("docker-compose"), "-f", DEPLOY / "compose.yaml", *options, "config"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert set(yaml.safe_load(done.stdout)["services"]) == set(SERVICES)


def test_the_profile_adds_two_replicas_that_share_a_database() -> None:
    in_profile = {name for name, service in SERVICES.items() if service.get("profiles") == ["postgresql"]}
    assert in_profile == {*REPLICAS, "postgresql"}
    database = SERVICES["postgresql"]
    user, password = (database["environment"][f"POSTGRES_{name}"] for name in ("USER", "PASSWORD"))
    for replica in REPLICAS:
        command = [without_variables(each, EXPORTER_COMMAND="run") for each in SERVICES[replica]["command"]]
        options = vars(parser("run").parse_args(command))
        assert options["state.url"] == f"postgresql://{user}@postgresql/{user}"
        assert options["select.shard"] == "auto"
        assert f"--advertise-url=http://{replica}:{PORT}" in command
        assert SERVICES[replica]["environment"]["PGPASSWORD"] == password
        assert SERVICES[replica]["read_only"] is True
    assert "ports" not in database, "its password is in this file"


def test_mounted_files_exist() -> None:
    assert {str(path.relative_to(ROOT)) for service in SERVICES for path, _ in mounts(service)} == {
        "alerts/rules.yml",
        "dashboards",
        "deploy/alertmanager.yml",
        "deploy/grafana/provisioning",
        "deploy/prometheus.yml",
    }
    for service in SERVICES:
        assert [str(path) for path, _ in mounts(service) if not path.exists()] == []


def test_images_have_a_version_and_ours_is_built_from_the_dockerfile() -> None:
    for name, service in SERVICES.items():
        if "build" in service:
            assert (DEPLOY / service["build"] / "Dockerfile").exists()
        else:
            assert re.search(r":v?\d+\.\d+(\.\d+)?$", service["image"]), name


def test_ports_are_published_on_loopback_only() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert len({*published}) == len(SERVICES) - 1, "the database is published nowhere"
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []


def test_files_name_existing_services() -> None:
    prometheus = read("prometheus.yml")
    addresses = [
        *[
            target
            for job in prometheus["scrape_configs"]
            for group in job["dns_sd_configs"]
            for target in [f"{name}:{group['port']}" for name in group["names"]]
        ],
        *[
            target
            for manager in prometheus["alerting"]["alertmanagers"]
            for group in manager["static_configs"]
            for target in group["targets"]
        ],
        *[each["url"].removeprefix("http://") for each in sources()],
        SERVICES["exporter"]["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"].removeprefix("http://"),
    ]
    assert {place for place in addresses if place.startswith("exporter")} == {
        f"{name}:{PORT}" for name in ("exporter", *REPLICAS)
    }
    ports = {name: {PORT} for name in ("exporter", *REPLICAS)}
    ports |= {"prometheus": {9090}, "alertmanager": {9093}, "jaeger": {4318, 16686}}
    assert [place for place in addresses if int(place.partition(":")[2]) not in ports[place.partition(":")[0]]] == []
    assert {job["job_name"] for job in prometheus["scrape_configs"]} == {"datarobot"}, "the alert rules select this job"


# -- configuration of the other services


def sources() -> list[dict[str, Any]]:
    datasources: list[dict[str, Any]] = read("grafana/provisioning/datasources/datarobot.yaml")["datasources"]
    return datasources


@pytest.mark.real
def test_prometheus_accepts_its_configuration_with_the_mounts_of_its_container(tmp_path: Path) -> None:
    for path, target in mounts("prometheus"):
        place = tmp_path / target.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
    (config,) = [word.partition("=")[2] for word in SERVICES["prometheus"]["command"] if "config.file" in word]
    done = subprocess.run(
        [component("promtool"), "check", "config", tmp_path / config.lstrip("/")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"SUCCESS: \d+ rules found", done.stdout)


@pytest.mark.real
def test_alertmanager_accepts_its_configuration() -> None:
    done = subprocess.run(
        [component("amtool"), "check-config", DEPLOY / "alertmanager.yml"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, "SUCCESS" in done.stdout) == (0, True), done.stderr


def test_grafana_can_find_its_datasources_and_dashboards() -> None:
    datasources = sources()
    assert len({each["uid"] for each in datasources}) == len(datasources)
    assert [each["type"] for each in datasources if each.get("isDefault")] == ["prometheus"]
    (provider,) = read("grafana/provisioning/dashboards/datarobot.yaml")["providers"]
    state = {target: path for path, target in mounts("grafana")}
    assert state[provider["options"]["path"]] == ROOT / "dashboards"
    assert state["/etc/grafana/provisioning"] == DEPLOY / "grafana" / "provisioning"


def test_an_exemplar_links_to_its_trace() -> None:
    assert "--enable-feature=exemplar-storage" in SERVICES["prometheus"]["command"]
    kinds = {each["uid"]: each["type"] for each in sources()}
    (prometheus,) = [each for each in sources() if each["type"] == "prometheus"]
    (destination,) = prometheus["jsonData"]["exemplarTraceIdDestinations"]
    report = Report(0.0)
    report.account("acme", 30.0, 10.0).episode_ended(EpisodeTrace("start", "success", 90.0, Trace(bytes(16), {}, ())))
    assert f'# {{{destination["name"]}="{bytes(16).hex()}"}} 90.0' in report.openmetrics().decode()
    assert kinds[destination["datasourceUid"]] == "jaeger"


# -- labels of targets

ATTACHED = {"namespace", "pod", "service", "endpoint", "container", "job", "instance", "node", "prometheus"}
"""Labels that the Prometheus operator adds to targets and to remote writes."""
LABELS = {
    *COMMON_LABELS,
    *(label for rows in (FAMILIES, ACCOUNTS, OWN_METRICS) for row in rows for label in row.labels),
}
LABELS |= set(re.findall(r'[{,](\w+)="', Report(0.0).text().decode()))


def scrape_jobs() -> Iterator[tuple[str, bool, set[str]]]:
    """Each job in deploy/, README and docs that scrapes the exporter: place, `honor_labels`, added labels."""
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


def test_no_job_overwrites_our_labels_with_target_labels() -> None:
    jobs = list(scrape_jobs())
    assert {place.rpartition("/")[2].partition(":")[0] for place, *_ in jobs} >= {
        "servicemonitor.yaml", "prometheus.yml", "README.md",
    }  # fmt: skip
    assert {place: labels & LABELS for place, honoured, labels in jobs if labels & LABELS and not honoured} == {}


def test_our_metrics_have_no_target_labels() -> None:
    """With honor_labels such a label would replace the job that alert rules select, or the instance."""
    assert LABELS & {"job", "instance", "namespace", "pod", "service", "node", "prometheus"} == set()


# -- kubernetes


def test_labels_ports_volumes_and_secrets_of_the_manifests_are_consistent() -> None:
    labels = POD["metadata"]["labels"]
    service = manifest("Service")
    assert manifest("Deployment")["spec"]["selector"]["matchLabels"] == labels
    assert service["spec"]["selector"] == labels
    assert manifest("NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == labels
    assert manifest("ServiceMonitor")["spec"]["selector"]["matchLabels"] == service["metadata"]["labels"]
    (port,) = CONTAINER["ports"]
    (scraped,) = manifest("ServiceMonitor")["spec"]["endpoints"]
    assert (port["name"], port["containerPort"]) == (scraped["port"], PORT)
    assert {exposed["port"] for exposed in service["spec"]["ports"]} == {PORT}
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


def test_kubernetes_accepts_the_manifests() -> None:
    for kind in ("Deployment", "NetworkPolicy", "PersistentVolumeClaim", "Secret", "Service"):
        for version in ("1.27", "1.37"):
            assert kubernetes_validate.validate(manifest(kind), version, strict=True) == version


def test_the_pod_has_no_privileges_and_a_read_only_file_system() -> None:
    pod, own = POD["spec"]["securityContext"], CONTAINER["securityContext"]
    user, _, group = re.findall(r"^USER (\d+)(:)(\d+)$", DOCKERFILE, re.MULTILINE)[0]
    assert (pod["runAsNonRoot"], pod["runAsUser"], pod["runAsGroup"]) == (True, int(user), int(group))
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert own == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    assert POD["spec"]["automountServiceAccountToken"] is False


def test_probes_use_the_command_that_passes_any_web_config() -> None:
    probes = {name: CONTAINER[f"{name}Probe"]["exec"]["command"] for name in ("liveness", "readiness")}
    assert {probe[0] for probe in probes.values()} == {"workload-exporter"}
    ready = {name: parser(probe[1]).parse_args(probe[1:]).ready for name, probe in probes.items()}
    assert ready == {"liveness": False, "readiness": True}
    login = next(each for each in CONTAINER["env"] if each["name"] == LOGIN)
    assert login["valueFrom"]["secretKeyRef"]["optional"] is True


def test_the_kustomization_names_existing_manifests() -> None:
    kustomization = manifest("Kustomization")
    assert [name for name in kustomization["resources"] if not (DEPLOY / "kubernetes" / name).exists()] == []
    assert {kustomization["namespace"]} == {
        each["metadata"]["namespace"] for each in (manifest("Secret"), manifest("ServiceMonitor"))
    }


# -- systemd


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The unit with the path of an existing program, which systemd requires."""
    file = tmp_path / "workload-exporter.service"
    program = shlex.split(unit("ExecStart")[0])[0]
    file.write_text(UNIT.replace(program, shutil.which("true") or "/bin/true"))
    return file


@pytest.mark.real
def test_systemd_accepts_the_unit(installed: Path) -> None:
    done = subprocess.run(
        [component("systemd-analyze"), "verify", installed], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.real
def test_systemd_rates_the_unit_as_well_protected(installed: Path) -> None:
    """On systemd's scale from 0 to 10; a unit without hardening has 9.6."""
    done = subprocess.run(
        [component("systemd-analyze"), "security", "--offline=true", "--threshold=20", "--no-pager", installed],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-300:]


def test_systemd_restarts_after_a_failure_but_not_after_invalid_settings() -> None:
    assert (unit("Restart"), unit("RestartPreventExitStatus")) == (["on-failure"], ["2"])


def test_systemd_disables_core_files() -> None:
    assert unit("LimitCORE") == ["0"]


# -- the collector that forwards traces to DataRobot

COLLECTOR_TEXT = (DEPLOY / "otel-collector.example.yaml").read_text()
COLLECTOR = yaml.safe_load(COLLECTOR_TEXT)
ROUTES = COLLECTOR["connectors"]["routing"]["table"]
PIPELINES: dict[str, dict[str, list[str]]] = COLLECTOR["service"]["pipelines"]


def test_every_component_of_the_collector_is_defined_and_used() -> None:
    for side in ("receivers", "exporters"):
        defined = COLLECTOR[side].keys() | COLLECTOR["connectors"].keys()
        assert {name for pipeline in PIPELINES.values() for name in pipeline[side]} == defined
    routed = {name for route in ROUTES for name in route["pipelines"]}
    routed |= {*COLLECTOR["connectors"]["routing"]["default_pipelines"]}
    assert routed == {name for name, pipeline in PIPELINES.items() if pipeline["receivers"] == ["routing"]}


def test_the_collector_sends_each_trace_with_the_id_of_its_workload() -> None:
    for route in ROUTES:
        (workload,) = re.findall(r'^attributes\["datarobot\.workload\.id"\] == "(\w+)"$', route["condition"])
        sent = [COLLECTOR["exporters"][name] for place in route["pipelines"] for name in PIPELINES[place]["exporters"]]
        (theirs,) = (each for each in sent if "headers" in each)
        assert theirs["headers"]["X-DataRobot-Entity-Id"] == f"workload-{workload}"
        assert theirs["traces_endpoint"] == "${env:DATAROBOT_HOST}/otel/v1/traces"


def test_the_file_of_the_collector_contains_no_secret() -> None:
    keys = {each["headers"]["X-DataRobot-Api-Key"] for each in COLLECTOR["exporters"].values() if "headers" in each}
    assert keys == {"${env:DATAROBOT_API_TOKEN}"}
    assert re.findall(r"(?i)(?:token|secret|password|key)\s*: *(?!\$\{env:)\S+", COLLECTOR_TEXT) == []
