"""Pods that train one model together: they meet through torchrun, by a name of the cluster."""

import uuid

from jobs.pretrain import PretrainConfig
from lenscore.artifacts import Store
from lenscore.artifacts.lifecycle import verify
from lenscore.models.config import EncoderConfig
from lenscore.models.settings import MocoConfig
from tests.cluster.conftest import Space
from tests.cluster.heard import Flow
from tests.support.artifacts import run_job
from tests.support.cutouts import small_cutouts

TINY = EncoderConfig(arch="narrow18", input_px=16, transform="rgb")
MOCO = MocoConfig(batch=16, groups=2, queue=32, projection=16, key_momentum=0.9, learning_rate=0.3, min_spread=0)
RANKS = {"pretrain": {"ranks": 2, "gpus": 0, "cpus": 0.5, "memory_gib": 2}}


def test_two_pods_train_one_model(space: Space, s3: dict[str, str]) -> None:
    store = Store.open(f"s3://lenscore/{uuid.uuid4().hex}")
    config = PretrainConfig(encoder=TINY, moco=MOCO, steps=6)
    inputs = {"cutouts": (small_cutouts(store, rows=80, seed=3).reference,)}
    flow = Flow(space.settings(jobs=RANKS), store, "pretrain", config.model_dump(mode="json"), inputs)
    made = flow.made()
    assert list(verify(made)) == []
    job = space.jobs()[0]
    assert (job.spec.completion_mode, job.status.succeeded) == ("Indexed", 2)
    assert [service.metadata.name for service in space.core.list_namespaced_service(space.name).items] == [
        job.metadata.name
    ]
    alone_in = Store.open(f"s3://lenscore/{uuid.uuid4().hex}")
    alone = run_job(alone_in, "pretrain", config, {"cutouts": [small_cutouts(alone_in, rows=80, seed=3)]})
    assert alone.id == made.id
    ours, theirs = (item.table("metrics").read()["loss"].to_pylist() for item in (made, alone))
    assert all(abs(one - two) < 1e-2 * abs(two) for one, two in zip(ours, theirs, strict=True))
