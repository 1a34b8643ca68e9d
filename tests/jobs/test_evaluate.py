"""The evaluation: planted lenses are found by the encoder that sees them, and by no other."""

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from jobs.evaluate import EvaluateConfig
from lenscore.artifacts import Artifact, Store
from lenscore.classify import report
from lenscore.classify.settings import BudgetConfig, SolverConfig, SplitConfig
from lenscore.errors import InputError
from tests.support.artifacts import run_job
from tests.support.candidates import put_artifact
from tests.support.labelled import LabelledRelease, labelled_release, lens_vectors, put_embeddings

CONFIG = EvaluateConfig(
    encoders=("pretrained", "untrained"),
    combinations=(("pretrained",), ("untrained",)),
    scores=("linear",),
    split=SplitConfig(ratios=(5, 20)),
    budget=BudgetConfig(inspected=200),
    whitened=12,
    draws=4,
    repeats=2,
    solver=SolverConfig(strengths=(10.0,), iterations=20, kept_iterates=3),
)


def put_sky(store: Store, release: LabelledRelease, rng: np.random.Generator) -> Artifact:
    """A sky whose truth is that of the release, in another order."""
    catalogue, is_lens = release.cutouts.table("catalogue").read(), release.is_lens
    systems = [f"S{row}" if lens else None for row, lens in enumerate(is_lens)]
    truth = pa.table(
        {
            "ls_id": catalogue["ls_id"],
            "is_lens": is_lens,
            "findable": is_lens & (rng.random(len(is_lens)) < 0.7),
            "system_id": pa.array(systems, pa.string()),
            "theta_e_arcsec": _known(is_lens, 1.0),
            "arc_mag_g": _known(is_lens, rng.uniform(19, 24, len(is_lens))),
        }
    )
    return put_artifact(store, "sky", tables={"truth": truth.take(pa.array(rng.permutation(len(is_lens))))})


def _known(is_lens: NDArray[np.bool_], values: float | NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(is_lens, values, np.nan)


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    store, rng = Store.open(str(tmp_path_factory.mktemp("evaluate"))), np.random.default_rng(5)
    release = labelled_release(store, rows=4000, lenses=100, signal=4.0)
    catalogue = release.cutouts.table("catalogue").read()
    blind = put_embeddings(store, lens_vectors(release.is_lens, rng, 0.0), catalogue, release.cutouts, model="u" * 64)
    scores = pa.table(
        {
            "row": np.arange(4000),
            "ls_id": catalogue["ls_id"],
            "score": (release.is_lens + rng.normal(size=4000)).astype(np.float32),
            "probability": np.zeros(4000, np.float32),
            "trained": np.arange(4000) % 10 == 0,
        }
    )
    best = np.argsort(-scores["score"].to_numpy())[:50]
    candidates = pa.table({"rank": np.arange(1, 51), "ls_id": catalogue["ls_id"].take(pa.array(best))})
    inputs = {
        "sky": [put_sky(store, release, rng)],
        "cutouts": [release.cutouts],
        "labels": [release.labels],
        "embeddings": [release.embeddings, blind],
        "scores": [put_artifact(store, "scores", tables={"scores": scores})],
        "candidates": [put_artifact(store, "candidates", tables={"candidates": candidates})],
    }
    return run_job(store, "evaluate", CONFIG, inputs)


def test_methods_beside_each_other(evaluation: Artifact) -> None:
    found = evaluation.read_json("evaluation.json")
    methods = {one["method"]: one for one in found["methods"]}
    assert list(methods) == ["linear", "pretrained", "untrained", "catalogue columns", "random"]
    seeing, blind = methods["pretrained"]["average_precision"], methods["untrained"]["average_precision"]
    assert seeing["low"] > 5 * blind["high"]
    assert methods["catalogue columns"]["average_precision"]["value"] < 0.1
    assert methods["random"]["enrichment"]["value"] == pytest.approx(1, abs=0.5)
    similar = {one["encoder"]: one for one in found["similarity"]}
    assert similar["pretrained"]["enrichment"] > 3 * similar["untrained"]["enrichment"]


def test_only_objects_unknown_to_training_count(evaluation: Artifact) -> None:
    found = evaluation.read_json("evaluation.json")
    lenses = found["lenses"]
    assert (lenses["all"], lenses["listed"], lenses["unknown"]) == (100, 50, 50)
    assert lenses["unknown_in_pool"] < 50
    assert found["pool"] < 0.9 * 4000
    assert found["candidates"]["length"] == 50
    assert 0 < found["candidates"]["precision"] < 1


def test_recall_by_magnitude_adds_up_to_the_lenses(evaluation: Artifact) -> None:
    recall = evaluation.table("recall").read().to_pandas()
    pool = evaluation.read_json("evaluation.json")["lenses"]["unknown_in_pool"]
    assert (recall.groupby(["method", "quantity"])["lenses"].sum() == pool).all()
    assert (recall["found"] <= recall["lenses"]).all()


def test_report_has_a_row_a_method(evaluation: Artifact) -> None:
    found = evaluation.read_json("evaluation.json")
    table = report.rows(found)
    assert {len(row) for row in table} == {len(report.HEADER)}
    assert [row[0] for row in table[1:]] == ["linear", "pretrained", "untrained", "catalogue columns", "random"]
    assert table[1][-1] == "-"
    assert "unlisted lenses" in report.headline(found)


def test_names_must_fit_the_inputs(file_store: Store) -> None:
    with pytest.raises(ValidationError, match="not among encoders"):
        EvaluateConfig(encoders=("pca",), combinations=(("pretrained",),))
    release = labelled_release(file_store, rows=300, lenses=40)
    sky = put_sky(file_store, release, np.random.default_rng(0))
    inputs = {
        "sky": [sky],
        "cutouts": [release.cutouts],
        "labels": [release.labels],
        "embeddings": [release.embeddings],
    }
    with pytest.raises(InputError, match="1 embeddings for encoders"):
        run_job(file_store, "evaluate", CONFIG, inputs)
