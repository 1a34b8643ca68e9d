"""What a job becomes on a cluster."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flows.launchers import Request
from flows.launchers.cluster import ClusterSettings
from flows.launchers.manifest import (
    CONFIG,
    MOST_INDEXES,
    SPEC,
    Piece,
    finish_piece,
    job_manifest,
    job_name,
    plan_piece,
    service_manifest,
    units_piece,
    whole_piece,
)
from jobs.launch import parse_config
from jobs.specs import JOBS
from jobs.tasks import Task, make_task
from lenscore.artifacts import Reference
from lenscore.errors import EXIT_CODES, FINAL_EXIT_CODES, InputError

DNS_LABEL = 63


def task_of(job: str, **inputs: Reference) -> tuple[Request, Task]:
    config = parse_config(job, {})
    given = {name: (item,) for name, item in inputs.items()}
    request = Request(job, config.model_dump(mode="json"), given, "s3://lenscore/a", release="demo dr1!", run="my run")
    return request, make_task(job, config, given)


def simulate(settings: ClusterSettings, piece: Piece, attempt: int = 1, **asked: Any) -> dict[str, Any]:
    request, task = task_of("simulate")
    needs = replace(settings.needs(task.spec), **asked)
    return job_manifest(request, task, piece, settings, needs, attempt)


def pretrain(settings: ClusterSettings) -> dict[str, Any]:
    request, task = task_of("pretrain", cutouts=Reference(kind="cutouts", id="c" * 64))
    asked = settings.needs(task.spec)
    return job_manifest(request, task, whole_piece(asked), settings, asked)


def container(job: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = job["spec"]["template"]["spec"]["containers"][0]
    return found


def test_names_stay_dns_labels_with_the_index_and_the_pod_s_suffix() -> None:
    for spec in JOBS:
        task = Task(spec, parse_config(spec.name, {}), {}, None, "f" * 64) if not spec.reads_source else None
        for piece in (units_piece(ClusterSettings().needs(spec), 10**6), finish_piece()):
            name = job_name(task, piece, 99) if task else f"ls-{spec.name.replace('_', '-')}-{'f' * 20}-finish-99"
            assert len(f"{name}-{MOST_INDEXES - 1}-abcde") <= DNS_LABEL
            assert name.islower() or name.replace("-", "").isalnum()
            assert "_" not in name


def test_pods_pass_the_restricted_standard() -> None:
    job = simulate(ClusterSettings(), finish_piece())
    pod, inside = job["spec"]["template"]["spec"], container(job)["securityContext"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert inside == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {kind for volume in pod["volumes"] for kind in volume} == {"name", "emptyDir", "downwardAPI"}


@pytest.mark.parametrize(
    ("units", "indexes", "size"), [(1, 1, 16), (17, 2, 16), (160_000, 10_000, 16), (160_001, 9412, 17)]
)
def test_every_unit_has_an_index_and_there_are_never_too_many(units: int, indexes: int, size: int) -> None:
    asked = ClusterSettings(units_per_pod=16).needs(JOBS[0])
    piece = units_piece(asked, units)
    assert (piece.indexes, piece.units) == (indexes, size)
    assert (indexes - 1) * size < units <= indexes * size
    assert piece.arguments[-1] == f"--units=$(JOB_COMPLETION_INDEX)*{size}"


def test_a_sharded_job_is_indexed_and_each_index_has_its_own_tries() -> None:
    spec = simulate(ClusterSettings(retries=2, pods=5), units_piece(ClusterSettings().needs(JOBS[0]), 1600))["spec"]
    assert spec["completionMode"] == "Indexed"
    assert (spec["completions"], spec["parallelism"], spec["backoffLimitPerIndex"]) == (100, 5, 2)
    assert "backoffLimit" not in spec
    assert simulate(ClusterSettings(retries=2), finish_piece())["spec"]["backoffLimit"] == 2


def test_the_failure_policy_is_the_table_of_exit_codes() -> None:
    for piece, action in (
        (units_piece(ClusterSettings().needs(JOBS[0]), 99), "FailIndex"),
        (finish_piece(), "FailJob"),
    ):
        disruption, final = simulate(ClusterSettings(), piece)["spec"]["podFailurePolicy"]["rules"]
        assert disruption["action"] == "Ignore"
        assert disruption["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
        assert final["action"] == action
        assert final["onExitCodes"]["values"] == list(FINAL_EXIT_CODES)
    assert set(FINAL_EXIT_CODES) < set(EXIT_CODES)


def test_the_same_work_has_the_same_spec_and_other_resources_another() -> None:
    usual = simulate(ClusterSettings(), finish_piece())
    again = simulate(ClusterSettings(), finish_piece(), attempt=2)
    more = simulate(ClusterSettings(), finish_piece(), memory_gib=99)

    def spec_of(job: dict[str, Any]) -> str:
        return str(job["metadata"]["annotations"][SPEC])

    assert spec_of(usual) == spec_of(again) != spec_of(more)
    assert again["metadata"]["name"] == usual["metadata"]["name"] + "-2"
    assert usual["metadata"]["annotations"]["lenscore/artifact"] == more["metadata"]["annotations"]["lenscore/artifact"]


def test_ranks_meet_at_the_first_through_a_service_of_their_own() -> None:
    job = pretrain(ClusterSettings(jobs={"pretrain": {"ranks": 2, "gpus": 4}}, retries=3))
    name, spec, pod = job["metadata"]["name"], job["spec"], job["spec"]["template"]["spec"]
    command = container(job)["command"]
    assert (spec["completions"], spec["parallelism"], spec["maxFailedIndexes"]) == (2, 2, 0)
    assert command[0] == "torchrun"
    assert {"--nnodes=2", "--nproc-per-node=4", f"--rdzv-endpoint={name}-0.{name}:29400"} < set(command)
    job["metadata"]["uid"] = "u"
    service = service_manifest(job)
    assert pod["subdomain"] == service["metadata"]["name"] == name
    assert service["spec"]["selector"] == {"batch.kubernetes.io/job-name": name}
    assert service["metadata"]["ownerReferences"][0]["uid"] == "u"


def test_a_gpu_job_asks_for_gpus_and_tolerates_their_nodes() -> None:
    settings = ClusterSettings(node_selector={"zone": "a"}, gpu_node_selector={"gpu": "h200"})
    job = pretrain(settings)
    pod, resources = job["spec"]["template"]["spec"], container(job)["resources"]
    assert resources["limits"]["nvidia.com/gpu"] == resources["requests"]["nvidia.com/gpu"] == "1"
    assert pod["nodeSelector"] == {"zone": "a", "gpu": "h200"}
    assert {"key": "nvidia.com/gpu", "operator": "Exists"} in pod["tolerations"]
    assert container(job)["image"] == settings.gpu_image
    assert "--device=cuda" in container(job)["command"]
    plain = simulate(settings, finish_piece())
    assert plain["spec"]["template"]["spec"]["nodeSelector"] == {"zone": "a"}
    assert "nvidia.com/gpu" not in container(plain)["resources"]["limits"]


def test_credentials_come_from_a_secret_and_are_refused_elsewhere() -> None:
    job = simulate(ClusterSettings(store_secret="s3", environment={"AWS_REGION": "eu"}), finish_piece())
    assert container(job)["envFrom"] == [{"secretRef": {"name": "s3"}}]
    assert {"name": "AWS_REGION", "value": "eu"} in container(job)["env"]
    for name in ("AWS_SECRET_ACCESS_KEY", "aws_session_token", "DB_PASSWORD"):
        with pytest.raises(ValueError, match="store_secret"):
            ClusterSettings(environment={name: "x"})


def test_the_rest_of_the_settings_arrive() -> None:
    settings = ClusterSettings(
        mounts=({"claim": "survey", "path": "/survey"},),
        pull_secrets=("registry",),
        service_account="runner",
        priority_class="low",
        queue="night",
        deadline_hours=2,
        keep_finished_hours=1,
        shared_memory_gib=3,
        labels={"team": "lenses"},
        user=1234,
    )
    job = simulate(settings, finish_piece())
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    assert (spec["activeDeadlineSeconds"], spec["ttlSecondsAfterFinished"], spec["suspend"]) == (7200, 3600, True)
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "night"
    assert (pod["serviceAccountName"], pod["priorityClassName"]) == ("runner", "low")
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert pod["securityContext"]["runAsUser"] == 1234
    memory = next(volume for volume in pod["volumes"] if volume["name"] == "shared-memory")
    assert memory["emptyDir"] == {"medium": "Memory", "sizeLimit": "3072Mi"}
    assert {"name": "mount-0", "mountPath": "/survey", "readOnly": True} in container(job)["volumeMounts"]
    assert pod["volumes"][-1]["persistentVolumeClaim"] == {"claimName": "survey", "readOnly": True}
    assert job["metadata"]["labels"] | spec["template"]["metadata"]["labels"] == job["metadata"]["labels"]
    assert job["metadata"]["labels"]["lenscore/release"] == "demo-dr1"
    assert job["metadata"]["labels"]["lenscore/run"] == "my-run"
    assert job["metadata"]["labels"]["team"] == "lenses"


def test_the_config_reaches_the_pod_as_a_file() -> None:
    job = simulate(ClusterSettings(), plan_piece(ClusterSettings().needs(JOBS[0])))
    text = job["spec"]["template"]["metadata"]["annotations"][CONFIG]
    assert parse_config("simulate", json.loads(text)["simulate"]) == parse_config("simulate", {})
    assert "--config=/etc/lenscore/job.json" in container(job)["command"]
    assert "--whole-up-to=16" in container(job)["command"]


def test_a_file_of_settings_is_read_and_mistakes_are_named(tmp_path: Path) -> None:
    path = tmp_path / "cluster.toml"
    path.write_text('namespace = "lenses"\n[jobs.embed]\nmemory_gib = 99\n')
    settings = ClusterSettings.read(path)
    embed = next(spec for spec in JOBS if spec.name == "embed")
    assert settings.needs(embed).memory_gib == 99
    assert settings.needs(embed).gpus == embed.resources.gpus
    page = (Path(__file__).parents[2] / "docs" / "kubernetes.md").read_text()
    path.write_text("\n".join(line[4:] for line in page.splitlines() if line.startswith("    ")))
    assert ClusterSettings.read(path).jobs["pretrain"].ranks == 4
    path.write_text("[jobs.embedd]\nmemory_gib = 99\n")
    with pytest.raises(InputError, match="embedd"):
        ClusterSettings.read(path)
    path.write_text("pods = 0\n")
    with pytest.raises(InputError, match="pods"):
        ClusterSettings.read(path)
