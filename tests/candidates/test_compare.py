"""Two versions of the candidates, their differences and causes."""

import numpy as np
import pytest

from jobs.rank import RankConfig
from lenscore.candidates.compare import Tolerance, compare_versions
from lenscore.candidates.strata import Stratum
from lenscore.candidates.twins import Version, find_twins
from lenscore.errors import InputError
from tests.support.artifacts import run_job
from tests.support.candidates import catalogue_rows, put_cutouts, put_labels, put_model, put_scores

ARCSEC = 1 / 3600
RA = 10 + 0.1 * np.arange(8)
DEC = np.zeros(8)


def version(store, cutouts, scores, model=None, known=None, budget=4):
    """Candidates of one release by one linear model."""
    model = model or put_model(store)
    labels = [put_labels(store, cutouts, known)] if known else []
    inputs = {"cutouts": [cutouts], "scores": [put_scores(store, cutouts, scores, model=model)], "labels": labels}
    made = run_job(store, "rank", RankConfig(strata=(Stratum(name="s", budget=budget),)), inputs)
    return Version.open(made, [cutouts])


def changes(before, after):
    table, summary = compare_versions(before, after, 1.0, Tolerance())
    return {(round(row["ra"], 3), row["change"], row["cause"]) for row in table.to_pylist()}, table, summary


def test_same_version_has_no_differences(file_store):
    cutouts = put_cutouts(file_store, catalogue_rows(RA, DEC))
    one = version(file_store, cutouts, np.arange(8.0))
    found, _, summary = changes(one, one)
    assert found == set()
    assert (summary["in_both"], summary["same_rank"]) == (4, 4)


def test_moved_across_the_cut_and_within_one_release(file_store):
    cutouts = put_cutouts(file_store, catalogue_rows(RA, DEC))
    model = put_model(file_store)
    before = version(file_store, cutouts, [8.0, 7, 6, 5, 4, 3, 2, 1], model)
    after = version(file_store, cutouts, [8.0, 7, 5, 1, 4, 6, 2, 3], model)
    found, table, _ = changes(before, after)
    assert found == {
        (10.3, "disappeared", "moved across the cut"),
        (10.5, "appeared", "moved across the cut"),
        (10.2, "moved in rank", "other candidates came or went"),
    }
    moved = next(row for row in table.to_pylist() if row["change"] == "moved in rank")
    assert (moved["rank_before"], moved["rank_after"], moved["ls_id_before"]) == (3, 4, moved["ls_id_after"])


def test_another_model(file_store):
    cutouts = put_cutouts(file_store, catalogue_rows(RA, DEC))
    before = version(file_store, cutouts, [4.0, 3, 2, 1, 0, 0, 0, 0], put_model(file_store, seed=1), budget=2)
    after = version(file_store, cutouts, [4.0, 1, 2, 3, 0, 0, 0, 0], put_model(file_store, seed=2), budget=2)
    found, _, summary = changes(before, after)
    assert found == {(10.1, "disappeared", "model changed"), (10.3, "appeared", "model changed")}
    assert summary["models_before"] != summary["models_after"]


def next_release(store, keep, **columns):
    """The same objects, renumbered, moved by up to 0.3 arcsec and in another order, with a new one at ra = 50."""
    ra = np.append(RA[keep] + 0.3 * ARCSEC, 50.0)
    dec = np.append(DEC[keep], 0.0)
    return put_cutouts(store, catalogue_rows(ra, dec, release="demo-dr2", first_objid=500, **columns), "demo-dr2")


def test_another_release(file_store):
    model = put_model(file_store)
    first = put_cutouts(file_store, catalogue_rows(RA, DEC, release="demo-dr1"), "demo-dr1")
    keep = np.array([7, 6, 5, 4, 2, 1, 0])
    # Deeper for the objects that were 2 and 1; object 3 has gone; object 6 is the same but scores better.
    depth = np.full(8, 800.0)
    depth[[4, 5]] = 1600.0
    second = next_release(file_store, keep, psfdepth_z=depth)
    before = version(file_store, first, [8.0, 7, 6, 5, 0, 0, 0, 0], model)
    after = version(file_store, second, [0.0, 7.5, 0, 0, 0, 7, 8, 9], model)
    found, table, summary = changes(before, after)
    assert found == {
        (10.3, "disappeared", "vanished"),
        (10.2, "disappeared", "imaging changed"),
        (50.0, "appeared", "new object"),
        (10.6, "appeared", "moved across the cut"),
        (10.0, "moved in rank", "other candidates came or went"),
        (10.1, "moved in rank", "imaging changed"),
    }
    rows = {round(row["ra"], 3): row for row in table.to_pylist()}
    assert rows[10.2]["detail"] == "psfdepth_z 800 -> 1600"
    assert rows[10.2]["separation_arcsec"] == pytest.approx(0.3, abs=1e-3)
    assert rows[50.0]["ls_id_before"] == rows[10.3]["ls_id_after"] == -1
    assert (rows[50.0]["rank_before"], rows[10.3]["rank_after"]) == (None, None)
    assert summary["changes"]["disappeared"] == {"imaging changed": 1, "vanished": 1}
    assert (summary["in_both"], summary["candidates_before"], summary["candidates_after"]) == (2, 4, 4)


def test_known_and_crowded_out(file_store):
    cutouts = put_cutouts(file_store, catalogue_rows([10.0, 10.0, 20.0, 30.0], [0.0, 10 * ARCSEC, 0.0, 0.0]))
    model = put_model(file_store)
    before = version(file_store, cutouts, [4.0, 3, 2, 1], model)
    after = version(file_store, cutouts, [3.0, 4, 2, 1], model, known={2: "lens"})
    found, _, _ = changes(before, after)
    assert {(row[1], row[2]) for row in found} == {
        ("disappeared", "better candidate near by"),
        ("appeared", "better candidate near by is gone"),
        ("disappeared", "became known"),
        ("moved in rank", "other candidates came or went"),
    }
    back, _, _ = changes(after, before)
    assert (20.0, "appeared", "no longer known") in back


def test_twins_must_be_mutually_nearest(file_store):
    first = put_cutouts(file_store, catalogue_rows([10.0, 10.0], [0.0, 0.8 * ARCSEC], release="demo-dr1"), "demo-dr1")
    second = put_cutouts(file_store, catalogue_rows([10.0], [0.7 * ARCSEC], release="demo-dr2"), "demo-dr2")
    before = version(file_store, first, [2.0, 1.0])
    after = version(file_store, second, [2.0])
    assert [twin is None for twin in find_twins(before, after, 1.0)] == [True]
    assert [twin.row for twin in find_twins(after, before, 1.0) if twin] == [1]


def test_regions_are_kept_apart(file_store):
    south = put_cutouts(file_store, catalogue_rows([10.0], [33.0]))
    north = put_cutouts(file_store, catalogue_rows([10.0], [33.0], release="dr9-north"), "dr9-north")
    model = put_model(file_store)
    strata = (Stratum(name="n", region="north", budget=1),)
    before = version(file_store, south, [1.0], model)
    made = run_job(
        file_store,
        "rank",
        RankConfig(strata=strata),
        {"cutouts": [north], "scores": [put_scores(file_store, north, [1.0], model=model)]},
    )
    found, _, _ = changes(before, Version.open(made, [north]))
    assert {(row[1], row[2]) for row in found} == {("disappeared", "vanished"), ("appeared", "new object")}


def test_other_cutouts_are_refused(file_store):
    cutouts, other = (
        put_cutouts(file_store, catalogue_rows(RA, DEC)),
        put_cutouts(file_store, catalogue_rows(RA[:2], DEC[:2])),
    )
    one = version(file_store, cutouts, np.arange(8.0))
    with pytest.raises(InputError, match="cutouts given"):
        Version.open(one.artifact, [other])
