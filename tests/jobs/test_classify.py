"""Scores of a release."""

import numpy as np
import pytest

from jobs.classify import ClassifyConfig
from jobs.fit_linear import FitLinearConfig
from lenscore.artifacts import Artifact, Store
from lenscore.classify.linear import LinearModel
from lenscore.classify.ranking import rank
from lenscore.classify.settings import BudgetConfig, SolverConfig, SplitConfig
from lenscore.errors import InputError
from lenscore.similarity import Embeddings
from tests.support.artifacts import run_job
from tests.support.labelled import LabelledRelease, labelled_release, lens_vectors, put_embeddings

CONFIG = FitLinearConfig(
    split=SplitConfig(ratios=(5, 20)),
    budget=BudgetConfig(inspected=100),
    solver=SolverConfig(strengths=(3.0,), iterations=20, kept_iterates=3),
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store.open(str(tmp_path_factory.mktemp("classify")))


@pytest.fixture(scope="module")
def release(store: Store) -> LabelledRelease:
    return labelled_release(store, signal=3.5)


@pytest.fixture(scope="module")
def model(store: Store, release: LabelledRelease) -> Artifact:
    inputs = {"embeddings": [release.embeddings], "cutouts": [release.cutouts], "labels": [release.labels]}
    return run_job(store, "fit_linear", CONFIG, inputs)


def classify(store: Store, model: Artifact, release: LabelledRelease, embeddings: Artifact | None = None) -> Artifact:
    inputs = {"model": [model], "embeddings": [embeddings or release.embeddings], "cutouts": [release.cutouts]}
    return run_job(store, "classify", ClassifyConfig(), inputs)


def test_every_object_is_scored_in_order(store: Store, model: Artifact, release: LabelledRelease) -> None:
    scores = classify(store, model, release).table("scores").read().to_pandas()
    catalogue = release.cutouts.table("catalogue").read().to_pandas()
    assert scores["row"].tolist() == list(range(2000))
    assert (scores["ls_id"] == catalogue["ls_id"]).all()
    assert np.flatnonzero(scores["score"].isna()).tolist() == [3, 77]
    assert scores["probability"].isna().sum() == 2
    linear, features = LinearModel.load(model), Embeddings.open(release.embeddings)
    expected = features.read(0, 2000).astype(np.float64) @ linear.weights + linear.bias
    keep = ~scores["score"].isna()
    np.testing.assert_allclose(scores["score"][keep], expected[keep], rtol=1e-4, atol=1e-4)


def test_unlisted_lenses_stand_high_and_training_rows_are_marked(
    store: Store, model: Artifact, release: LabelledRelease
) -> None:
    scores = classify(store, model, release).table("scores").read().to_pandas()
    splits = model.table("splits").read().to_pandas()
    place = splits["place"] < model.read_json("model.json")["ratio"] * model.read_json("model.json")["lenses"]["train"]
    trained = splits[(splits["part"] == "train") & place]["row"]
    assert set(np.flatnonzero(scores["trained"])) == set(trained)
    unseen = scores["score"].where(~scores["trained"])
    assert rank(unseen.to_numpy(), release.is_lens).roc_area() > 0.9


def test_embeddings_of_another_encoder_are_refused(store: Store, model: Artifact, release: LabelledRelease) -> None:
    catalogue = release.cutouts.table("catalogue").read()
    vectors = lens_vectors(release.is_lens, np.random.default_rng(1), 1.0)
    other = put_embeddings(store, vectors, catalogue, release.cutouts, model="x" * 64)
    with pytest.raises(InputError, match="the classifier was fitted on"):
        classify(store, model, release, other)
