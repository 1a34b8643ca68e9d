"""Pools of the best, ranks and their merging."""

import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lenscore.artifacts import Store
from lenscore.candidates import sources
from lenscore.candidates.evidence import candidate_table
from lenscore.candidates.ranking import OBJECT, TopRows, competition_ranks, merge, rank_objects, stratum_of, why_not
from lenscore.candidates.similar import add_similarity
from lenscore.candidates.sources import open_searched
from lenscore.candidates.strata import Stratum
from lenscore.errors import InputError
from tests.support.candidates import catalogue_rows, put_cutouts, put_labels, put_model, put_neighbours, put_scores

SOUTH = Stratum(name="south", budget=3)


def objects(scores, release=0, first=0):
    rows = np.zeros(len(scores), OBJECT)
    rows["score"], rows["release"], rows["row"] = scores, release, np.arange(first, first + len(scores))
    rows["ls_id"] = 100 * (release + 1) + rows["row"]
    return rows


@given(
    st.lists(st.one_of(st.integers(0, 8).map(float), st.just(float("nan"))), max_size=80),
    st.integers(1, 12),
    st.lists(st.integers(0, 80), max_size=6),
    st.randoms(use_true_random=False),
)
@settings(max_examples=60, deadline=None)
def test_top_rows_are_those_of_a_full_sort(scores, depth, cuts, random):
    every = objects(scores)
    expected = every[np.lexsort((every["ls_id"], -every["score"]))]
    expected = expected[np.isfinite(expected["score"])][:depth]
    top = TopRows(depth)
    places = sorted({0, len(scores), *(min(cut, len(scores)) for cut in cuts)})
    parts = [every[a:b] for a, b in itertools.pairwise(places)]
    random.shuffle(parts)
    for part in parts:
        top.push(part)
    assert top.best()["ls_id"].tolist() == expected["ls_id"].tolist()
    assert top.truncated == (np.isfinite(scores).sum() > depth)


def test_equal_scores_share_a_rank():
    assert competition_ranks(np.array([5.0, 4.0, 4.0, 1.0])).tolist() == [1, 2, 2, 4]


def test_merged_order_is_by_best_rank_then_method():
    tops = [{"linear": TopRows(3), "finetuned": TopRows(3)}]
    tops[0]["linear"].push(objects([3.0, 2.0, 1.0]))
    tops[0]["finetuned"].push(objects([0.1, 0.3, 0.2]))
    pool = merge(tops)
    assert pool.objects_n["row"].tolist() == [0, 1, 2]
    assert pool.best_rank_n.tolist() == [1, 1, 2]
    assert pool.method_n.tolist() == [0, 1, 1]


def test_strata_by_region_and_magnitude():
    strata = [
        Stratum(name="a", mag_max=20.0, budget=1),
        Stratum(name="b", mag_min=20.0, budget=1),
        Stratum(name="c", region="north", budget=1),
    ]
    batch = pa.table(
        {"region": ["south", "south", "south", "north", "south"], "mag_z": [19.0, 20.0, np.nan, np.nan, 19.999]}
    )
    assert stratum_of(batch, strata).tolist() == [0, 1, -1, 2, 0]


def sky(store: Store, rows: int, **columns):
    ra = 10 + np.arange(rows) * 0.1
    return put_cutouts(store, catalogue_rows(ra, np.zeros(rows), **columns))


def ranked(searched, methods=("linear",), strata=(SOUTH,), drop=("lens", "near", "ambiguous"), limits=None):
    return rank_objects(searched, strata, methods, limits=limits or {}, drop=drop, radius_arcsec=25.15)


def rows_of(ranking):
    return ranking.pool.objects_n["row"][ranking.picked.picked_n].tolist()


def test_known_are_dropped_and_the_budget_is_still_filled(file_store):
    cutouts = sky(file_store, 20)
    labels = put_labels(file_store, cutouts, {19: "lens", 18: "near", 16: "ambiguous"})
    searched = open_searched([cutouts], [put_scores(file_store, cutouts, np.arange(20.0))], [labels])
    ranking = ranked(searched)
    assert rows_of(ranking) == [17, 15, 14]
    assert [reason for reason in why_not(ranking) if reason] == [
        "known lens",
        "near a known lens",
        "listed but ambiguous",
    ]
    assert rows_of(ranked(searched, drop=["near"])) == [19, 17, 16]


def test_pools_are_deepened_where_duplicates_use_them_up(file_store):
    # The 60 best lie on one spot: only one of them can be taken.
    dec = np.where(np.arange(80) >= 20, 0.0, 5.0)
    ra = np.where(np.arange(80) >= 20, 200.0 + np.arange(80) * 1e-6, np.arange(80) * 0.1)
    cutouts = put_cutouts(file_store, catalogue_rows(ra, dec))
    searched = open_searched([cutouts], [put_scores(file_store, cutouts, np.arange(80.0))], [])
    assert rows_of(ranked(searched)) == [79, 19, 18]


def test_two_methods_two_strata_and_unscored_rows(file_store):
    mag = np.where(np.arange(12) % 2, 21.0, 19.0)
    cutouts = sky(file_store, 12, mag_z=mag)
    first = np.arange(12.0)
    first[10] = np.nan
    scores = [
        put_scores(file_store, cutouts, first),
        put_scores(file_store, cutouts, -np.arange(12.0), method="finetuned"),
    ]
    strata = (Stratum(name="bright", mag_max=20.0, budget=2), Stratum(name="faint", mag_min=20.0, budget=1))
    ranking = ranked(open_searched([cutouts], scores, []), ("linear", "finetuned"), strata)
    # linear: bright 8, 6, ...; faint 11, ...  finetuned: bright 0, 2, ...; faint 1, ...
    assert rows_of(ranking) == [8, 11, 0]
    assert ranking.complete


def test_regions_suppress_one_another(file_store):
    south = put_cutouts(file_store, catalogue_rows([10.0, 50.0], [33.0, 33.0]))
    north = put_cutouts(file_store, catalogue_rows([10.001, 70.0], [33.0, 33.0], release="dr9-north"), "dr9-north")
    model = put_model(file_store)
    scores = [
        put_scores(file_store, south, [5.0, 1.0], model=model),
        put_scores(file_store, north, [6.0, 2.0], model=model),
    ]
    strata = (Stratum(name="s", budget=5), Stratum(name="n", region="north", budget=5))
    searched = open_searched([south, north], scores, [])
    assert [list(item.methods) for item in searched] == [["linear"], ["linear"]]
    ranking = ranked(searched, strata=strata)
    picked = ranking.pool.objects_n[ranking.picked.picked_n]
    assert sorted(zip(picked["release"].tolist(), picked["row"].tolist(), strict=True)) == [(0, 0), (0, 1), (1, 1)]
    assert not ranking.complete


def test_similar_objects_of_known_lenses_and_of_queries(file_store):
    cutouts = sky(file_store, 6)
    rows = np.array([[1, 2], [0, 2], [0, 1], [4, 5], [3, 5], [4, 0xFFFFFFFF]])
    similarity = np.array([[0.9, 0.5], [0.9, 0.8], [0.5, 0.4], [0.7, 0.6], [0.7, 0.3], [0.2, 0.0]])
    neighbours = put_neighbours(file_store, cutouts, rows, similarity)
    labels = put_labels(file_store, cutouts, {0: "lens", 1: "lens", 3: "near"})
    scores = [put_scores(file_store, cutouts, np.arange(6.0))]
    searched = open_searched([cutouts], scores, [labels])
    add_similarity(searched, [neighbours], (), 2)
    found = searched[0].methods["similarity"]
    np.testing.assert_allclose(found.read(0, 6), [0.9, 0.9, 0.8, np.nan, np.nan, np.nan], atol=1e-3)
    assert found.queries_of(np.array([0, 2, 5])).tolist() == [1, 1, -1]
    ids = cutouts.table("catalogue").read(["ls_id"])["ls_id"].to_pylist()
    add_similarity(searched, [neighbours], (ids[3], ids[5]), 1)
    np.testing.assert_allclose(searched[0].methods["similarity"].read(2, 6), [np.nan, np.nan, 0.7, np.nan], atol=1e-3)
    with pytest.raises(InputError, match="query 12345"):
        add_similarity(searched, [neighbours], (12345,), 1)


def test_nothing_depends_on_how_rows_are_cut(file_store, monkeypatch):
    rng = np.random.default_rng(5)
    ra, dec = rng.uniform(10, 10.1, 60), rng.uniform(0, 0.1, 60)
    cutouts = put_cutouts(file_store, catalogue_rows(ra, dec, mag_z=rng.uniform(18, 21, 60)))
    scores = [put_scores(file_store, cutouts, rng.integers(0, 9, 60), method=name) for name in ("linear", "finetuned")]
    searched = open_searched([cutouts], scores, [put_labels(file_store, cutouts, {3: "lens", 40: "near"})])
    strata = (Stratum(name="bright", mag_max=20.0, budget=6), Stratum(name="faint", mag_min=20.0, budget=3))
    methods = ("linear", "finetuned")
    tables = []
    for rows in (1000, 7):
        monkeypatch.setattr(sources, "RANGE_ROWS", rows)
        tables.append(candidate_table(ranked(searched, methods, strata), searched, strata, methods).to_pylist())
    assert str(tables[0]) == str(tables[1])
    assert len(tables[0]) == 9


def test_ranks_are_those_among_all_objects_of_the_stratum(file_store):
    rng = np.random.default_rng(6)
    mag = rng.uniform(18, 21, 50)
    cutouts = sky(file_store, 50, mag_z=mag)
    values = {name: rng.normal(size=50) for name in ("linear", "finetuned")}
    searched = open_searched([cutouts], [put_scores(file_store, cutouts, v, method=k) for k, v in values.items()], [])
    strata = (Stratum(name="bright", mag_max=20.0, budget=5), Stratum(name="faint", mag_min=20.0, budget=5))
    table = candidate_table(ranked(searched, tuple(values), strata), searched, strata, tuple(values)).to_pylist()
    for row in table:
        same = (mag < 20) == (mag[row["row"]] < 20)
        for name, scores in values.items():
            assert row[f"rank_{name}"] == 1 + (scores[same] > scores[row["row"]]).sum()


def test_limited_methods_bring_in_no_more(file_store):
    cutouts = sky(file_store, 6)
    scores = [
        put_scores(file_store, cutouts, np.arange(6.0)),
        put_scores(file_store, cutouts, -np.arange(6.0), method="other"),
    ]
    searched = open_searched([cutouts], scores, [])
    assert rows_of(ranked(searched, ("linear", "other"), limits={"other": 1})) == [5, 0, 4]


def test_faults_say_what_to_do(file_store):
    cutouts, other = sky(file_store, 3), sky(file_store, 4)
    model = put_model(file_store)
    scores = put_scores(file_store, cutouts, [1.0, 2.0, 3.0], model=model)
    with pytest.raises(InputError, match="twice"):
        open_searched([cutouts, cutouts], [scores], [])
    with pytest.raises(InputError, match="belongs to none"):
        open_searched([other], [scores], [])
    with pytest.raises(InputError, match="two scores"):
        open_searched([cutouts], [scores, put_scores(file_store, cutouts, [1.0, 1.0, 3.0], model=model)], [])
    with pytest.raises(InputError, match="2 labels"):
        open_searched(
            [cutouts], [scores], [put_labels(file_store, cutouts, {0: "lens"}), put_labels(file_store, cutouts, {})]
        )
    with pytest.raises(InputError, match="band 'i'"):
        ranked(open_searched([cutouts], [scores], []), strata=(Stratum(name="x", band="i", mag_max=20.0, budget=1),))
