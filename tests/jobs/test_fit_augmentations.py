"""The job that fits noise, seeing and dust."""

import math

import numpy as np
import pyarrow as pa
import pytest

from jobs.fit_augmentations import FitAugmentationsConfig
from lenscore.artifacts import Store
from lenscore.augment import Fits
from lenscore.augment.collect import Selection, count_columns
from lenscore.augment.likelihood import fit_lognormal, lognormal_quantiles
from lenscore.errors import InputError
from lenscore.survey.release import Release
from tests.support.artifacts import run_job
from tests.support.cutouts import make_cutouts, small_catalogue, small_cutouts

TINY = Release(name="demo-dr1", stored_px=8, network_px=8)
FRACTIONS = np.linspace(0.01, 0.99, 99)


def no_images(span: range) -> np.ndarray:
    return np.zeros((len(span), 3, 8, 8), np.float32)


def change(table: pa.Table, **columns: np.ndarray) -> pa.Table:
    for name, values in columns.items():
        index = table.schema.get_field_index(name)
        table = table.set_column(index, table.schema.field(name), pa.array(values).cast(table.schema.field(name).type))
    return table


def fit(store: Store, table: pa.Table, **settings: object):
    config = FitAugmentationsConfig(**settings)
    return run_job(store, "fit_augmentations", config, {"cutouts": [make_cutouts(store, no_images, table, TINY)]})


def test_rows_drawn_from_table_2_return_table_2() -> None:
    """300,000 rows: each quantile to 1 %, mostly the scatter of so few rows; parameters trade with one another."""
    table, truth = Fits.table2(), {}
    random = np.random.default_rng(1)

    def drawn(one):  # type: ignore[no-untyped-def]
        return np.maximum(one.loc + one.scale * np.exp(random.normal(0, one.shape, 300_000)), 1e-5)

    columns = {"ebv": drawn(table.ebv), "mag_z": random.uniform(16, 19.9, 300_000)}
    for band, noise, psf in zip("grz", table.noise, table.psf, strict=True):
        sigma_px, sigma_nmgy = drawn(psf), drawn(noise)
        columns[f"psfsize_{band}"] = sigma_px * 2.3548 * 0.262
        columns[f"psfdepth_{band}"] = 1 / (4 * math.pi * (sigma_px * sigma_nmgy) ** 2)
        truth |= {("noise", band): noise, ("psf", band): psf}
    truth["ebv", "all"] = table.ebv
    counts, bad = count_columns(
        {name: values.astype(np.float32) for name, values in columns.items()},
        Selection(("g", "r", "z"), 0.262, "z", 20.0, "every_band"),
    )
    assert not bad.any()
    for key, histogram in counts.histograms.items():
        found = fit_lognormal(histogram, key[0])
        ours, theirs = (lognormal_quantiles(one, FRACTIONS) for one in (found.lognormal, truth[key]))
        np.testing.assert_allclose(ours, theirs, rtol=1e-2, err_msg=str(key))
        assert found.lognormal.shape == pytest.approx(truth[key].shape, rel=0.05)


def test_job_writes_fits_figure_and_histograms(file_store: Store) -> None:
    made = run_job(
        file_store,
        "fit_augmentations",
        FitAugmentationsConfig(),
        {"cutouts": [make_cutouts(file_store, no_images, small_catalogue(3000, 0, TINY), TINY)]},
    )
    fits = Fits.from_artifact(made)
    assert fits.bands == ("g", "r", "z")
    assert lognormal_quantiles(fits.psf[0], np.array([0.5]))[0] == pytest.approx(1.0807 + 1.3153, rel=0.02)
    assert made.read_bytes("fits.png").startswith(b"\x89PNG")
    histograms = made.table("histograms").read()
    assert set(histograms["quantity"].to_pylist()) == {"noise", "psf", "ebv"}
    content = made.read_json("fits.json")
    assert content["noise"]["g"]["n"] == content["ebv"]["all"]["n"] < 3000  # mag_z < 20 of 16..21


def test_several_releases_and_workers_give_the_fits_of_all_rows(file_store: Store) -> None:
    tables = [small_catalogue(1500, seed, TINY) for seed in (0, 1)]
    parts = [make_cutouts(file_store, no_images, table, TINY) for table in tables]
    whole = make_cutouts(file_store, no_images, pa.concat_tables(tables).combine_chunks(), TINY)
    config = FitAugmentationsConfig()
    two = run_job(file_store, "fit_augmentations", config, {"cutouts": parts}, workers=2)
    one = run_job(file_store, "fit_augmentations", config, {"cutouts": [whole]})
    assert two.read_json("fits.json") == one.read_json("fits.json")


def test_bad_rows_are_listed_and_unmeasured_ones_left_out(file_store: Store) -> None:
    table = small_catalogue(2000, 0, TINY)
    ebv, depth = table["ebv"].to_numpy().copy(), table["psfdepth_r"].to_numpy().copy()
    ebv[5], depth[10:20] = np.nan, 0.0
    table = change(table, ebv=ebv, psfdepth_r=depth, mag_z=np.full(2000, 18.0))
    made = fit(file_store, table)
    rejected = made.table("rejected").read()
    assert rejected["row"].to_pylist() == [5]
    assert rejected["ls_id"].to_pylist() == [table["ls_id"][5].as_py()]
    assert made.read_json("fits.json")["noise"]["g"]["n"] == 2000 - 1 - 10
    own = fit(file_store, table, measured="own_band").read_json("fits.json")
    assert (own["noise"]["g"]["n"], own["noise"]["r"]["n"]) == (1999, 1989)


def test_what_cannot_be_fitted_is_said(file_store: Store) -> None:
    table = small_catalogue(100, 0, TINY)
    with pytest.raises(InputError, match="none of 100 rows is usable"):
        fit(file_store, change(table, mag_z=np.full(100, 22.0)))
    with pytest.raises(InputError, match="all 100 values of ebv"):
        fit(file_store, change(table, ebv=np.full(100, 0.1), mag_z=np.full(100, 18.0)))
    with pytest.raises(InputError, match="mag_band = 'i'"):
        fit(file_store, table, mag_band="i")
    with pytest.raises(InputError, match="region 'north', only south"):
        fit(file_store, table, region="north")


def test_too_few_rows(file_store: Store) -> None:
    with pytest.raises(InputError, match="at least 30"):
        run_job(
            file_store, "fit_augmentations", FitAugmentationsConfig(), {"cutouts": [small_cutouts(file_store, rows=16)]}
        )
