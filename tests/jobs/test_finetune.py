"""Fine-tuning as a job: it learns, it can be killed, and its model scores images."""

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from jobs.classify import ClassifyConfig
from jobs.finetune import FinetuneConfig
from jobs.pretrain import PretrainConfig
from lenscore.artifacts import Artifact, Checkpoints, Store
from lenscore.augment.config import AugmentConfig
from lenscore.classify.ranking import rank
from lenscore.classify.settings import BudgetConfig, SplitConfig, TrainingConfig
from lenscore.cutouts import Cutouts
from lenscore.models.config import EncoderConfig
from lenscore.models.settings import MocoConfig
from lenscore.survey.release import Release
from tests.support.artifacts import run_job
from tests.support.cutouts import make_cutouts, small_catalogue, small_images
from tests.support.labelled import put_labels

ROWS, LENSES = 320, 30
RELEASE = Release(name="demo-dr1", stored_px=32, network_px=16)
CONFIG = FinetuneConfig(
    split=SplitConfig(ratios=(1, 5)),
    ratio=5,
    budget=BudgetConfig(inspected=60),
    training=TrainingConfig(batch=32, epochs=2, lens_shares=(0.2, 0.4), head_learning_rate=0.1, learning_rate=0.01),
    augment=AugmentConfig(extinction=False, flip=False, rescale=False, shift_px=2),
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store.open(str(tmp_path_factory.mktemp("finetune")))


@pytest.fixture(scope="module")
def is_lens() -> NDArray[np.bool_]:
    return np.random.default_rng(0).permutation(ROWS) < LENSES


@pytest.fixture(scope="module")
def inputs(store: Store, is_lens: NDArray[np.bool_]) -> dict[str, list[Artifact]]:
    catalogue = small_catalogue(ROWS, 0, RELEASE)
    images = small_images(catalogue, range(ROWS), 0, RELEASE, invalid=(4,))
    images[is_lens, 0, 12:20, 12:15] += 60 * np.nanstd(images[:, 0])
    cutouts = make_cutouts(store, images, catalogue, RELEASE)
    labels = put_labels(store, catalogue, np.flatnonzero(is_lens), ["lens"] * LENSES)
    encoder = EncoderConfig(arch="narrow18", input_px=16, transform="rgb")
    moco = MocoConfig(batch=16, groups=2, queue=32, projection=16, min_spread=0)
    model = run_job(store, "pretrain", PretrainConfig(encoder=encoder, moco=moco, steps=2), {"cutouts": [cutouts]})
    return {"cutouts": [cutouts], "labels": [labels], "model": [model]}


@pytest.fixture(scope="module")
def model(store: Store, inputs: dict[str, list[Artifact]]) -> Artifact:
    return run_job(store, "finetune", CONFIG, inputs)


def test_all_shares_are_scanned_and_the_best_epoch_kept(model: Artifact) -> None:
    metrics, chosen = model.table("metrics").read().to_pandas(), model.read_json("model.json")
    assert metrics["share"].tolist() == [0.2, 0.2, 0.4, 0.4]
    best = metrics.sort_values(["found", "average_precision"], kind="stable").iloc[-1]
    assert metrics.set_index(["share", "epoch"]).loc[(chosen["share"], chosen["epoch"]), "found"] == best["found"]
    assert chosen["type"] == "finetuned"
    assert {"curve", "histogram", "test", "splits"} <= {path.split("/")[0] for path in model.files}


def test_its_scores_find_what_was_planted(
    store: Store, model: Artifact, inputs: dict[str, list[Artifact]], is_lens: NDArray[np.bool_]
) -> None:
    scored = run_job(store, "classify", ClassifyConfig(), {"model": [model], "cutouts": inputs["cutouts"]})
    scores = scored.table("scores").read().to_pandas()
    assert np.flatnonzero(scores["score"].isna()).tolist() == [4]
    assert rank(scores["score"].where(~scores["trained"]).to_numpy(), is_lens).roc_area() > 0.8
    splits = model.table("splits").read().to_pandas()
    assert set(np.flatnonzero(scores["trained"])) <= set(splits[splits["part"] == "train"]["row"])


class KilledError(Exception):
    """The process went away."""


def test_a_killed_run_goes_on_to_the_same_weights(
    store: Store, model: Artifact, inputs: dict[str, list[Artifact]], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Store.open(store.url + "-killed")
    copies = _copy(store, other, inputs)
    save = Checkpoints.save

    def save_then_die(self: Checkpoints, step: int, files: Mapping[str, bytes]) -> None:
        save(self, step, files)
        if step == 3:
            raise KilledError

    monkeypatch.setattr(Checkpoints, "save", save_then_die)
    with pytest.raises(KilledError):
        run_job(other, "finetune", CONFIG, copies)
    monkeypatch.setattr(Checkpoints, "save", save)
    again = run_job(other, "finetune", CONFIG, copies)
    assert again.read_bytes("weights.safetensors") == model.read_bytes("weights.safetensors")
    assert again.table("metrics").read() == model.table("metrics").read()


def test_windows_give_the_batches_that_memory_gives(inputs: dict[str, list[Artifact]]) -> None:
    from lenscore.classify.finetune_feed import TrainingFeed
    from lenscore.classify.splits import Part

    cutouts = Cutouts.open(inputs["cutouts"][0])
    part = Part(np.array([1, 2, 9]), np.arange(20, 120), np.arange(3))
    held, windowed = (TrainingFeed(cutouts, part, 32, gib, 1) for gib in (1.0, 0.0))
    assert windowed.held is None
    rows = []
    for one, two in zip(held.batches(16, 0.25, 0, 1), windowed.batches(16, 0.25, 0, 1), strict=True):
        assert (one.images_bchw == two.images_bchw).all()
        assert one.classes_b.sum() == max(1, round(0.25 * len(one.classes_b)))
        rows.append(one.properties.ebv_b[one.classes_b == 0])
    assert sum(map(len, rows)) == 100
    assert len(rows) == held.steps(16, 0.25)


def _copy(store: Store, other: Store, inputs: dict[str, list[Artifact]]) -> dict[str, list[Artifact]]:
    for one in [one for items in inputs.values() for one in items]:
        for info in store.list(one.prefix):
            other.put(info.key, store.get(info.key))
    return {name: [Artifact.open(other, one.kind, one.id) for one in items] for name, items in inputs.items()}
