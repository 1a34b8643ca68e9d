"""The compare job."""

import numpy as np

from jobs.compare import CompareConfig
from jobs.rank import RankConfig
from lenscore.candidates.strata import Stratum
from tests.support.artifacts import run_job
from tests.support.candidates import catalogue_rows, put_cutouts, put_model, put_scores


def test_differences_and_summary(file_store):
    ra = 10 + 0.1 * np.arange(4)
    model = put_model(file_store)
    config = RankConfig(strata=(Stratum(name="s", budget=2),))
    cutouts, candidates = [], []
    for release, scores in (("demo-dr1", [4.0, 3, 2, 1]), ("demo-dr2", [4.0, 1, 2, 3])):
        cutouts.append(put_cutouts(file_store, catalogue_rows(ra, np.zeros(4), release=release), release))
        inputs = {"cutouts": [cutouts[-1]], "scores": [put_scores(file_store, cutouts[-1], scores, model=model)]}
        candidates.append(run_job(file_store, "rank", config, inputs))
    inputs = {
        "before": [candidates[0]],
        "after": [candidates[1]],
        "cutouts_before": [cutouts[0]],
        "cutouts_after": [cutouts[1]],
    }
    made = run_job(file_store, "compare", CompareConfig(), inputs)
    rows = made.table("differences").read().to_pylist()
    assert [(row["change"], row["cause"]) for row in rows] == [
        ("disappeared", "moved across the cut"),
        ("appeared", "moved across the cut"),
    ]
    summary = made.read_json("summary.json")
    assert summary["before"] == f"candidates/{candidates[0].id}"
    assert (summary["in_both"], summary["same_rank"]) == (1, 1)
    assert made.manifest.metrics["appeared"] == 1
