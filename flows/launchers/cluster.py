"""Settings of a cluster: where jobs run, never what they compute."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import ValidationError, field_validator

from jobs.launch import read_sections
from jobs.specs import JobSpec, find_job
from lenscore.config import Config, field
from lenscore.errors import InputError

SECRET_WORDS = ("KEY", "SECRET", "TOKEN", "PASSWORD")


class Toleration(Config):
    """A taint of nodes that pods accept."""

    key: str = field(unit="", source="Kubernetes", description="the taint's key")
    operator: Literal["Exists", "Equal"] = field(
        "Exists", unit="", source="Kubernetes", description="how it is compared"
    )
    value: str = field("", unit="", source="Kubernetes", description="the taint's value, for Equal")
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = field(
        "", unit="", source="Kubernetes", description="the taint's effect; any if empty"
    )


class Mount(Config):
    """A volume that is there before the jobs, such as one with survey files."""

    claim: str = field(unit="", source="Kubernetes", description="name of the PersistentVolumeClaim")
    path: str = field(unit="", source="Kubernetes", description="where pods see it, read-only", pattern=r"^/.+")


class Needs(Config):
    """What one job asks for, where it differs from the job's own defaults."""

    cpus: float | None = field(None, unit="cores", source="jobs/specs.py", description="cores of a pod", gt=0)
    memory_gib: float | None = field(None, unit="GiB", source="jobs/specs.py", description="memory of a pod", gt=0)
    gpus: int | None = field(None, unit="", source="jobs/specs.py", description="GPUs of a pod", ge=0)
    pods: int | None = field(
        None, unit="", source="DESIGN: launchers", description="pods at once of a sharded job", ge=1
    )
    units_per_pod: int | None = field(
        None, unit="units", source="DESIGN: launchers", description="units of work that a pod does", ge=1
    )
    ranks: int | None = field(
        None, unit="", source="DESIGN: launchers", description="pods that train together, through torchrun", ge=1
    )
    deadline_hours: float | None = field(
        None, unit="h", source="DESIGN: launchers", description="the job is ended after that time", gt=0
    )


@dataclass(frozen=True)
class Asked:
    """What a job asks for, with nothing left open; see Needs."""

    cpus: float
    memory_gib: float
    gpus: int
    pods: int
    units_per_pod: int
    ranks: int
    deadline_hours: float


class ClusterSettings(Config):
    """How jobs run on a Kubernetes cluster."""

    namespace: str = field(
        "", unit="", source="Kubernetes", description="where Jobs are made; that of the credentials if empty"
    )
    cpu_image: str = field("lenscore-cpu:0.1.0", unit="", source="images/", description="container image without CUDA")
    gpu_image: str = field("lenscore-gpu:0.1.0", unit="", source="images/", description="container image with CUDA")
    pull_policy: Literal["IfNotPresent", "Always", "Never"] = field(
        "IfNotPresent", unit="", source="Kubernetes", description="when nodes pull the image"
    )
    pull_secrets: tuple[str, ...] = field(
        (), unit="", source="Kubernetes", description="Secrets with the image registry's credentials"
    )
    command: tuple[str, ...] = field(
        ("lenscore",), unit="", source="images/", description="the program in the image", min_length=1
    )
    torchrun: tuple[str, ...] = field(
        ("torchrun",), unit="", source="images/", description="torchrun in the image", min_length=1
    )
    service_account: str = field(
        "", unit="", source="Kubernetes", description="of the jobs' pods; they never call the cluster's API"
    )
    store_secret: str = field(
        "",
        unit="",
        source="Kubernetes",
        description="Secret of AWS_* variables; empty where the workload has an identity",
    )
    environment: dict[str, str] = field(
        {},
        unit="",
        source="lenscore.artifacts",
        description="variables of the pods, such as AWS_ENDPOINT_URL; no secrets",
    )
    mounts: tuple[Mount, ...] = field((), unit="", source="Kubernetes", description="claims that pods read from")
    node_selector: dict[str, str] = field({}, unit="", source="Kubernetes", description="labels of nodes for all jobs")
    gpu_node_selector: dict[str, str] = field(
        {}, unit="", source="Kubernetes", description="further labels of nodes for jobs with GPUs"
    )
    tolerations: tuple[Toleration, ...] = field((), unit="", source="Kubernetes", description="for all jobs")
    gpu_tolerations: tuple[Toleration, ...] = field(
        (Toleration(key="nvidia.com/gpu"),), unit="", source="Kubernetes", description="further ones for jobs with GPUs"
    )
    priority_class: str = field("", unit="", source="Kubernetes", description="of all pods; the cluster's if empty")
    gpu_resource: str = field("nvidia.com/gpu", unit="", source="Kubernetes", description="name of a GPU as a resource")
    queue: str = field(
        "",
        unit="",
        source="Kueue",
        description="local queue; Jobs start suspended and wait to be admitted, all ranks or none",
    )
    labels: dict[str, str] = field({}, unit="", source="Kubernetes", description="further labels of Jobs and pods")
    user: int = field(65532, unit="", source="images/", description="user and group that the containers run as", ge=1)
    scratch_gib: float = field(
        20, unit="GiB", source="assumed: a few shards in the making", description="disk of a pod", gt=0
    )
    shared_memory_gib: float = field(
        2, unit="GiB", source="assumed: data loading", description="/dev/shm of a pod; counts as its memory", gt=0
    )
    pods: int = field(8, unit="", source="assumed: a small cluster", description="pods at once of a sharded job", ge=1)
    units_per_pod: int = field(
        16, unit="units", source="assumed: minutes of work", description="units of work that a pod does", ge=1
    )
    retries: int = field(
        3,
        unit="",
        source="assumed: a bad node",
        description="new starts of a failed pod, or of each index of a sharded job",
        ge=0,
    )
    memory_growth: float = field(
        2, unit="", source="assumed", description="a job that ran out of memory is run again with that much more", ge=1
    )
    memory_most_gib: float = field(
        256,
        unit="GiB",
        source="assumed: a large node",
        description="no pod gets more memory than that by growing",
        gt=0,
    )
    deadline_hours: float = field(
        72, unit="h", source="assumed", description="a Job is ended after that time", gt=0, le=8760
    )
    keep_finished_hours: float = field(
        24, unit="h", source="assumed", description="finished Jobs and their logs stay for that time", ge=0, le=8760
    )
    image_minutes: float = field(
        10, unit="min", source="assumed", description="a pod may lack its image or a Secret for that long", ge=0
    )
    api_minutes: float = field(
        15, unit="min", source="assumed: an upgrade", description="the cluster's API may be away for that long", gt=0
    )
    jobs: dict[str, Needs] = field({}, unit="", source="jobs/specs.py", description="what single jobs ask for")

    @field_validator("environment")
    @classmethod
    def _no_secrets(cls, given: dict[str, str]) -> dict[str, str]:
        for name in given:
            if any(word in name.upper().split("_") for word in SECRET_WORDS):
                raise ValueError(f"{name} looks like a secret: put it into a Secret and name that as store_secret")
        return given

    @field_validator("jobs")
    @classmethod
    def _known_jobs(cls, given: dict[str, Needs]) -> dict[str, Needs]:
        for name in given:
            try:
                find_job(name)
            except InputError as error:
                raise ValueError(str(error)) from error
        return given

    @staticmethod
    def read(path: Path | None) -> "ClusterSettings":
        """Read a TOML or JSON file; None for the defaults.

        Raises:
            InputError: the file cannot be read, or a value is refused.
        """
        try:
            return ClusterSettings.model_validate({} if path is None else read_sections(path))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise InputError(f"{place}: {first['msg']}", f"correct it in {path}; see docs/kubernetes.md") from error

    def needs(self, spec: JobSpec) -> Asked:
        """All that a job asks for."""
        usual = spec.resources
        asked = Asked(
            cpus=usual.cpus,
            memory_gib=usual.memory_gib,
            gpus=usual.gpus,
            pods=self.pods,
            units_per_pod=self.units_per_pod,
            ranks=1,
            deadline_hours=self.deadline_hours,
        )
        own = self.jobs.get(spec.name, Needs())
        return replace(asked, **{name: value for name, value in own if value is not None})
