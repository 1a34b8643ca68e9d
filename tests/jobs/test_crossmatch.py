"""The crossmatch job, alone and on the real lists."""

import numpy as np
import pytest

from jobs.crossmatch import CrossmatchConfig
from jobs.lens_list import LensFile, LensListConfig
from lenscore.survey.lens_lists import Entry, merge_entries
from lenscore.survey.tables import read_table
from tests.support.artifacts import run_job
from tests.support.candidates import catalogue_rows, put_artifact, put_cutouts

ARCSEC = 1 / 3600


def lens_list(store, *places):
    entries = [Entry(ra, dec, (f"n{number}",), ("A",), (), (), "test") for number, (ra, dec) in enumerate(places)]
    return put_artifact(store, "lens_list", tables={"lenses": merge_entries(entries, 3.0)})


def test_pairs_and_summary(file_store):
    dec = np.array([0.5, 0.0, 20.0, 30.0, 400.0]) * ARCSEC
    ra = np.array([359.9999, 10.0, 0.0, 0.0, 7000.0])
    cutouts = put_cutouts(file_store, catalogue_rows(ra, dec))
    inputs = {"cutouts": [cutouts], "lens_list": [lens_list(file_store, (0.0, 0.0), (200.0, 89.0))]}
    made = run_job(file_store, "crossmatch", CrossmatchConfig(), inputs)
    pairs = made.table("pairs").read()
    assert pairs["row"].to_pylist() == [0, 2]
    assert pairs["nearest"].to_pylist() == [True, False]
    assert pairs["names"].to_pylist() == [["n0"], ["n0"]]
    summary = made.read_json("summary.json")
    assert (summary["pairs"], summary["near_only"], summary["lenses"], summary["lenses_matched"]) == (2, 1, 2, 1)
    assert made.table("rejected").read()["row"].to_pylist() == [4]
    again = run_job(file_store, "crossmatch", CrossmatchConfig(radius_arcsec=40), inputs, threads=2)
    assert again.manifest.metrics["pairs"] == 3


def test_no_pairs_is_a_result(file_store):
    cutouts = put_cutouts(file_store, catalogue_rows([10.0], [0.0]))
    made = run_job(
        file_store,
        "crossmatch",
        CrossmatchConfig(),
        {"cutouts": [cutouts], "lens_list": [lens_list(file_store, (0, 0))]},
    )
    assert made.table("pairs").num_rows == 0


def test_real_lists_merged(file_store, real_data):
    table = read_table(real_data / "training_lenses.tsv")
    cutouts = put_cutouts(file_store, catalogue_rows(table["ra"].to_numpy(), table["dec"].to_numpy()))
    lenscat = LensFile(name="lenscat", path=str(real_data / "lenscat.csv"))
    lenses = run_job(file_store, "lens_list", LensListConfig(files=(lenscat,)))
    made = run_job(file_store, "crossmatch", CrossmatchConfig(), {"cutouts": [cutouts], "lens_list": [lenses]})
    summary = made.read_json("summary.json")
    # Merging can only lower the number of pairs; every object keeps a lens.
    assert (summary["objects_with_lens"], summary["nearest"], summary["near_only"]) == pytest.approx(
        (1615, 1611, 4), abs=1
    )
    assert 1615 <= summary["pairs"] <= 1668
