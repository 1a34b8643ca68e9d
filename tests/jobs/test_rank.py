"""The rank job: the table, its evidence, and what was dropped."""

import numpy as np
import pytest

from jobs.rank import RankConfig
from lenscore.candidates.strata import Stratum
from lenscore.errors import InputError
from tests.support.artifacts import run_job
from tests.support.candidates import (
    catalogue_rows,
    put_cutouts,
    put_labels,
    put_model,
    put_neighbours,
    put_scores,
)

STRATA = (Stratum(name="south", mag_max=20.0, budget=4), Stratum(name="north", region="north", budget=2))


@pytest.fixture
def survey(file_store):
    """Two regions with two classifiers in the south, one in the north, and a pair across the border."""
    south = put_cutouts(file_store, catalogue_rows(10 + 0.1 * np.arange(10), np.full(10, 30.0)))
    north = put_cutouts(
        file_store, catalogue_rows([10.9, 80.0, 90.0], [30.001, 40.0, 50.0], release="dr9-north"), "dr9-north"
    )
    model = put_model(file_store)
    scores = [
        put_scores(file_store, south, np.arange(10.0), model=model),
        put_scores(file_store, south, -np.arange(10.0), method="finetuned"),
        put_scores(file_store, north, [7.0, 1.0, np.nan], model=model),
    ]
    labels = [put_labels(file_store, south, {8: "lens", 7: "near"})]
    return {"cutouts": [south, north], "scores": scores, "labels": labels}


def test_candidates_with_their_evidence(file_store, survey):
    made = run_job(file_store, "rank", RankConfig(strata=STRATA), survey)
    table = made.table("candidates").read()
    rows = table.to_pylist()
    assert table["rank"].to_pylist() == [1, 2, 3, 4, 5]
    # Best by linear: south 9 and north 0 share a spot; then finetuned's 0; linear's 8 and 7 are known.
    south = [row["row"] for row in rows if row["release_name"] == "dr9-south"]
    assert south == [9, 0, 1, 2]
    assert [row["row"] for row in rows if row["release_name"] == "dr9-north"] == [1]
    first = rows[0]
    assert (first["score_linear"], first["rank_linear"], first["score_finetuned"], first["rank_finetuned"]) == (
        9.0,
        1,
        -9.0,
        10,
    )
    assert first["probability_linear"] == pytest.approx(1 / (1 + np.exp(-9.0)), abs=1e-6)
    assert (first["best_rank"], first["best_method"], first["suppressed"]) == (1, "linear", 1)
    assert (first["type"], first["region"], first["nobs_g"], first["grade"], first["known"]) == (
        "SER",
        "south",
        3,
        "",
        False,
    )
    assert first["mag_z"] == pytest.approx(19.0)
    other = next(row for row in rows if row["release_name"] == "dr9-north")
    assert (other["rank_linear"], other["rank_finetuned"]) == (2, None)
    assert np.isnan(other["score_finetuned"])
    ids = [artifact.id for artifact in (survey["cutouts"][0], survey["labels"][0], *survey["scores"][:2])]
    assert [text.split("/")[1] for text in first["sources"].split()] == ids
    assert table.schema.field("ra").metadata == {b"unit": b"deg"}


def test_dropped_objects_say_why(file_store, survey):
    made = run_job(file_store, "rank", RankConfig(strata=STRATA), survey)
    dropped = made.table("dropped").read().to_pylist()
    reasons = {(row["release_name"], row["row"]): row["reason"] for row in dropped}
    assert reasons[("dr9-south", 8)] == "known lens"
    assert reasons[("dr9-north", 0)] == "near a better candidate"
    assert dropped[0]["by_ls_id"] == made.table("candidates").read(["ls_id"])["ls_id"][0].as_py()
    sources = made.read_json("sources.json")
    assert sources["methods"] == ["linear", "finetuned"]
    assert [item["release"] for item in sources["releases"]] == ["dr9-south", "dr9-north"]
    assert made.manifest.metrics["budgets_filled"] is False


def test_known_ones_can_be_kept_and_flagged(file_store, survey):
    config = RankConfig(strata=STRATA, drop_known=False, drop_near=False)
    rows = run_job(file_store, "rank", config, survey).table("candidates").read().to_pylist()
    flags = {(row["release_name"], row["row"]): (row["known"], row["near_known"], row["nearest_lens"]) for row in rows}
    assert flags[("dr9-south", 8)] == (True, False, "system 8")
    assert flags[("dr9-south", 9)] == (False, False, "")


def test_similar_objects_join(file_store, survey):
    neighbours = np.full((10, 2), 0xFFFFFFFF, dtype=np.uint32)
    neighbours[8] = [4, 5]
    similarity = np.full((10, 2), 0.25)
    similarity[8] = [0.75, 0.5]
    item = put_neighbours(file_store, survey["cutouts"][0], neighbours, similarity)
    made = run_job(file_store, "rank", RankConfig(strata=STRATA), {**survey, "similarity": [item]})
    rows = {(row["release_name"], row["row"]): row for row in made.table("candidates").read().to_pylist()}
    found = rows[("dr9-south", 4)]
    ids = survey["cutouts"][0].table("catalogue").read(["ls_id"])["ls_id"].to_pylist()
    assert (found["best_method"], found["rank_similarity"], found["score_similarity"]) == ("similarity", 1, 0.75)
    assert found["similar_to"] == ids[8]
    assert rows[("dr9-south", 9)]["rank_similarity"] is None
    assert rows[("dr9-south", 9)]["similar_to"] == -1
    queried = RankConfig(strata=STRATA, queries=(ids[0],))
    again = run_job(file_store, "rank", queried, {**survey, "similarity": [item]}).table("candidates").read()
    assert "similarity" not in again["best_method"].to_pylist()


def test_order_of_inputs_does_not_change_who_is_found(file_store, survey):
    first = run_job(file_store, "rank", RankConfig(strata=STRATA), survey).table("candidates").read()
    turned = {name: items[::-1] for name, items in survey.items()}
    second = run_job(file_store, "rank", RankConfig(strata=STRATA), turned).table("candidates").read()
    assert set(first["ls_id"].to_pylist()) == set(second["ls_id"].to_pylist())


def test_no_candidates_is_a_result(file_store, survey):
    config = RankConfig(strata=(Stratum(name="none", mag_max=5.0, budget=3),))
    made = run_job(file_store, "rank", config, survey)
    assert made.table("candidates").num_rows == 0
    assert "rank_linear" in made.table("candidates").schema.names


def test_a_release_without_any_score_is_refused(file_store, survey):
    with pytest.raises(InputError, match="dr9-north has neither"):
        run_job(file_store, "rank", RankConfig(strata=STRATA), {**survey, "scores": survey["scores"][:2]})
