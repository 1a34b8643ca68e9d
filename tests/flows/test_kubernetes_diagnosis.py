"""What people are told of pods that wait or failed: from statuses as clusters report them."""

from typing import Any

import pytest

from flows.launchers.diagnose import Kind, explain_failure, explain_job, explain_refusal, explain_waiting
from lenscore.errors import EXIT_CODES, InputError, LensError, StoreError

PREEMPTION = (
    "no new claims to deallocate, preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
)


def unscheduled(message: str, reason: str = "Unschedulable") -> dict[str, Any]:
    condition = {"type": "PodScheduled", "status": "False", "reason": reason, "message": f"{message}. {PREEMPTION}"}
    return {"metadata": {"name": "p"}, "status": {"phase": "Pending", "conditions": [condition]}}


def held_up(reason: str, message: str = "") -> dict[str, Any]:
    container = {"name": "job", "image": "lens:9", "state": {"waiting": {"reason": reason, "message": message}}}
    conditions = [{"type": "PodScheduled", "status": "True"}]
    return {"status": {"phase": "Pending", "conditions": conditions, "containerStatuses": [container]}}


def failed(code: int, reason: str = "Error", message: str = "", **status: Any) -> dict[str, Any]:
    ended = {"exitCode": code, "reason": reason, "message": message}
    container = {"name": "job", "state": {"terminated": ended}}
    spec = {"containers": [{"name": "job", "resources": {"limits": {"memory": "1536Mi"}}}]}
    return {"spec": spec, "status": {"phase": "Failed", "containerStatuses": [container], **status}}


def disrupted(reason: str) -> dict[str, Any]:
    return failed(137, conditions=[{"type": "DisruptionTarget", "status": "True", "reason": reason, "message": "m"}])


@pytest.mark.parametrize(
    ("pod", "kind", "says"),
    [
        (
            unscheduled("0/2 nodes are available: 2 Insufficient nvidia.com/gpu"),
            "unschedulable",
            "waits for a node with enough nvidia.com/gpu; wait, add nodes, or ask for less (gpus in",
        ),
        (
            unscheduled("0/9 nodes are available: 4 Insufficient memory, 5 Insufficient cpu"),
            "unschedulable",
            "enough memory and cpu; wait, add nodes, or ask for less (memory_gib in",
        ),
        (
            unscheduled("0/1 nodes are available: 1 node(s) had untolerated taint {gpu: yes}"),
            "unschedulable",
            "without the taint gpu: yes; add a toleration",
        ),
        (
            unscheduled("0/1 nodes are available: 1 node(s) had untolerated taint(s)"),
            "unschedulable",
            "without taints; add a toleration",
        ),
        (
            unscheduled("0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector"),
            "unschedulable",
            "the labels it asks for; correct node_selector",
        ),
        (unscheduled("", "SchedulingGated"), "queued", "waits in its queue"),
        (
            held_up("ImagePullBackOff", 'Back-off pulling image "lens:9"'),
            "image",
            "cannot have its image lens:9: Back-off",
        ),
        (held_up("ErrImageNeverPull", "not present"), "image", "check the image's name"),
        (
            held_up("CreateContainerConfigError", 'secret "s3" not found'),
            "config",
            'secret "s3" not found; check store_secret',
        ),
        (held_up("ContainerCreating"), "starting", "is starting"),
        ({"status": {"phase": "Pending"}}, "starting", "is starting"),
    ],
)
def test_why_a_pod_waits(pod: dict[str, Any], kind: Kind, says: str) -> None:
    trouble = explain_waiting(pod)
    assert trouble.kind == kind
    assert says in str(trouble)
    assert "\n" not in str(trouble)


@pytest.mark.parametrize(
    ("pod", "kind", "says", "error"),
    [
        (failed(137, "OOMKilled"), "memory", "ran out of its 1.5 GiB of memory; give it more: memory_gib", LensError),
        (failed(137), "crash", "job embed was ended by SIGKILL", StoreError),
        (failed(143), "crash", "job embed was ended by SIGTERM", StoreError),
        (
            failed(3, message="reading\nerror: no column of right ascension; name one\n"),
            "crash",
            "job embed: no column of right ascension; name one",
            InputError,
        ),
        (failed(1), "crash", "job embed: exit code 1", LensError),
        (failed(255), "crash", "job embed: exit code 255", LensError),
        (
            failed(137, reason="Error", message="")
            | {"status": {"reason": "Evicted", "message": "Usage of EmptyDir volume exceeds 20Gi. "}},
            "evicted",
            "was evicted from its node: Usage of EmptyDir volume exceeds 20Gi; raise scratch_gib",
            StoreError,
        ),
        (
            {"status": {"reason": "DeadlineExceeded"}},
            "deadline",
            "took longer than it may; raise deadline_hours",
            LensError,
        ),
        (disrupted("DeletionByTaintManager"), "node", "its node is lost or was tainted", StoreError),
        (disrupted("EvictionByEvictionAPI"), "node", "its node is drained", StoreError),
        (disrupted("PreemptionByScheduler"), "node", "made room for a pod of a higher priority", StoreError),
        (disrupted("SomethingNew"), "node", "was ended: m", StoreError),
    ],
)
def test_why_a_pod_failed(pod: dict[str, Any], kind: Kind, says: str, error: type[LensError]) -> None:
    trouble = explain_failure("embed", pod)
    raised = trouble.raised("embed")
    assert trouble.kind == kind
    assert says in str(raised)
    assert type(raised) is error
    assert "\n" not in str(raised)


@pytest.mark.parametrize("code", [code for code in EXIT_CODES if code > 1])
def test_every_exit_code_becomes_the_error_that_had_it(code: int) -> None:
    raised = explain_failure("embed", failed(code, message="error: what; remedy")).raised("embed")
    assert raised.exit_code == (code if code > 2 else 1)
    assert (raised.what, raised.remedy) == ("job embed: what", "remedy")


def test_why_a_job_has_no_pods() -> None:
    quota = (
        'Error creating: pods "ls-embed" is forbidden: exceeded quota: team, requested: requests.cpu=8, '
        "used: requests.cpu=60, limited: requests.cpu=64"
    )
    trouble = explain_refusal([{"reason": "SuccessfulCreate"}, {"reason": "FailedCreate", "message": quota}])
    assert trouble is not None
    assert trouble.kind == "quota"
    assert "the quota team: it asks for requests.cpu=8, requests.cpu=60 are in use, requests.cpu=64 are allowed" in str(
        trouble
    )
    other = explain_refusal([{"reason": "FailedCreate", "message": "violates PodSecurity"}])
    assert other is not None
    assert "may not start pods: violates PodSecurity" in str(other)
    assert explain_refusal([{"reason": "SuccessfulCreate"}]) is None


def test_the_job_s_own_words_count_more_than_a_lost_node() -> None:
    conditions = [{"type": "Failed", "status": "True", "reason": "FailedIndexes", "message": "Job has failed indexes"}]
    pods = [disrupted("DeletionByTaintManager"), failed(3, message="error: bad; mend it")]
    assert str(explain_job("embed", conditions, pods).raised("embed")) == "job embed: bad; mend it"
    assert "Job has failed indexes" in str(explain_job("embed", conditions, []))
    killed = [failed(143), disrupted("EvictionByEvictionAPI"), failed(137, "OOMKilled")]
    assert explain_job("embed", conditions, killed).kind == "memory"
    late = [{"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}]
    assert explain_job("embed", late, pods).kind == "deadline"
