"""The Helm chart: its values, and the manifests that it renders.

`make test` checks the renderings in tests/golden/helm, which need no Helm. Tests with Helm are exhaustive: they show
that these renderings are current (UPDATE_GOLDEN=1 writes them), and what the chart refuses.
"""

import base64
import copy
import gzip
import json
import re
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

import exporter
from dashboards import FILES as DASHBOARDS
from exporter.cli.main import parser
from exporter.cli.own_server import LOGIN
from exporter.settings.loader import load
from exporter.settings.yaml_file import read
from tests.components import component
from tests.goldens import check_golden
from tests.test_deploy import CONTAINER, POD
from tests.test_deploy import manifest as kustomize
from tests.test_snippets import SETTINGS, Block

ROOT = Path(__file__).parent.parent
CHART = ROOT / "deploy/helm/workload-exporter"
GOLDEN = ROOT / "tests/golden/helm"
README = CHART / "README.md"
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
ABOUT: dict[str, Any] = yaml.safe_load((CHART / "Chart.yaml").read_text())
NAMES = ("default", "monitoring", "postgresql", "everything")
OLDEST, CURRENT = "1.27", "1.37"
"""Versions of Kubernetes: the oldest of Chart.yaml, and a current one."""


def merged(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Values as Helm merges them: mappings by key, anything else as a whole; null removes a default."""
    made = copy.deepcopy(dict(defaults))
    for name, value in given.items():
        if value is None:
            made.pop(name, None)
        elif isinstance(value, dict) and isinstance(made.get(name), dict):
            made[name] = merged(made[name], value)
        else:
            made[name] = value
    return made


def problems(given: Mapping[str, Any]) -> list[str]:
    """What the schema says about values of a user."""
    errors = jsonschema.Draft7Validator(SCHEMA).iter_errors(merged(VALUES, given))
    return [f"{'.'.join(map(str, error.absolute_path))}: {error.message}" for error in errors]


def given_values(name: str) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((GOLDEN / f"{name}.values.yaml").read_text())
    return values


# -- values


def test_the_schema_is_valid_and_accepts_the_default_values() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    assert problems({}) == []


@pytest.mark.parametrize("name", NAMES)
def test_the_schema_accepts_the_values_of_a_rendering(name: str) -> None:
    assert problems(given_values(name)) == []


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"replica": 2}, ": Additional properties are not allowed ('replica' was unexpected)"),
        ({"replicas": "2"}, "replicas: '2' is not of type 'integer'"),
        ({"image": {"digest": "aaaa"}}, "image.digest: 'aaaa' does not match '^(sha256:[0-9a-f]{64})?$'"),
        ({"port": 0}, "port: 0 is less than the minimum of 1"),
        ({"extraArgs": "--log.level=debug"}, "extraArgs: '--log.level=debug' is not of type 'array'"),
        ({"serviceMonitor": {"interval": "often"}}, "serviceMonitor.interval: 'often' does not match '^[0-9]+(s|m)$'"),
        ({"secret": {"values": {"token": 7}}}, "secret.values.token: 7 is not of type 'string'"),
        ({"settings": {"sweeps": {}}}, "settings: Additional properties are not allowed ('sweeps' was unexpected)"),
        (
            {"settings": {"sweep": {"interval": True}}},
            "settings.sweep.interval: True is not of type 'number', 'string'",
        ),
        (
            {"settings": {"accounts": [{"token": "secret"}]}},
            "settings.accounts.0: Additional properties are not allowed ('token' was unexpected)",
        ),
        (
            {"settings": {"state": {"url": "postgresql://db/exporter", "password": "secret"}}},
            "settings.state: Additional properties are not allowed ('password' was unexpected)",
        ),
        (
            {"settings": {"paging": {"receivers": [{"name": "team", "kind": "slack", "webhook": "https://x"}]}}},
            "settings.paging.receivers.0: Additional properties are not allowed ('webhook' was unexpected)",
        ),
        (
            {"settings": {"paging": {"receivers": [{"name": "team", "kind": "email"}]}}},
            "settings.paging.receivers.0.kind: 'email' is not one of "
            "['alertmanager', 'apprise', 'pagerduty', 'slack', 'webhook']",
        ),
    ],
    ids=lambda each: "" if isinstance(each, dict) else each.partition(":")[0] or "top",
)  # fmt: skip
def test_unknown_values_and_wrong_types_are_refused_with_one_message(given: dict[str, Any], problem: str) -> None:
    assert problems(given) == [problem]


@pytest.mark.parametrize("block", SETTINGS, ids=lambda block: block.place)
def test_documented_settings_can_be_values(block: Block, tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text(block.text)
    assert problems({"settings": read(tmp_path / "settings.yaml", [])[0]}) == []


def described(
    schema: Mapping[str, Any], defaults: Mapping[str, Any], before: str = ""
) -> Iterator[tuple[str, Any, str]]:
    """Each value with its default and description."""
    for name, part in schema["properties"].items():
        if "properties" in part:
            assert isinstance(defaults[name], dict), f"{before}{name}"
            yield from described(part, defaults[name], f"{before}{name}.")
        elif f"{before}{name}" not in ("global", "settings"):
            yield f"{before}{name}", defaults[name], part["description"]


LONG = 60
"""Characters of a default that is not shown in the table."""


def values_table() -> str:
    lines = ["| Value | Default | Meaning |", "|---|---|---|"]
    for name, default, meaning in described(SCHEMA, VALUES):
        text = json.dumps(default)
        shown = "none" if default in ("", [], {}) else f"`{text}`" if len(text) < LONG else "[values.yaml](values.yaml)"
        lines.append(f"| `{name}` | {shown} | {meaning} |")
    return "\n".join(lines) + "\n"


def test_the_readme_lists_every_value_with_its_default() -> None:
    begin, end = "<!-- values -->\n", "<!-- end of values -->\n"
    before, rest = README.read_text().split(begin)
    check_golden(README, before + begin + values_table() + end + rest.split(end)[1])


def test_every_default_is_in_the_schema() -> None:
    assert VALUES.keys() == SCHEMA["properties"].keys() - {"global"}
    for name, part in SCHEMA["properties"].items():
        if "properties" in part:
            assert VALUES[name].keys() == part["properties"].keys(), name


def test_the_readme_shows_accepted_values() -> None:
    found = re.findall(r"^```yaml\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    assert len(found) >= 3
    assert [problems(yaml.safe_load(block)) for block in found] == [[]] * len(found)


def test_links_of_the_readme_lead_to_files() -> None:
    places = [place.partition("#")[0] for place in re.findall(r"\]\(([^)]*)\)", README.read_text())]
    assert [place for place in places if not (CHART / place).exists()] == []


def test_the_chart_has_the_version_of_the_exporter() -> None:
    assert ABOUT["appVersion"] == ABOUT["version"] == exporter.__version__
    assert ABOUT["kubeVersion"] == f">={OLDEST}.0-0"


def test_the_chart_has_a_copy_of_each_dashboard() -> None:
    copies = {file.name: file.read_text() for file in (CHART / "files/dashboards").iterdir()}
    assert copies == DASHBOARDS, "run `make dashboards`"


# -- renderings


def manifests(name: str) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all((GOLDEN / f"{name}.yaml").read_text()) if each]


def of_kind(name: str, kind: str) -> dict[str, Any]:
    (only,) = [each for each in manifests(name) if each["kind"] == kind]
    return only


def pod(name: str) -> dict[str, Any]:
    template: dict[str, Any] = of_kind(name, "StatefulSet")["spec"]["template"]
    return template


def container(name: str) -> dict[str, Any]:
    (only,) = pod(name)["spec"]["containers"]
    made: dict[str, Any] = only
    return made


KINDS = {
    "default": ["ConfigMap", "PersistentVolumeClaim", "Service", "ServiceAccount", "StatefulSet"],
    "monitoring": [
        *["ConfigMap"] * 7, "NetworkPolicy", "PersistentVolumeClaim", "PrometheusRule", "Service", "ServiceAccount",
        "ServiceMonitor", "StatefulSet",
    ],
    "postgresql": [
        "ConfigMap", "NetworkPolicy", "PodDisruptionBudget", "Secret", "Service", "ServiceAccount", "ServiceMonitor",
        "StatefulSet",
    ],
    "everything": [
        "ConfigMap", "NetworkPolicy", "PersistentVolumeClaim", "PrometheusRule", "Secret", "Service", "ServiceAccount",
        "ServiceMonitor", "StatefulSet",
    ],
}  # fmt: skip
OF_THE_OPERATOR = ("PrometheusRule", "ServiceMonitor")
"""Kinds that Kubernetes has no schema for."""
every = pytest.mark.parametrize("name", NAMES)


@every
def test_a_rendering_has_these_manifests(name: str) -> None:
    assert sorted(each["kind"] for each in manifests(name)) == KINDS[name]


@every
@pytest.mark.parametrize("version", [OLDEST, CURRENT])
def test_kubernetes_accepts_the_manifests(name: str, version: str) -> None:
    for each in manifests(name):
        if each["kind"] not in OF_THE_OPERATOR:
            assert kubernetes_validate.validate(each, version, strict=True) == version


def test_the_schemas_of_kubernetes_refuse_an_unknown_field() -> None:
    wrong = of_kind("default", "StatefulSet")
    wrong["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readynessProbe"):
        kubernetes_validate.validate(wrong, CURRENT, strict=True)


def test_the_container_is_that_of_the_manifests_without_helm() -> None:
    ours = container("default")
    for field in ("name", "image", "ports", "livenessProbe", "readinessProbe", "resources", "securityContext"):
        assert ours[field] == CONTAINER[field], field
    for field in ("automountServiceAccountToken", "terminationGracePeriodSeconds", "securityContext"):
        assert pod("default")["spec"][field] == POD["spec"][field], field
    settings = yaml.safe_load(of_kind("default", "ConfigMap")["data"]["settings.yaml"])
    in_file = {"--config.file=/etc/workload-exporter/settings.yaml", f"--log.format={settings['log']['format']}"}
    assert {*ours["args"]} | in_file == {*CONTAINER["args"]} | in_file
    assert [each for each in ours["env"] if each["name"] == LOGIN] == [
        each for each in CONTAINER["env"] if each["name"] == LOGIN
    ]
    (volume,) = [each["secret"] for each in pod("default")["spec"]["volumes"] if "secret" in each]
    (theirs,) = [each["secret"] for each in POD["spec"]["volumes"] if "secret" in each]
    assert (volume["secretName"], volume["defaultMode"]) == (theirs["secretName"], theirs["defaultMode"])
    for kind in ("PersistentVolumeClaim", "Service"):
        for field in ("accessModes", "resources", "publishNotReadyAddresses", "ports"):
            assert of_kind("default", kind)["spec"].get(field) == kustomize(kind)["spec"].get(field), field


@every
def test_the_program_accepts_arguments_and_settings(name: str, tmp_path: Path) -> None:
    arguments = container(name)["args"]
    options = vars(parser("run").parse_args(arguments))
    assert str(options["config_file"]) == "/etc/workload-exporter/settings.yaml"
    text = of_kind_named(name, "ConfigMap", of_kind(name, "StatefulSet")["metadata"]["name"])["data"]["settings.yaml"]
    for file in {*re.findall(r"(?:/var/run/secrets/datarobot|/etc/authorities)/[\w.-]+", text)}:
        (tmp_path / file.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file.lstrip("/")).write_text("k" * 32)
    local = re.sub(r"(_file: )(/)", rf"\1{tmp_path}\2", text)
    (tmp_path / "settings.yaml").write_text(local)
    settings = load(tmp_path / "settings.yaml", {})
    given = merged(VALUES, given_values(name))["settings"]
    assert [each.name for each in settings.accounts] == [each["name"] for each in given["accounts"]]
    assert settings.metrics.series_limit == given.get("metrics", {}).get("series_limit", 2_000_000)


def of_kind_named(name: str, kind: str, own: str) -> dict[str, Any]:
    (only,) = [each for each in manifests(name) if (each["kind"], each["metadata"]["name"]) == (kind, own)]
    return only


@every
def test_objects_refer_to_each_other(name: str) -> None:
    stateful = of_kind(name, "StatefulSet")
    own, spec, labels = stateful["metadata"]["name"], pod(name)["spec"], pod(name)["metadata"]["labels"]
    service = of_kind(name, "Service")
    assert stateful["spec"]["serviceName"] == service["metadata"]["name"] == own
    selectors = [stateful["spec"]["selector"]["matchLabels"], service["spec"]["selector"]]
    selectors += [
        each["spec"].get("podSelector", each["spec"].get("selector", {}))["matchLabels"]
        for each in manifests(name)
        if each["kind"] in ("NetworkPolicy", "PodDisruptionBudget")
    ]
    selectors += [each["labelSelector"]["matchLabels"] for each in spec.get("topologySpreadConstraints", ())]
    assert all(selector == selectors[0] and selector.items() <= labels.items() for selector in selectors)
    (port,) = container(name)["ports"]
    assert f"--web.listen-address=:{port['containerPort']}" in container(name)["args"]
    (exposed,) = service["spec"]["ports"]
    assert (exposed["port"], exposed["targetPort"], exposed["name"]) == (port["containerPort"], port["name"], "metrics")
    assert service["spec"]["clusterIP"] == "None", "each replica needs a name"
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    mounted = {mount["name"]: mount["mountPath"] for mount in container(name)["volumeMounts"]}
    assert volumes.keys() == mounted.keys()
    assert volumes["settings"]["configMap"]["name"] == own
    assert not any("subPath" in mount for mount in container(name)["volumeMounts"]), "a change would never arrive"
    assert spec["serviceAccountName"] == of_kind(name, "ServiceAccount")["metadata"]["name"]
    secret = volumes["secrets"]["secret"]["secretName"]
    (login,) = [each for each in container(name)["env"] if each["name"] == LOGIN]
    assert login["valueFrom"]["secretKeyRef"] == {"name": secret, "key": "login", "optional": True}
    kinds = {each["kind"] for each in manifests(name)}
    if "Secret" in kinds:
        assert of_kind(name, "Secret")["metadata"]["name"] == secret
        assert of_kind(name, "Secret")["stringData"] == given_values(name)["secret"]["values"]
    if "state" in volumes:
        claim = of_kind(name, "PersistentVolumeClaim")
        assert volumes["state"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
        assert f"--state.path={mounted['state']}/state.db" in container(name)["args"]


@every
def test_no_token_of_the_service_account_is_mounted(name: str) -> None:
    assert of_kind(name, "ServiceAccount")["automountServiceAccountToken"] is False
    assert pod(name)["spec"]["automountServiceAccountToken"] is False


@every
def test_no_secret_is_in_a_config_map(name: str) -> None:
    secrets = [value for each in manifests(name) if each["kind"] == "Secret" for value in each["stringData"].values()]
    texts = [each["data"] for each in manifests(name) if each["kind"] == "ConfigMap"]
    assert [value for value in secrets if value in json.dumps(texts)] == []


def test_replicas_share_the_database_and_no_volume() -> None:
    assert of_kind("postgresql", "StatefulSet")["spec"]["replicas"] == 2
    arguments = container("postgresql")["args"]
    assert "--shard=auto" in arguments
    (name,) = [each for each in container("postgresql")["env"] if each["name"] == "POD_NAME"]
    assert name["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"
    address = "http://$(POD_NAME).release-workload-exporter.exporters.svc:10142"
    assert f"--advertise-url={address}" in arguments
    assert [word for word in arguments if word.startswith("--state")] == []
    assert [*pod("postgresql")["spec"]["volumes"][0]] == ["name", "configMap"]
    assert {volume["name"] for volume in pod("postgresql")["spec"]["volumes"]} == {"settings", "secrets"}


def test_replicas_are_spread_and_a_drain_stops_one_at_a_time() -> None:
    spread = pod("postgresql")["spec"]["topologySpreadConstraints"]
    assert [(each["topologyKey"], each["whenUnsatisfiable"]) for each in spread] == [
        ("topology.kubernetes.io/zone", "ScheduleAnyway"),
        ("kubernetes.io/hostname", "ScheduleAnyway"),
    ]
    budget = of_kind("postgresql", "PodDisruptionBudget")["spec"]
    assert (budget["maxUnavailable"], budget["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")
    assert of_kind("postgresql", "StatefulSet")["spec"]["podManagementPolicy"] == "Parallel"


def test_the_claim_outlives_the_release() -> None:
    annotations = of_kind("default", "PersistentVolumeClaim")["metadata"]["annotations"]
    assert annotations == {"helm.sh/resource-policy": "keep"}


def test_without_a_client_certificate_readiness_is_not_probed() -> None:
    assert container("everything")["readinessProbe"]["exec"]["command"] == ["workload-exporter", "healthcheck"]
    assert "--web.config.file=/var/run/secrets/web-config/web.yml" in container("everything")["args"]


def test_a_digest_takes_precedence_over_a_tag() -> None:
    image = given_values("everything")["image"]
    assert container("everything")["image"] == f"datarobot-workload-exporter@{image['digest']}"


def test_a_default_can_be_removed() -> None:
    """In OpenShift, user and group are those of the namespace."""
    assert pod("everything")["spec"]["securityContext"] == {
        "runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"},
    }  # fmt: skip


@pytest.mark.parametrize("name", ["monitoring", "postgresql", "everything"])
def test_the_service_monitor_scrapes_as_that_of_the_manifests_without_helm(name: str) -> None:
    ours, theirs = of_kind(name, "ServiceMonitor"), kustomize("ServiceMonitor")
    assert (ours["apiVersion"], ours["spec"].keys()) == (theirs["apiVersion"], theirs["spec"].keys())
    assert ours["spec"]["selector"]["matchLabels"].items() <= of_kind(name, "Service")["metadata"]["labels"].items()
    (scraped,), (expected,) = ours["spec"]["endpoints"], theirs["spec"]["endpoints"]
    given = given_values(name)
    assert scraped == expected | {
        "path": given["settings"].get("web", {}).get("telemetry_path", "/metrics"),
        "scheme": "https" if "webConfig" in given else "http",
        **{field: value for field, value in given["serviceMonitor"].items() if field not in ("enabled", "labels")},
    }
    assert given["serviceMonitor"].get("labels", {}).items() <= ours["metadata"]["labels"].items()


SHIPPED = (CHART / "files/rules.yml").read_text()


def test_the_rules_are_the_shipped_ones_with_links_to_runbooks() -> None:
    rule = of_kind("monitoring", "PrometheusRule")
    assert rule["apiVersion"] == "monitoring.coreos.com/v1"
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    assert rule["spec"] == {"groups": [RULES.format("https://git.example.com/alerts/runbooks/")]}


def test_own_rules_replace_the_shipped_ones() -> None:
    given = yaml.safe_load(given_values("everything")["prometheusRule"]["rules"])
    assert of_kind("everything", "PrometheusRule")["spec"] == given


def test_the_network_policy_permits_the_database() -> None:
    policy = of_kind("postgresql", "NetworkPolicy")["spec"]
    theirs = kustomize("NetworkPolicy")["spec"]
    assert policy["ingress"] == theirs["ingress"]
    assert policy["egress"] == [*theirs["egress"], {"ports": [{"protocol": "TCP", "port": 6432}]}]


def test_the_network_policy_of_one_replica_is_that_of_the_manifests_without_helm() -> None:
    ours, theirs = of_kind("monitoring", "NetworkPolicy")["spec"], kustomize("NetworkPolicy")["spec"]
    assert {field: ours[field] for field in ours if field != "podSelector"} == {
        field: theirs[field] for field in theirs if field != "podSelector"
    }


def test_grafana_loads_each_dashboard() -> None:
    found = [
        each for each in manifests("monitoring") if each["kind"] == "ConfigMap" and "settings.yaml" not in each["data"]
    ]
    assert {name for each in found for name in each["data"]} == DASHBOARDS.keys()
    for each in found:
        assert each["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert each["metadata"]["annotations"] == {"grafana_folder": "DataRobot"}


# -- with Helm

RULES = "groups of files/rules.yml, with runbooks at {}"
COPIES = {name: f"content of files/dashboards/{name}" for name in DASHBOARDS}


def helm(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([component("helm"), *arguments], capture_output=True, text=True, check=False)


def rendered(values: Path | None, *more: str, chart: Path = CHART) -> subprocess.CompletedProcess[str]:
    given = () if values is None else (f"--values={values}",)
    return helm("template", "release", chart, "--namespace=exporters", f"--kube-version={CURRENT}", *given, *more)


def shortened(text: str) -> str:
    """A rendering in which rules and dashboards, once they are found to be complete, are replaced by their names."""
    for each in yaml.safe_load_all(text):
        for file in each.get("data", {}) if each else ():
            if file in DASHBOARDS:
                assert each["data"][file] == DASHBOARDS[file]
                text = text.replace(indented(DASHBOARDS[file], 4), f"    {COPIES[file]}\n")
    found = re.search(r"runbook_url: (.*)DataRobotWatchdog\.md", text)
    if found is not None:
        rules = SHIPPED.replace("alerts/runbooks/", found[1])
        assert yaml.safe_load(rules) in [each["spec"] for each in yaml.safe_load_all(text) if each and "spec" in each]
        text = text.replace(indented(rules, 2), f"  groups: ['{RULES.format(found[1])}']\n")
    return text


def indented(text: str, by: int) -> str:
    """The text as `indent` of a template writes it: also empty lines are indented."""
    return "".join(f"{' ' * by}{line}\n" for line in text.removesuffix("\n").split("\n"))


@pytest.mark.exhaustive
@every
def test_a_rendering_is_current(name: str) -> None:
    done = rendered(GOLDEN / f"{name}.values.yaml")
    assert (done.returncode, done.stderr) == (0, "")
    check_golden(GOLDEN / f"{name}.yaml", shortened(done.stdout))


@pytest.mark.exhaustive
@every
def test_helm_has_no_remark(name: str) -> None:
    done = helm("lint", CHART, "--strict", f"--values={GOLDEN / f'{name}.values.yaml'}", f"--kube-version={CURRENT}")
    assert (done.returncode, re.findall(r"\[(?:WARNING|ERROR)\].*", done.stdout)) == (0, []), done.stdout


def written(folder: Path, given: Mapping[str, Any]) -> Path:
    file = folder / "values.yaml"
    file.write_text(json.dumps(given))
    return file


DATABASE = {"url": "postgresql://db/exporter"}


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"replicas": 2}, "replicas: 2 needs settings.state.url, a PostgreSQL database: a state file has one writer"),
        (
            {"replicas": 2, "settings": {"state": DATABASE, "select": {"shard": "0/2"}}},
            "settings.select.shard: all replicas would monitor shard 0/2",
        ),
        ({"settings": {"state": {"path": "/tmp/state.db"}}}, "settings.state.path: remove it"),
        (
            {"settings": {"web": {"listen_address": [":80"]}}},
            "settings.web.listen_address: remove it; the chart sets it from the value port",
        ),
        (
            {"settings": {"web": {"config_file": "web.yml"}}},
            "settings.web.config_file: remove it; the chart sets it from the value webConfig",
        ),
        (
            {"prometheusRule": {"enabled": True}, "settings": {"alerts": {"thresholds": {"degraded_ratio": 0.7}}}},
            "set prometheusRule.rules to the output of `workload-exporter rules",
        ),
        ({"settings": {"sweep": {"every": "1m"}}}, "'/settings/sweep': additional properties 'every' not allowed"),
        ({"replicas": "2"}, "'/replicas': got string, want integer"),
        ({"settings": {"accounts": [{"token": "t"}]}}, "additional properties 'token' not allowed"),
    ],
    ids=lambda each: "" if isinstance(each, dict) else each[:40],
)  # fmt: skip
def test_helm_refuses_what_cannot_work(tmp_path: Path, given: dict[str, Any], message: str) -> None:
    done = rendered(written(tmp_path, given))
    assert done.returncode == 1
    assert message in done.stderr


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("given", "restarts"),
    [
        ({"settings": {"sweep": {"interval": "1m"}}}, False),
        ({"settings": {"accounts": [{"name": "other", "token_file": "/var/run/secrets/datarobot/other"}]}}, False),
        ({"settings": {"web": {"hosts": ["exporter.example.com"]}}}, False),
        ({"settings": {"log": {"level": "debug"}}}, False),
        ({"secret": {"values": {"token": "new"}}}, False),
        ({"settings": {"web": {"telemetry_path": "/m"}}}, True),
        ({"settings": {"state": {"on_trouble": "set_aside"}}}, True),
        ({"settings": {"state": DATABASE}}, True),
        ({"port": 8080}, True),
    ],
)
def test_pods_restart_for_what_takes_effect_at_the_next_start_only(
    tmp_path: Path, given: dict[str, Any], restarts: bool
) -> None:
    def template(values: Path | None) -> Any:
        (found,) = [
            each for each in yaml.safe_load_all(rendered(values).stdout) if each and each["kind"] == "StatefulSet"
        ]
        return found["spec"]["template"]

    assert (template(written(tmp_path, given)) != template(None)) is restarts


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "given",
    [
        {"persistence": {"enabled": False}},
        {"persistence": {"existingClaim": "workload-exporter"}},
        {"serviceAccount": {"create": False}},
        {"replicas": 0},
        {"replicas": 1, "settings": {"state": DATABASE, "select": {"shard": "1/3"}}},
        {"replicas": 5, "settings": {"state": DATABASE}, "topologySpreadConstraints": []},
        {"webConfig": {"secret": "web", "tls": True}, "replicas": 2, "settings": {"state": DATABASE}},
        {"securityContext": None, "podSecurityContext": None, "resources": None},
        {"settings": {"log": None}},
    ],
    ids=json.dumps,
)
def test_kubernetes_accepts_what_other_values_render(tmp_path: Path, given: dict[str, Any]) -> None:
    done = rendered(written(tmp_path, given))
    assert (done.returncode, done.stderr) == (0, "")
    made = [each for each in yaml.safe_load_all(done.stdout) if each]
    assert len(made) >= 4
    for each in made:
        kubernetes_validate.validate(each, CURRENT, strict=True)


MAX_RELEASE_BYTES = 1048576
"""Size of a Secret, in which Helm stores a release: chart, values and manifests, compressed and in base64."""


@pytest.mark.exhaustive
def test_a_packaged_chart_renders_the_same_and_a_release_fits_into_a_secret(tmp_path: Path) -> None:
    assert helm("package", CHART, f"--destination={tmp_path}").returncode == 0
    (package,) = tmp_path.glob("*.tgz")
    values = GOLDEN / "monitoring.values.yaml"
    manifest = rendered(values, chart=package).stdout
    assert manifest == rendered(values).stdout
    with tarfile.open(package) as opened:
        files = [opened.extractfile(each) for each in opened.getmembers() if each.isfile()]
        contents = [base64.b64encode(file.read()).decode() for file in files if file is not None]
    stored = base64.b64encode(base64.b64encode(gzip.compress(json.dumps([contents, manifest]).encode())))
    assert len(stored) < MAX_RELEASE_BYTES / 2
