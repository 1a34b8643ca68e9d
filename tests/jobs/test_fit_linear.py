"""The linear classifier as a job, on embeddings with planted lenses."""

import numpy as np
import pytest

from jobs.fit_linear import FitLinearConfig
from lenscore.artifacts import Artifact, Store
from lenscore.classify.linear import LinearModel
from lenscore.classify.settings import BudgetConfig, PriorConfig, SolverConfig, SplitConfig
from lenscore.errors import InputError
from tests.support.artifacts import run_job
from tests.support.labelled import LabelledRelease, labelled_release, put_labels

CONFIG = FitLinearConfig(
    split=SplitConfig(ratios=(1, 5, 20, 500)),
    budget=BudgetConfig(inspected=100),
    prior=PriorConfig(lenses_per_object=None),
    solver=SolverConfig(components=(None, 6), strengths=(1.0, 30.0), iterations=30, kept_iterates=6),
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store.open(str(tmp_path_factory.mktemp("fit_linear")))


@pytest.fixture(scope="module")
def release(store: Store) -> LabelledRelease:
    return labelled_release(store, signal=3.5)


@pytest.fixture(scope="module")
def model(store: Store, release: LabelledRelease) -> Artifact:
    return fit(store, release, CONFIG)


def fit(store: Store, release: LabelledRelease, config: FitLinearConfig, **runtime: float) -> Artifact:
    inputs = {"embeddings": [release.embeddings], "cutouts": [release.cutouts], "labels": [release.labels]}
    return run_job(store, "fit_linear", config, inputs, **runtime)


def test_scan_says_what_fits_and_what_does_not(model: Artifact) -> None:
    scan = model.table("scan").read().to_pandas()
    assert scan["ratio"].tolist() == [1, 5, 20, 500]
    assert scan["fits"].tolist() == [True, True, True, False]
    assert np.isnan(scan["precision_validation"].iloc[-1])
    assert (scan["precision_low"][:3] <= scan["precision_validation"][:3]).all()
    assert model.read_json("model.json")["ratios_left_out"] == [500]


def test_the_chosen_iterate_is_the_best_on_validation(model: Artifact) -> None:
    metrics, chosen = model.table("metrics").read().to_pandas(), model.read_json("model.json")
    best = metrics.sort_values(["found", "average_precision"]).iloc[-1]
    assert (best["ratio"], best["strength"], best["iterate"]) == (
        chosen["ratio"],
        chosen["strength"],
        chosen["iterate"],
    )
    assert metrics["average_precision"].max() > 0.3


def test_splits_and_audit(model: Artifact, release: LabelledRelease) -> None:
    splits = model.table("splits").read().to_pandas()
    assert splits["row"].is_monotonic_increasing
    assert splits["row"].is_unique
    assert set(splits[splits["is_lens"]]["row"]) == set(release.listed)
    audit = model.table("audit").read().to_pandas()
    assert audit["score"].is_monotonic_decreasing
    assert release.is_lens[audit["row"]][:10].sum() >= 3, (
        "unlisted lenses are among the nonlenses with the highest scores"
    )
    catalogue = release.cutouts.table("catalogue").read().to_pandas()
    assert (audit["ls_id"].to_numpy() == catalogue["ls_id"].to_numpy()[audit["row"]]).all()


def test_probabilities_of_the_whole_release_sum_to_the_lenses_listed(model: Artifact, release: LabelledRelease) -> None:
    linear = LinearModel.load(model)
    assert linear.calibration.prior == pytest.approx(len(release.listed) / 1998)
    assert linear.weights.shape == (12,)
    assert linear.weights.dtype == np.float32


def test_the_same_model_from_memory_and_from_a_file(store: Store, release: LabelledRelease, model: Artifact) -> None:
    other = Store.open(store.url + "-file")
    again = labelled_release(other, signal=3.5)
    packed = fit(other, again, CONFIG, memory_gib=1e-6, threads=2)
    assert packed.manifest.metrics["held_in"] == ["file"] * 3
    assert packed.read_bytes("weights.safetensors") == model.read_bytes("weights.safetensors")


def test_too_few_lenses_are_refused(store: Store, release: LabelledRelease) -> None:
    catalogue = release.cutouts.table("catalogue").read()
    few = put_labels(store, catalogue, release.listed[:2], ["lens", "lens"])
    inputs = {"embeddings": [release.embeddings], "cutouts": [release.cutouts], "labels": [few]}
    with pytest.raises(InputError, match="label more lenses"):
        run_job(store, "fit_linear", CONFIG, inputs)


def test_cross_validation_uses_all_lenses_and_lists_them_once(store: Store, release: LabelledRelease) -> None:
    config = CONFIG.model_copy(update={"solver": CONFIG.solver.model_copy(update={"folds": 4})})
    model = fit(store, release, config)
    description = model.read_json("model.json")
    assert (
        description["lenses"]["train"]
        == description["lenses"]["validation"]
        == len(release.listed) - description["lenses"]["test"]
    )
    splits = model.table("splits").read().to_pandas()
    assert splits["row"].is_unique
    assert splits["is_lens"].sum() == len(release.listed)
    assert model.table("histogram").read()["lenses"].to_pandas().sum() == description["lenses"]["validation"]
