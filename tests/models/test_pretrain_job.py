"""The jobs pretrain, fit_pca and embed: learning, exact resume, two ranks as one, collapse."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load

from jobs.embed import EmbedConfig
from jobs.fit_pca import FitPcaConfig
from jobs.pretrain import PretrainConfig
from jobs.tasks import make_task
from lenscore.artifacts import Artifact, Store
from lenscore.errors import InputError
from lenscore.models.encoder import load_encoder
from tests.models.conftest import MOCO, TINY
from tests.support.artifacts import run_job
from tests.support.cutouts import small_cutouts

torch.set_num_threads(1)


def test_model_and_metrics(pretrained: Artifact) -> None:
    metrics = pretrained.table("metrics").read()
    assert metrics["step"].to_pylist() == [5, 10, 12]
    chance = 1 / (1 + MOCO.queue)
    assert metrics["accuracy"].to_numpy()[-1] > 2 * chance
    assert metrics["spread"].to_numpy().min() > 0.01
    assert pretrained.manifest.metrics["images_per_second"] > 0
    assert load_encoder(pretrained).dimension == 256
    assert pretrained.read_json("model.json")["method"] == "moco"


def test_the_same_run_gives_the_same_bytes(tmp_path: Path, config: PretrainConfig, pretrained: Artifact) -> None:
    other = Store.open(str(tmp_path))
    again = run_job(other, "pretrain", config, {"cutouts": [small_cutouts(other, rows=80, seed=3)]})
    assert again.id == pretrained.id
    for path in ("weights.safetensors", "metrics/part-000000.parquet"):
        assert again.file(path).sha256 == pretrained.file(path).sha256


def test_killed_and_resumed_gives_the_same_bytes(tmp_path: Path, config: PretrainConfig, pretrained: Artifact) -> None:
    store = Store.open(str(tmp_path / "store"))
    sample = small_cutouts(store, rows=80, seed=3)
    work = f"work/{make_task('pretrain', config, {'cutouts': [sample.reference]}).id}/checkpoints"
    for kills in range(1):
        process = _start(store, config, sample, tmp_path)
        deadline = time.monotonic() + 120
        steps = len(list(store.list(work)))
        while len({info.key.split("/")[-2] for info in store.list(work)}) < 2 or len(list(store.list(work))) == steps:
            assert process.poll() is None, (
                f"ended before kill {kills}: {process.stderr.read() if process.stderr else ''}"
            )
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        steps = len(list(store.list(work)))
    process = _start(store, config, sample, tmp_path)
    assert process.wait(200) == 0, process.stderr.read() if process.stderr else ""
    found = Artifact.open(store, "model", pretrained.id)
    for path in ("weights.safetensors", "metrics/part-000000.parquet"):
        assert found.file(path).sha256 == pretrained.file(path).sha256


def test_two_ranks_train_the_same_model_as_one(tmp_path: Path, config: PretrainConfig, pretrained: Artifact) -> None:
    store = Store.open(str(tmp_path / "store"))
    sample = small_cutouts(store, rows=80, seed=3)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ranks = [
        _start(
            store,
            config,
            sample,
            tmp_path,
            RANK=str(rank),
            LOCAL_RANK=str(rank),
            WORLD_SIZE="2",
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=str(port),
        )
        for rank in range(2)
    ]
    for process in ranks:
        assert process.wait(250) == 0, process.stderr.read() if process.stderr else ""
    found = Artifact.open(store, "model", pretrained.id)
    ours, theirs = (item.table("metrics").read() for item in (found, pretrained))
    assert np.allclose(ours["loss"].to_numpy(), theirs["loss"].to_numpy(), rtol=1e-3)
    one, two = (load(item.read_bytes("weights.safetensors")) for item in (pretrained, found))
    for name, value in one.items():
        if value.is_floating_point():
            assert (value - two[name]).norm() <= 0.02 * value.norm() + 1e-4, name


def _start(
    store: Store, config: PretrainConfig, sample: Artifact, folder: Path, **environment: str
) -> "subprocess.Popen[str]":
    path = folder / "config.json"
    path.write_text(json.dumps({"pretrain": config.model_dump(mode="json")}))
    command = [
        sys.executable,
        "-m",
        "lenscore",
        "job",
        "run",
        "pretrain",
        "--config",
        str(path),
        "--store",
        store.url,
        "--input",
        f"cutouts={sample.reference}",
        "--threads",
        "1",
        "--device",
        "cpu",
    ]
    return subprocess.Popen(
        command, env={**os.environ, **environment, "OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE, text=True
    )


def test_collapse_is_an_error_that_says_so(session_store: Store, small: Artifact) -> None:
    moco = MOCO.model_copy(update={"min_spread": 0.99, "collapse_steps": 5, "learning_rate": 1e-6})
    with pytest.raises(InputError, match="the representation has collapsed: embedding spread"):
        run_job(session_store, "pretrain", PretrainConfig(encoder=TINY, moco=moco, steps=12), {"cutouts": [small]})
    going_on = moco.model_copy(update={"stop_on_collapse": False, "collapse_steps": 10})
    model = run_job(
        session_store, "pretrain", PretrainConfig(encoder=TINY, moco=going_on, steps=12), {"cutouts": [small]}
    )
    assert model.table("metrics").read()["collapsed"].to_pylist() == [False, True, True]
    assert model.manifest.metrics["collapsed"]


def test_too_small_a_sample_is_refused(session_store: Store, small: Artifact) -> None:
    moco = MOCO.model_copy(update={"batch": 512, "queue": 512})
    with pytest.raises(InputError, match="less than a batch of 512"):
        run_job(session_store, "pretrain", PretrainConfig(encoder=TINY, moco=moco, steps=2), {"cutouts": [small]})


def test_images_read_as_needed_give_the_same_model(
    tmp_path: Path, config: PretrainConfig, pretrained: Artifact
) -> None:
    store = Store.open(str(tmp_path))
    again = run_job(store, "pretrain", config, {"cutouts": [small_cutouts(store, rows=80, seed=3)]}, memory_gib=0.001)
    assert again.file("weights.safetensors").sha256 == pretrained.file("weights.safetensors").sha256


def test_untrained_and_pca_embed_like_the_pretrained(
    session_store: Store, small: Artifact, pretrained: Artifact
) -> None:
    untrained = run_job(session_store, "pretrain", PretrainConfig(encoder=TINY, steps=0), {"cutouts": [small]})
    pca = run_job(session_store, "fit_pca", FitPcaConfig(encoder=TINY, components=8, objects=60), {"cutouts": [small]})
    ids = small.table("catalogue").read(["ls_id"])["ls_id"].to_pylist()
    for model, dimension in ((untrained, 256), (pca, 8), (pretrained, 256)):
        embedded = run_job(session_store, "embed", EmbedConfig(batch=7), {"cutouts": [small], "model": [model]})
        vectors = embedded.array("embeddings.zarr/embeddings")[:]
        assert vectors.shape == (80, dimension)
        assert embedded.array("embeddings.zarr/ls_id")[:].tolist() == ids
        valid = small.array("images.zarr/valid")[:]
        assert embedded.array("embeddings.zarr/valid")[:].tolist() == valid.tolist()
        assert np.isfinite(vectors).all()
        assert vectors[valid].std(0).max() > 0
        assert not vectors[~valid].any()


def test_embedding_does_not_depend_on_the_batch(session_store: Store, small: Artifact, pretrained: Artifact) -> None:
    from lenscore.cutouts import Cutouts
    from lenscore.models.embedding import embed_rows

    encoder, cutouts = load_encoder(pretrained), Cutouts.open(small)
    one, _ = embed_rows(encoder, cutouts, range(80), 5, False, torch.device("cpu"))
    two, _ = embed_rows(encoder, cutouts, range(80), 64, False, torch.device("cpu"))
    assert np.allclose(one, two, atol=2e-3, rtol=1e-2)
