"""The chart, offline: lint, what four sets of values render to, refusals, Pod Security, permissions, secrets."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from helm_python.chart import Chart, lint
from helm_python.errors import HelmError

from flows.launchers.cluster import ClusterSettings
from flows.settings import Settings
from jobs.launch import read_sections
from jobs.specs import JOBS

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "lenscore"
HERE = Path(__file__).parent
SETS = {path.stem: path for path in (CHART / "look.yaml", *sorted((HERE / "values").glob("*.yaml")))}
UNKNOWN = {"ServiceMonitor"}
"""Kinds of which Kubernetes has no schema of its own."""

Object = dict[str, Any]


def values(name: str) -> Object:
    """A set of values."""
    found: Object = yaml.safe_load(SETS[name].read_text())
    return found


def render(given: Object) -> list[Object]:
    """All objects that the chart makes of values, without the notes."""
    texts = Chart.load(CHART).render(given, name="look", namespace="lenses")
    parts = [text for path, text in texts.items() if not path.endswith("NOTES.txt")]
    return [item for text in parts for item in yaml.safe_load_all(text) if item]


@pytest.fixture(scope="module", params=list(SETS))
def rendered(request: pytest.FixtureRequest) -> tuple[str, list[Object]]:
    """A set of values by name, and its objects."""
    return request.param, render(values(request.param))


def pods(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    """Name and spec of all pods that objects make."""
    for item in objects:
        spec = item["spec"] if item["kind"] == "Pod" else item.get("spec", {}).get("template", {}).get("spec")
        if spec and "containers" in spec:
            yield f"{item['kind']} {item['metadata']['name']}", spec


def containers(spec: Object) -> list[Object]:
    """All containers of a pod."""
    return [*spec.get("initContainers", []), *spec["containers"]]


def summary(objects: list[Object]) -> str:
    """What matters of objects, a few lines each."""
    lines = []
    for item in sorted(objects, key=lambda item: (item["kind"], item["metadata"]["name"])):
        lines.append(f"{item['kind']} {item['metadata']['name']}")
        spec = item.get("spec", {})
        lines += [
            f"  {key}: {json.dumps(spec[key])}"
            for key in ("replicas", "ports", "ingress", "resources", "maxUnavailable")
            if key in spec
        ]
        lines += [f"  {key}" for key in item.get("data", {})]
        lines += [f"  {key}: {value}" for key, value in item["metadata"].get("annotations", {}).items()]
        lines += [f"  {' '.join(rule['resources'])}: {' '.join(rule['verbs'])}" for rule in item.get("rules", [])]
        for _, pod in pods([item]):
            lines.append(f"  account {pod.get('serviceAccountName', '-')}, token {pod['automountServiceAccountToken']}")
            for container in containers(pod):
                words = " ".join([*container["command"], *container.get("args", [])])
                lines += [f"  {container['name']} {container['image']}", f"    {words}"]
                lines += [f"    {env['name']}={env.get('value', '<secret>')}" for env in container.get("env", [])]
                lines += [f"    all of {source['secretRef']['name']}" for source in container.get("envFrom", [])]
                lines += [f"    {mount['mountPath']} <- {mount['name']}" for mount in container["volumeMounts"]]
    return "\n".join(lines) + "\n"


def test_lint_finds_nothing() -> None:
    for name in SETS:
        report = lint(CHART, values(name), strict=True)
        assert report["errors"] == []
        assert [message for message in report["messages"] if message["severity"] > 1] == []


def test_what_is_rendered_is_what_was_looked_at(rendered: tuple[str, list[Object]]) -> None:
    name, objects = rendered
    path, text = HERE / "snapshots" / f"{name}.txt", summary(objects)
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.write_text(text)
    assert text == path.read_text(), "look at the difference; UPDATE_SNAPSHOTS=1 writes it"


def test_kubernetes_takes_every_object(rendered: tuple[str, list[Object]]) -> None:
    for item in rendered[1]:
        if item["kind"] not in UNKNOWN:
            kubernetes_validate.validate(item, "1.37", strict=True)


def test_every_pod_passes_pod_security_restricted(rendered: tuple[str, list[Object]]) -> None:
    found = list(pods(rendered[1]))
    assert found
    for name, spec in found:
        context = spec["securityContext"]
        assert context["runAsNonRoot"], name
        assert context["runAsUser"] > 0, name
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec), name
        allowed = {"configMap", "emptyDir", "persistentVolumeClaim"}
        assert all(set(volume) - {"name"} <= allowed for volume in spec["volumes"]), name
        for container in containers(spec):
            own = container["securityContext"]
            assert own["capabilities"] == {"drop": ["ALL"]}, name
            assert own["allowPrivilegeEscalation"] is False, name
            assert own["readOnlyRootFilesystem"] is True, name
            assert {"requests", "limits"} <= set(container["resources"]), name
            assert container["command"][0].startswith("/"), name
            assert "sh" not in container["command"][0].rpartition("/")[2], name


def test_what_serves_is_probed(rendered: tuple[str, list[Object]]) -> None:
    for item in rendered[1]:
        if item["kind"] == "Deployment":
            for container in item["spec"]["template"]["spec"]["containers"]:
                assert "livenessProbe" in container, item["metadata"]["name"]


def test_no_secret_stands_in_a_manifest(rendered: tuple[str, list[Object]]) -> None:
    assert not [item for item in rendered[1] if item["kind"] == "Secret"]
    for _, spec in pods(rendered[1]):
        for container in containers(spec):
            for variable in container.get("env", []):
                secret = re.search("KEY|SECRET|TOKEN|PASSWORD", variable["name"]) and not variable["name"].startswith(
                    "VGW"
                )
                assert not (secret and "value" in variable), variable["name"]


def test_data_outlives_the_release(rendered: tuple[str, list[Object]]) -> None:
    for item in rendered[1]:
        if item["kind"] == "PersistentVolumeClaim":
            assert item["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_labels_select_their_pods_only(rendered: tuple[str, list[Object]]) -> None:
    made = [item for item in rendered[1] if item["kind"] == "Deployment"]
    for service in (item for item in rendered[1] if item["kind"] == "Service"):
        selector = service["spec"]["selector"].items()
        chosen = [
            item["metadata"]["name"]
            for item in made
            if selector <= item["spec"]["template"]["metadata"]["labels"].items()
        ]
        assert chosen == [service["metadata"]["name"]]
    for item in made:
        labels = item["spec"]["template"]["metadata"]["labels"].items()
        assert item["spec"]["selector"]["matchLabels"].items() <= labels


def test_the_launcher_takes_its_settings_and_the_flows_their_files(
    rendered: tuple[str, list[Object]], tmp_path: Path
) -> None:
    [config] = [item for item in rendered[1] if item["kind"] == "ConfigMap"]
    for name, text in config["data"].items():
        (tmp_path / name).write_text(text)
    settings = ClusterSettings.read(tmp_path / "cluster.json")
    accounts = {item["metadata"]["name"] for item in rendered[1] if item["kind"] == "ServiceAccount"}
    assert settings.namespace == "lenses"
    assert settings.service_account in accounts
    assert settings.labels["app.kubernetes.io/instance"] == "look"
    for file in tmp_path.glob("*.toml"):
        Settings(read_sections(file))


def test_a_look_needs_neither_gpu_nor_a_large_machine() -> None:
    settings = ClusterSettings.model_validate(values("look")["cluster"])
    for spec in JOBS:
        asked = settings.needs(spec)
        assert (asked.gpus, asked.cpus <= 2, asked.memory_gib <= 8) == (0, True, True), spec.name


def test_flows_may_do_what_the_launcher_does_and_no_more() -> None:
    code = "".join(path.read_text() for path in (ROOT / "flows" / "launchers").glob("*.py"))
    calls = set(re.findall(r"\b(create|delete|list|patch|read|replace)_namespaced_([a-z_]+)", code))
    needed: dict[str, set[str]] = {}
    for verb, resource in calls:
        name = {"pod_log": "pods/log", "pod_status": "pods/status"}.get(resource, f"{resource}s")
        needed.setdefault(name, set()).add({"read": "get"}.get(verb, verb))
    if ".stream(" in code:
        needed["jobs"].add("watch")
    [role] = [item for item in render(values("look")) if item["kind"] == "Role"]
    granted = {name: set(rule["verbs"]) for rule in role["rules"] for name in rule["resources"]}
    assert granted == needed
    bound = {item["kind"] for item in render(values("look"))}
    assert not bound & {"ClusterRole", "ClusterRoleBinding"}


def test_flow_runs_of_a_kubernetes_pool_pass_pod_security_and_know_the_store() -> None:
    [config] = [item for item in render(values("production")) if item["kind"] == "ConfigMap"]
    template = json.loads(config["data"]["base-job-template.json"])
    spec = template["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]
    worker = next(spec for name, spec in pods(render(values("production"))) if name == "Deployment look-worker")
    assert spec["securityContext"] == worker["securityContext"]
    assert spec["containers"][0]["securityContext"] == worker["containers"][0]["securityContext"]
    assert spec["serviceAccountName"] == worker["serviceAccountName"]
    known = template["variables"]["properties"]["env"]["default"]
    given = {item["name"]: item.get("value") for item in worker["containers"][0]["env"]}
    # The worker hands on what leads to the server itself.
    assert known == {name: value for name, value in given.items() if name not in ("PREFECT_API_URL", "DO_NOT_TRACK")}
    used = set(re.findall(r"\{\{ ([a-z_]+) \}\}", json.dumps(template["job_configuration"])))
    assert used == set(template["variables"]["properties"])


def test_only_flows_have_a_token(rendered: tuple[str, list[Object]]) -> None:
    for name, spec in pods(rendered[1]):
        assert spec["automountServiceAccountToken"] is (name == "Deployment look-worker")


def checked(given: Object) -> None:
    """Check values as an install does."""
    chart = Chart.load(CHART)
    chart.validate_schema(given)
    chart.render(given, name="look", namespace="lenses")


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"store": {}}, "store.url is empty"),
        ({"store": {"url": "http://bucket"}}, "/store/url"),
        ({"store": {"url": "s3://b", "password": "x"}}, "password"),
        ({"colour": "red"}, "colour"),
        ({"worker": {"type": "docker"}}, "/worker/type"),
        ({"worker": {"replicas": -1}}, "/worker/replicas"),
        ({"images": {"flow": "lenscore-flow"}}, "/images/flow"),
        ({"images": {"user": 0}}, "/images/user"),
        ({"run": {"cron": "hourly"}}, "/run/cron"),
        ({"env": {"AWS_SECRET_ACCESS_KEY": "x"}}, "AWS_SECRET_ACCESS_KEY"),
        ({"prefect": {"enabled": False}}, "prefect.url is empty"),
        ({"bundledStore": {"enabled": True}}, "bundledStore needs store.secret"),
        ({"prefect": {"resources": {"limits": {"memory": "much"}}}}, "/prefect/resources/limits/memory"),
    ],
)
def test_wrong_values_are_refused_by_name(given: Object, what: str) -> None:
    usual: Object = {"store": {"url": "s3://bucket/prefix"}}
    with pytest.raises(HelmError) as caught:
        checked({**usual, **given})
    assert what in str(caught.value).replace("'", "")


def test_every_value_is_described_and_has_a_default() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())

    def check(path: str, part: Object, default: Any) -> None:
        for name, inner in part.get("properties", {}).items():
            where = f"{path}{name}"
            assert inner["description"].endswith("."), where
            if where == "global":
                continue
            assert name in default, where
            check(f"{where}.", inner, default[name])

    check("", schema, defaults)


def test_versions_are_the_project_s() -> None:
    import tomllib

    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    about = yaml.safe_load((CHART / "Chart.yaml").read_text())
    images = yaml.safe_load((CHART / "values.yaml").read_text())["images"]
    assert {about["version"], about["appVersion"]} == {version}
    assert all(images[kind] == f"lenscore-{kind}:{version}" for kind in ("flow", "cpu", "gpu"))


@pytest.mark.parametrize("name", list(SETS))
def test_the_notes_name_commands_that_exist(name: str) -> None:
    import typer

    from docs.generate import leaves
    from lenscore.cli.app import app

    notes = Chart.load(CHART).render(values(name), name="look", namespace="lenses")["lenscore/templates/NOTES.txt"]
    known = {" ".join(path) for path, _ in leaves(typer.main.get_command(app))}
    said = set(re.findall(r"bin/lenscore ([a-z]+ [a-z]+)", notes))
    assert said
    assert said <= known
