"""What goes wrong on clusters: each time the launcher says so, and goes on as soon as it can."""

import uuid

import pytest

from flows.launchers.cluster import ClusterSettings
from flows.launchers.status import job_statuses
from lenscore.artifacts import Store
from lenscore.artifacts.lifecycle import verify
from lenscore.errors import LensError, StoreError
from tests.cluster.conftest import Space
from tests.cluster.heard import PLAIN, Flow, wait_for

SMALL = {"objects": 5, **PLAIN}
GPU = "example.com/gpu"


@pytest.fixture
def store(s3: dict[str, str]) -> Store:
    """A store of its own."""
    return Store.open(f"s3://lenscore/{uuid.uuid4().hex}")


def status(space: Space) -> tuple[str, str]:
    """State of the newest Job, and what is said of it."""
    first = next(iter(job_statuses(ClusterSettings(namespace=space.name))))
    return first.state, first.says


def test_a_job_that_runs_out_of_memory_gets_more_and_keeps_its_id(space: Space, store: Store) -> None:
    tight = {"simulate": {"memory_gib": 0.06}}
    flow = Flow(space.settings(jobs=tight, memory_growth=25), store, "simulate", SMALL)
    flow.hear("ran out of its 0.06")
    assert "it is run again with 1.5 GiB" in flow.hear("it is run again")
    assert status(space)[0] in ("waiting", "running", "done")
    made = flow.made()
    assert list(verify(made)) == []
    again = Flow(space.settings(jobs=tight, memory_growth=1), store, "simulate", {"objects": 6, **PLAIN})
    with pytest.raises(LensError, match=r"job simulate ran out of its 0\.06\d* GiB of memory; give it more"):
        again.made()
    assert status(space)[0] == "failed"
    assert "give it more: memory_gib" in status(space)[1]


def test_a_job_waits_for_a_gpu_and_says_so(space: Space, store: Store) -> None:
    wish = {"simulate": {"gpus": 1}}
    flow = Flow(space.settings(jobs=wish, gpu_resource=GPU), store, "simulate", SMALL)
    flow.hear(f"waits for a node with enough {GPU}")
    state, says = status(space)
    assert state == "waiting"
    assert f"enough {GPU}" in says
    node = space.core.list_node().items[0].metadata.name
    offer(space, node, "1")
    try:
        flow.made()
    finally:
        offer(space, node, "0")


def test_a_job_waits_for_its_quota(space: Space, store: Store) -> None:
    quota = {"metadata": {"name": "team"}, "spec": {"hard": {"requests.cpu": "0"}}}
    space.core.create_namespaced_resource_quota(space.name, quota)
    wait_for("quota", lambda: bool(space.core.read_namespaced_resource_quota("team", space.name).status.hard))
    flow = Flow(space.settings(), store, "simulate", SMALL)
    flow.hear("waits for the quota team: it asks for requests.cpu=200m")
    assert status(space)[0] == "waiting"
    space.core.delete_namespaced_resource_quota("team", space.name)
    flow.made()


def test_a_suspended_job_waits_in_its_queue(space: Space, store: Store) -> None:
    flow = Flow(space.settings(queue="night"), store, "simulate", SMALL)
    flow.hear("waits in its queue")
    assert status(space)[0] == "waiting"
    assert space.pods() == []
    name = space.jobs()[0].metadata.name
    space.batch.patch_namespaced_job(name, space.name, {"spec": {"suspend": False}})
    flow.made()


def test_an_image_that_is_not_there_is_an_error_after_a_while(space: Space, store: Store) -> None:
    flow = Flow(space.settings(cpu_image="localhost/none:1"), store, "simulate", SMALL)
    with pytest.raises(LensError, match="job simulate cannot have its image localhost/none:1"):
        flow.made()
    wait_for("the Job is withdrawn", lambda: space.jobs() == [])


def test_a_missing_secret_is_named(space: Space, store: Store) -> None:
    flow = Flow(space.settings(store_secret="nowhere"), store, "simulate", SMALL)
    with pytest.raises(LensError, match='"nowhere" not found; check store_secret'):
        flow.made()


def test_a_job_that_takes_too_long_is_ended(space: Space, store: Store) -> None:
    flow = Flow(space.settings(deadline_hours=2 / 3600), store, "simulate", SMALL)
    with pytest.raises(LensError, match="job simulate took longer than it may; raise deadline_hours"):
        flow.made()
    assert status(space)[0] == "failed"


def test_a_flow_that_starts_again_adopts_the_job(space: Space, store: Store) -> None:
    first = Flow(space.settings(queue="night"), store, "simulate", SMALL)
    first.hear("waits in its queue")
    second = Flow(space.settings(queue="night"), store, "simulate", SMALL)
    second.hear("runs already, as Job ls-simulate-")
    other = Flow(space.settings(queue="night", user=1234), store, "simulate", SMALL)
    other.hear("-plan-2 in namespace")
    assert len(space.jobs()) == 2


def test_the_last_claim_that_goes_deletes_the_job(space: Space, store: Store) -> None:
    flows = [Flow(space.settings(queue="night"), store, "simulate", SMALL) for _ in range(2)]
    for flow in flows:
        flow.hear("waits in its queue")
    name = space.jobs()[0].metadata.name
    flows[0].launcher.stop()
    with pytest.raises(KeyboardInterrupt):
        flows[0].made()
    assert [job.metadata.name for job in space.jobs()] == [name]
    assert sum("claim.lenscore/" in key for key in space.jobs()[0].metadata.annotations) == 1
    flows[1].launcher.stop()
    with pytest.raises(KeyboardInterrupt):
        flows[1].made()
    wait_for("the Job is gone", lambda: space.jobs() == [])


def test_a_job_deleted_by_hand_is_an_error(space: Space, store: Store) -> None:
    flow = Flow(space.settings(queue="night"), store, "simulate", SMALL)
    flow.hear("waits in its queue")
    space.batch.delete_namespaced_job(space.jobs()[0].metadata.name, space.name, propagation_policy="Background")
    with pytest.raises(StoreError, match="was deleted; run the flow again"):
        flow.made()


def test_a_drained_pod_starts_again_and_is_not_counted(space: Space, store: Store) -> None:
    flow = Flow(space.settings(retries=0), store, "simulate", {"objects": 400, **PLAIN})
    wait_for("a running pod", lambda: bool(space.pods("Running")))
    name = space.pods("Running")[0].metadata.name
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    space.core.create_namespaced_pod_eviction(name, space.name, eviction)
    assert list(verify(flow.made())) == []
    assert len(space.pods("Succeeded")) >= 1


def test_units_are_cut_into_indexes_and_one_that_is_killed_is_tried_again(space: Space, store: Store) -> None:
    config = {"objects": 2500, **PLAIN}
    flow = Flow(space.settings(units_per_pod=1, pods=2, retries=1), store, "simulate", config)
    flow.hear("is Job ls-simulate-")
    wait_for("pods of the units", lambda: any("-plan-" not in pod.metadata.name for pod in space.pods("Running")))
    victim = next(pod for pod in space.pods("Running") if "-plan-" not in pod.metadata.name)
    space.core.delete_namespaced_pod(victim.metadata.name, space.name, grace_period_seconds=0)
    assert list(verify(flow.made())) == []
    finished = {job.metadata.name.rsplit("-", 1)[-1]: job for job in space.jobs()}
    indexed = next(job for job in space.jobs() if job.spec.completion_mode == "Indexed")
    assert {"plan", "finish"} < set(finished)
    assert (indexed.spec.completions, indexed.status.completed_indexes) == (3, "0-2")


def offer(space: Space, node: str, count: str) -> None:
    """Let a node offer GPUs that it does not have."""
    space.core.patch_node_status(node, {"status": {"capacity": {GPU: count}, "allocatable": {GPU: count}}})


def test_all_troubles_are_one_line(space: Space, store: Store) -> None:
    """Not a trace, and no second line, whatever the cluster says."""
    flow = Flow(space.settings(labels={"not a label": "x"}), store, "simulate", SMALL)
    with pytest.raises(LensError, match="the cluster refuses Job") as caught:
        flow.made()
    assert "\n" not in str(caught.value)
