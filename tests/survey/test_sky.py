"""The simulated sky's tables: what they follow, what they keep to themselves, and two releases of one universe."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pandas.testing import assert_frame_equal
from pydantic import ValidationError
from scipy import stats
from scipy.spatial import cKDTree

from lenscore.errors import InputError
from lenscore.survey.ids import decode
from lenscore.survey.sky.block import draw_block
from lenscore.survey.sky.bricks import all_bricks, footprint
from lenscore.survey.sky.catalogue import objects_table
from lenscore.survey.sky.config import SkyConfig
from lenscore.survey.sky.deflectors import _table, draw_deflectors
from lenscore.survey.sky.imaging import EBV, FWHM_PER_SIGMA, NOISE, PIXEL_ARCSEC, PSF, Lognormal
from lenscore.survey.sky.listing import list_release
from lenscore.survey.sky.tabulate import tabulate
from lenscore.survey.sky.truth import lenses_table, off_footprint_table, true_lenses, truth_table
from lenscore.survey.sky_geometry import close_pairs, separation_arcsec

CLEAN = {"bad_image_fraction": 0.0, "bad_row_fraction": 0.0}
QUANTILES = np.linspace(0.01, 0.99, 50)


def objects(config: SkyConfig) -> pa.Table:
    return pa.concat_tables([objects_table(config, draw_block(config, b)) for b in range(config.blocks)])


def kinds(config: SkyConfig) -> np.ndarray:
    blocks = [draw_block(config, b) for b in range(config.blocks)]
    return np.concatenate([block.galaxies.kind_n[list_release(config, block).object_r] for block in blocks])


def truth(config: SkyConfig, number: int = 0) -> pa.Table:
    block = draw_block(config, number)
    ids = objects_table(config, block)["ls_id"].combine_chunks()
    return truth_table(config, block, number * 1024, ids, true_lenses(config, block))


# What the columns follow


@pytest.fixture(scope="module")
def large() -> pa.Table:
    return objects(SkyConfig(objects=16384, **CLEAN))


def fitted(values: np.ndarray, table: Lognormal, band: int) -> tuple[np.ndarray, np.ndarray]:
    """Quantiles of scipy's fit (of values near 1, where its search works) and of Table 2."""
    unit, shape, loc, scale = np.median(values), table.shape[band], table.loc[band], table.scale[band]
    fit = stats.lognorm(*stats.lognorm.fit(values / unit, shape, loc=loc / unit, scale=scale / unit))
    return fit.ppf(QUANTILES) * unit, stats.lognorm(shape, loc, scale).ppf(QUANTILES)


@pytest.mark.parametrize("band", [0, 1, 2])
def test_noise_and_seeing_columns_return_table_2(large: pa.Table, band: int) -> None:
    sigma_psf = large[f"psfsize_{'grz'[band]}"].to_numpy().astype(float) / PIXEL_ARCSEC / FWHM_PER_SIGMA
    psfdepth = large[f"psfdepth_{'grz'[band]}"].to_numpy().astype(float)
    sigma_pix = 1 / np.sqrt(4 * np.pi * psfdepth * sigma_psf**2)
    for values, table in ((sigma_pix, NOISE), (sigma_psf, PSF)):
        np.testing.assert_allclose(*fitted(values, table, band), rtol=0.03)


def test_dust_column_returns_table_2(large: pa.Table) -> None:
    np.testing.assert_allclose(*fitted(large["ebv"].to_numpy().astype(float), EBV, 0), rtol=0.06)


def test_counts_are_steep(large: pa.Table) -> None:
    mag = large["mag_z"].to_numpy()
    counts, edges = np.histogram(mag, bins=np.arange(16.0, 20.1, 0.5))
    slope = np.polyfit(edges[:-1], np.log10(counts), 1)[0]
    assert 0.15 < slope < 0.5
    assert (np.diff(counts) > 0).all()


def test_deflectors_follow_the_table() -> None:
    values = _table()[0]
    drawn = draw_deflectors(np.random.default_rng(1), 8000)
    columns = np.stack([drawn.mag_z_n, drawn.g_r_n, drawn.r_z_n, drawn.z_phot_n, np.log(drawn.ebv_n)], axis=1)
    for real, ours in zip(values.T, columns.T, strict=True):
        assert stats.ks_2samp(real, ours).statistic < 0.05
    np.testing.assert_allclose(np.corrcoef(values.T), np.corrcoef(columns.T), atol=0.06)
    np.testing.assert_allclose(columns.std(axis=0), values.std(axis=0), rtol=0.05)


def test_lenses_in_the_catalogue_are_deflectors() -> None:
    config = SkyConfig(objects=8192, lens_fraction=0.1, **CLEAN)
    table, lens = objects(config), kinds(config) == "lens"
    mag_z = table["mag_z"].to_numpy()[lens]
    r_z = table["mag_r"].to_numpy()[lens] - mag_z
    values = _table()[0]
    assert stats.ks_2samp(mag_z, values[:, 0]).statistic < 0.08
    assert stats.ks_2samp(r_z, values[:, 2]).statistic < 0.08
    real = {kind: (_table()[3] == kind).mean() for kind in ("DEV", "EXP", "REX", "SER")}
    types = np.array(table["type"].to_pylist())[lens]
    for kind, share in real.items():
        assert abs((types == kind).mean() - share) < 0.06


def test_the_table_is_made_from_the_papers(tmp_path: Path) -> None:
    source, target = tmp_path / "lenses.tsv", tmp_path / "deflectors.csv"
    source.write_text(
        "ra\tsource_type\tebv\tz_spec\tz_phot_mean\tmag_g\tmag_r\tmag_z\n"
        "17.5\tSER\t0.0204\t0.11\t0.0993\t17.19\t16.20\t15.48\n"
    )
    assert tabulate(source, target) == 1
    assert target.read_text().splitlines()[-1] == "15.48,0.99,0.72,0.10,1,0.0204,SER"
    source.write_text("ra\tdec\n1\t2\n")
    with pytest.raises(InputError, match="mag_g"):
        tabulate(source, target)


# What they must not tell


def features(table: pa.Table) -> np.ndarray:
    """Everything that a classifier may look at: brightness, colours, size, type, imaging, dust, redshifts."""
    column = {
        name: np.nan_to_num(table[name].to_numpy(zero_copy_only=False).astype(float), nan=-1.0, posinf=0, neginf=0)
        for name in table.column_names
        if name not in ("region", "type")
    }
    types = np.array(table["type"].to_pylist())
    names = [f"{name}_{band}" for name in ("psfsize", "psfdepth", "nobs") for band in "grz"]
    columns = [
        column["mag_z"],
        column["mag_g"] - column["mag_r"],
        column["mag_r"] - column["mag_z"],
        *(np.log(np.maximum(column[f"fiberflux_{b}"] / column[f"flux_{b}"], 1e-3)) for b in "gz"),
        *(column[name] for name in names),
        column["ebv"],
        column["z_phot"],
        column["z_spec"],
        column["maskbits"],
        *((types == kind).astype(float) for kind in ("SER", "DEV", "REX", "EXP", "PSF")),
    ]
    values = np.stack(columns, axis=1)
    return (values - values.mean(axis=0)) / np.maximum(values.std(axis=0), 1e-9)


def average_precision(score: np.ndarray, positive: np.ndarray) -> float:
    hits = positive[np.argsort(-score, kind="stable")]
    return float((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean())


def neighbours_score(values: np.ndarray, positive: np.ndarray, k: int) -> np.ndarray:
    """Share of lenses among the k nearest others, in the columns that say most: magnitude, colours, size, redshift."""
    near = cKDTree(values).query(values, k + 1)[1][:, 1:]
    return positive[near].mean(axis=1)


def quadratic_score(values: np.ndarray, positive: np.ndarray, folds: int = 3) -> np.ndarray:
    """Cross-validated logistic regression on all columns and their products (a few Newton steps)."""
    i, j = np.triu_indices(values.shape[1])
    design = np.concatenate([np.ones((len(values), 1)), values, np.clip(values[:, i] * values[:, j], -9, 9)], axis=1)
    fold, score = np.arange(len(values)) % folds, np.zeros(len(values))
    for held_out in range(folds):
        train = fold != held_out
        weights = np.zeros(design.shape[1])
        for _ in range(6):
            p = 1 / (1 + np.exp(-np.clip(design[train] @ weights, -30, 30)))
            hessian = (design[train] * (p * (1 - p))[:, None]).T @ design[train] + 20 * np.eye(len(weights))
            weights += np.linalg.solve(hessian, design[train].T @ (positive[train] - p) - 20 * weights)
        score[~train] = design[~train] @ weights
    return score


def best_precision(config: SkyConfig) -> float:
    table, lens = objects(config), kinds(config) == "lens"
    values = features(table)
    few = values[:, [0, 1, 2, 4, 15, 16]]
    scores = [
        neighbours_score(few, lens, 40),
        neighbours_score(few, lens, 120),
        quadratic_score(values, lens),
    ]
    return max(average_precision(score, lens) for score in scores)


@pytest.mark.parametrize("seed", [0, 1])
def test_catalogue_columns_alone_do_not_find_lenses(seed: int) -> None:
    assert best_precision(SkyConfig(objects=8192, seed=seed, **CLEAN)) < 0.1


def test_the_leak_test_can_see_a_leak() -> None:
    unlike = {"like_early": 0.0, "like_satellite": 0.0, "like_merger": 0.0, "like_ring": 0.0}
    assert best_precision(SkyConfig(objects=8192, **unlike, **CLEAN)) > 0.15


# Where things are


def test_bricks_are_the_surveys() -> None:
    assert len(all_bricks().brickid_n) == 662_174
    assert len(footprint().brickid_n) > 180_000


def test_scenes_keep_apart_and_companions_stay_near() -> None:
    config = SkyConfig(objects=3000, **CLEAN)
    tables = [truth(config, b) for b in range(config.blocks)]
    scene = pa.concat_tables(tables)["scene_id"].to_numpy()
    table = objects(config)
    ra, dec = table["ra"].to_numpy(), table["dec"].to_numpy()
    pairs = close_pairs(ra, dec, ra, dec, 25.15)
    other = pairs.object_p != pairs.target_p
    assert other.sum() > 500
    assert (scene[pairs.object_p] == scene[pairs.target_p]).all()


def test_some_lenses_have_several_objects_within_a_cutout() -> None:
    config = SkyConfig(objects=1024, lens_fraction=0.1, **CLEAN)
    table = truth(config)
    system = [name for name in table["system_id"].to_pylist() if name]
    is_lens = table["is_lens"].to_numpy(zero_copy_only=False)
    assert len(system) > is_lens.sum() * 1.2
    assert len(set(system)) >= is_lens.sum()


def test_ids_are_the_columns_and_unique() -> None:
    table = objects(SkyConfig(objects=2048, **CLEAN))
    release, brickid, objid = decode(table["ls_id"].to_numpy())
    for name, values in (("release", release), ("brickid", brickid), ("objid", objid)):
        np.testing.assert_array_equal(table[name].to_numpy(), values)
    assert len(set(table["ls_id"].to_pylist())) == 2048


# Two releases of one universe


def test_releases_show_the_same_sky_renumbered() -> None:
    first, second = (SkyConfig(objects=1500, release=f"demo-dr{n}", **CLEAN) for n in (1, 2))
    tables = [pa.concat_tables([truth(config, b) for b in range(2)]) for config in (first, second)]
    listed = [objects(config) for config in (first, second)]
    assert not set(listed[0]["ls_id"].to_pylist()) & set(listed[1]["ls_id"].to_pylist())
    place = [dict(zip(t["sky_id"].to_pylist(), range(t.num_rows), strict=True)) for t in tables]
    common = sorted(set(place[0]) & set(place[1]))
    assert len(common) == 1500 - round(0.02 * 1024) - round(0.02 * 476)
    rows = [np.array([p[key] for key in common]) for p in place]
    where = [(t["ra"].to_numpy()[r], t["dec"].to_numpy()[r]) for t, r in zip(listed, rows, strict=True)]
    moved = separation_arcsec(*where[0], *where[1])
    assert 0.01 < moved.mean() < moved.max() < 0.15
    assert tables[0]["in_both"].to_numpy(zero_copy_only=False).sum() == len(common)
    depth = [t["psfdepth_r"].to_numpy()[r] for t, r in zip(listed, rows, strict=True)]
    assert np.median(depth[1] / depth[0]) == pytest.approx(1 / 0.49, rel=0.05)


def test_lens_list_is_the_same_for_both_releases_and_points_at_known_lenses() -> None:
    first, second = (SkyConfig(objects=1024, lens_fraction=0.1, release=f"demo-dr{n}", **CLEAN) for n in (1, 2))
    lists = [
        lenses_table(config, draw_block(config, 0), true_lenses(config, draw_block(config, 0)))
        for config in (first, second)
    ]
    assert_frame_equal(lists[0].to_pandas(), lists[1].to_pandas())
    table, listed = objects(first), truth(first)["listed"].to_numpy(zero_copy_only=False)
    known = truth(first)["known"].to_numpy(zero_copy_only=False)
    findable = truth(first)["findable"].to_numpy(zero_copy_only=False)
    assert 0.3 * findable.sum() < known.sum() < 0.7 * findable.sum()
    assert not (known & ~findable).any()
    ra, dec = table["ra"].to_numpy()[listed], table["dec"].to_numpy()[listed]
    lens_ra, lens_dec = lists[0]["ra"].to_numpy(), lists[0]["dec"].to_numpy()
    pairs = close_pairs(ra, dec, lens_ra, lens_dec, 2.5)
    assert set(pairs.object_p) == set(range(len(ra)))
    assert set(lists[0]["grade"].to_pylist()) <= {"A", "B", "C"}


def test_some_listed_lenses_lie_off_the_footprint() -> None:
    table = off_footprint_table(SkyConfig(off_footprint=7))
    assert table.num_rows == 7
    assert min(table["dec"].to_pylist()) > 40


def test_blocks_do_not_depend_on_order() -> None:
    config = SkyConfig(objects=3000)
    last = objects_table(config, draw_block(config, 2))
    draw_block.cache_clear()
    list_release.cache_clear()
    assert_frame_equal(last.to_pandas(), objects_table(config, draw_block(config, 2)).to_pandas())
    assert last.num_rows == 3000 - 2048


# Faults


def test_bad_rows_and_images_show_in_the_columns() -> None:
    config = SkyConfig(objects=2048, bad_image_fraction=0.1, bad_row_fraction=0.1)
    table, flaw = (
        objects(config),
        np.array(truth(config, 0)["flaw"].to_pylist() + truth(config, 1)["flaw"].to_pylist()),
    )
    ra, dec, ids = (table[name].to_numpy() for name in ("ra", "dec", "ls_id"))
    assert np.isnan(ra[flaw == "ra is not a number"]).all()
    assert (ra[flaw == "ra out of range"] >= 360).all()
    assert (dec[flaw == "dec out of range"] > 90).all()
    double = np.flatnonzero(flaw == "duplicate id")
    assert len(double)
    np.testing.assert_array_equal(ids[double], ids[double - 1])
    nobs = np.stack([table[f"nobs_{band}"].to_numpy() for band in "grz"])
    assert ((nobs == 0).sum(axis=0) == (flaw == "missing band")).all()
    assert (table["psfdepth_g"].to_numpy()[flaw == "no valid pixel"] == 0).all()
    assert set(np.array(table["type"].to_pylist())[flaw == "unknown type"]) == {"XXX"}


def test_a_clean_sky_has_no_faults() -> None:
    table = objects(SkyConfig(objects=1024, **CLEAN))
    assert set(truth(SkyConfig(objects=1024, **CLEAN))["flaw"].to_pylist()) == {""}
    assert np.isfinite(table["ra"].to_numpy()).all()


@pytest.mark.parametrize("wrong", [{"release": "dr9-south"}, {"objects": 0}, {"lens_fraction": 2.0}, {"colour": 1}])
def test_wrong_settings_are_refused(wrong: dict) -> None:
    with pytest.raises(ValidationError):
        SkyConfig(**wrong)
