"""Which objects lie near lenses: semantics, files of any format, and the real lists."""

import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lenscore.artifacts import Store
from lenscore.errors import InputError, NotFoundError, StoreError
from lenscore.survey.crossmatch import match_files, write_table
from lenscore.survey.matching import mark_nearest, match_batches, match_table, name_pairs, summarise
from lenscore.survey.sky_geometry import TargetIndex, separation_arcsec
from lenscore.survey.tables import read_table
from tests.support.candidates import catalogue_rows, put_cutouts

ARCSEC = 1 / 3600


def batch(ra, dec, ls_id=None) -> pa.RecordBatch:
    columns = {"ra": np.asarray(ra, float), "dec": np.asarray(dec, float)}
    if ls_id is not None:
        columns["ls_id"] = np.asarray(ls_id, np.int64)
    return pa.RecordBatch.from_pydict(columns)


def test_nearest_is_the_lens_and_others_are_near():
    index = TargetIndex([10.0], [0.0], 25.15)
    found, _ = match_batches([batch([10.0, 10.0, 10.0], [20 * ARCSEC, 2 * ARCSEC, 26 * ARCSEC])], index)
    assert found["row"].to_pylist() == [0, 1]
    assert mark_nearest(found).tolist() == [False, True]
    np.testing.assert_allclose(found["separation_arcsec"], [20, 2])


def test_one_object_can_be_the_lens_of_two_systems():
    index = TargetIndex([10.0, 10.0], [0.0, 10 * ARCSEC], 25.15)
    found, _ = match_batches([batch([10.0, 10.0], [1 * ARCSEC, 24 * ARCSEC])], index)
    summary = summarise(found, 2, 2, 0)
    assert (summary.pairs, summary.objects_with_lens, summary.nearest, summary.near_only) == (4, 2, 1, 1)


def test_equally_near_objects_are_told_apart_by_identity_not_order():
    index = TargetIndex([10.0], [0.0], 25.15)
    for ids in ([7, 3], [3, 7]):
        found, _ = match_batches([batch([10.0, 10.0], [5 * ARCSEC, 5 * ARCSEC], ids)], index)
        assert found.filter(pa.array(mark_nearest(found)))["ls_id"].to_pylist() == [3]


def test_bad_rows_are_listed_and_keep_their_numbers():
    index = TargetIndex([10.0], [0.0], 25.15)
    found, rejected = match_batches(
        [batch([400.0, 10.0], [0.0, 0.0], [5, 6]), batch([10.0, np.nan], [0.0, 1.0], [7, 8])], index
    )
    assert found["row"].to_pylist() == [1, 2]
    assert rejected["row"].to_pylist() == [0, 3]
    assert rejected["ls_id"].to_pylist() == [5, 8]
    assert "400.0" in rejected["reason"][0].as_py()


@given(st.integers(1, 60), st.integers(1, 10), st.integers(0, 2**31), st.lists(st.integers(1, 20), max_size=4))
@settings(max_examples=30, deadline=None)
def test_result_does_not_depend_on_how_rows_are_cut(objects, lenses, seed, cuts):
    rng = np.random.default_rng(seed)
    ra, dec = rng.normal(0, 0.01, objects) % 360, rng.normal(0, 0.01, objects)
    index = TargetIndex(rng.normal(0, 0.01, lenses) % 360, rng.normal(0, 0.01, lenses), 25.15)
    whole, _ = match_batches([batch(ra, dec)], index)
    places = sorted({0, objects, *(min(cut, objects) for cut in cuts)})
    parts, _ = match_batches([batch(ra[a:b], dec[a:b]) for a, b in itertools.pairwise(places)], index)
    assert parts.equals(whole)
    # Every lens that has an object within the radius has exactly one nearest, and none is nearer.
    nearest = mark_nearest(whole)
    for target in set(whole["target"].to_pylist()):
        members = np.flatnonzero(whole["target"].to_numpy() == target)
        apart = separation_arcsec(ra, dec, index.ra_t[target], index.dec_t[target])
        assert nearest[members].sum() == 1
        assert whole["separation_arcsec"].to_numpy()[members][nearest[members]][0] == pytest.approx(apart.min())


def test_stored_catalogue_in_threads_and_on_a_scheduler(file_store: Store):
    rng = np.random.default_rng(3)
    ra, dec = rng.uniform(150, 150.2, 3000), rng.uniform(2, 2.2, 3000)
    dec[17] = 95.0
    table = put_cutouts(file_store, catalogue_rows(ra, dec)).table("catalogue")
    index = TargetIndex(rng.uniform(150, 150.2, 20), rng.uniform(2, 2.2, 20), 25.15)
    calls: list[tuple[int, int]] = []
    found, rejected = match_table(table, index, threads=2, done=lambda done, total: calls.append((done, total)))
    direct, _ = match_batches([batch(ra, dec, table.read(["ls_id"])["ls_id"])], index)
    assert found.equals(direct)
    assert rejected["row"].to_pylist() == [17]
    assert calls[-1] == (1, 1)
    from distributed import LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster:
        again, _ = match_table(table, index, scheduler=cluster.scheduler_address)
    assert again.equals(found)


def test_unknown_scheduler_is_one_clear_line(file_store: Store):
    table = put_cutouts(file_store, catalogue_rows([1.0], [1.0])).table("catalogue")
    with pytest.raises(StoreError, match="Dask"):
        match_table(table, TargetIndex([1.0], [1.0], 1.0), scheduler="nonsense://nowhere:1")


def test_pairs_say_which_system():
    texts = {"system_id": ["a", "b"], "names": [["A1"], ["B1", "B2"]], "grades": [[], ["x"]]}
    lenses = pa.table({**texts, "ra": [10.0, 200.0], "dec": [0.0, 0.0]})
    found, _ = match_batches([batch([200.0, 10.0], [0.0, 0.0], [1, 2])], TargetIndex([10.0, 200.0], [0.0, 0.0], 25.15))
    pairs = name_pairs(found, lenses)
    assert pairs.select(["row", "ls_id", "system_id", "names", "lens_ra", "nearest"]).to_pylist() == [
        {"row": 0, "ls_id": 1, "system_id": "b", "names": ["B1", "B2"], "lens_ra": 200.0, "nearest": True},
        {"row": 1, "ls_id": 2, "system_id": "a", "names": ["A1"], "lens_ra": 10.0, "nearest": True},
    ]


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".parquet", ".fits", ".vot"])
def test_files_of_every_format(tmp_path, ending):
    objects = pa.table({"id": ["x1", "x2", "x3"], "RA": [10.0, 10.0, 50.0], "Dec": [0.0, 10 * ARCSEC, 0.0]})
    lenses = pa.table({"name": ["L"], "raj2000": [10.0], "dej2000": [1 * ARCSEC]})
    paths = tmp_path / f"objects{ending}", tmp_path / f"lenses{ending}", tmp_path / f"out{ending}"
    write_table(objects, paths[0])
    write_table(lenses, paths[1])
    summary = match_files(*paths[:2], 25.15, paths[2])
    assert (summary.pairs, summary.objects_with_lens, summary.nearest, summary.near_only) == (2, 2, 1, 1)
    assert (summary.objects, summary.lenses, summary.lenses_matched, summary.rejected) == (3, 1, 1, 0)
    pairs = read_table(paths[2])
    assert pairs["object_id"].to_pylist() == ["x1", "x2"]
    assert pairs["lens_id"].to_pylist() == ["L", "L"]
    np.testing.assert_allclose(pairs["separation_arcsec"].to_numpy(), [1, 9], rtol=1e-6)
    assert [str(value).lower() for value in pairs["nearest"].to_pylist()] == ["true", "false"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in paths)


def test_rejected_rows_of_files_are_written_beside(tmp_path):
    (tmp_path / "objects.csv").write_text("ra,dec\n10,0\nunknown,0\n20,-91\n")
    (tmp_path / "lenses.csv").write_text("ra,dec\n10,0\n,5\n")
    summary = match_files(tmp_path / "objects.csv", tmp_path / "lenses.csv", 25.15, tmp_path / "out.csv")
    assert (summary.pairs, summary.rejected) == (1, 3)
    rejected = read_table(tmp_path / "out.csv.rejected.csv")
    assert rejected["row"].to_pylist() == [1, 2, 1]
    assert "-91" in rejected["reason"][1].as_py()
    assert rejected["source"][2].as_py().endswith("lenses.csv")


def test_named_columns_win(tmp_path):
    (tmp_path / "objects.csv").write_text("ra,dec,ra2,dec2\n0,0,10,0\n")
    (tmp_path / "lenses.csv").write_text("x,y\n10,0\n")
    found = match_files(
        tmp_path / "objects.csv",
        tmp_path / "lenses.csv",
        objects_ra="ra2",
        objects_dec="dec2",
        lenses_ra="x",
        lenses_dec="y",
    )
    assert found.pairs == 1


def test_faults_of_files_are_one_line(tmp_path):
    good, empty, odd, hours = (tmp_path / f"{name}.csv" for name in ("good", "empty", "odd", "hours"))
    good.write_text("ra,dec\n1,1\n")
    empty.write_text("ra,dec\n")
    odd.write_text("a,b\n1,1\n")
    hours.write_text("ra,dec\n01:02:03,1\n")
    with pytest.raises(NotFoundError, match="nowhere"):
        match_files(tmp_path / "nowhere.csv", good)
    with pytest.raises(InputError, match="0 rows"):
        match_files(empty, good)
    with pytest.raises(InputError, match="0 rows"):
        match_files(good, empty)
    with pytest.raises(InputError, match="among a, b"):
        match_files(good, odd)
    with pytest.raises(InputError, match="01:02:03"):
        match_files(hours, good)
    with pytest.raises(InputError, match="format"):
        match_files(good, good, 25.15, tmp_path / "out.docx")
    with pytest.raises(InputError, match="folder"):
        match_files(good, good, 25.15, tmp_path / "missing" / "out.csv")
    with pytest.raises(InputError, match="radius"):
        match_files(good, good, -1.0)


def test_real_lists(real_data, tmp_path):
    summary = match_files(
        real_data / "training_lenses.tsv", real_data / "lenscat.csv", 25.15, tmp_path / "pairs.parquet"
    )
    assert (summary.pairs, summary.objects_with_lens, summary.nearest, summary.near_only) == (1668, 1615, 1611, 4)
    assert (summary.objects, summary.lenses, summary.rejected) == (1615, 32838, 0)
    assert read_table(tmp_path / "pairs.parquet").num_rows == 1668
