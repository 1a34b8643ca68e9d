"""Histograms and the lognormal fits made from them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from lenscore.augment import Fits
from lenscore.augment.histogram import Histogram
from lenscore.augment.likelihood import fit_lognormal, lognormal_quantiles
from lenscore.augment.plots import density
from lenscore.errors import InputError

FRACTIONS = np.linspace(0.01, 0.99, 99)
TABLE2 = [*Fits.table2().noise, *Fits.table2().psf, Fits.table2().ebv]


def sample(shape: float, loc: float, scale: float, rows: int = 20_000, seed: int = 0) -> np.ndarray:
    values = stats.lognorm.rvs(shape, loc, scale, size=rows, random_state=seed).astype(np.float32)
    return values[values > 0]


@pytest.mark.parametrize(
    ("shape", "loc", "scale"),
    [
        *((fit.shape, fit.loc, fit.scale) for fit in TABLE2),
        (1.5, 0.1, 1.0),
        (2.5, 0.01, 1.0),
        (0.5, 1000.0, 1.0),
        (0.03, -5.0, 10.0),
    ],
)
def test_quantiles_are_those_of_scipys_local_optimum(shape: float, loc: float, scale: float) -> None:
    values = sample(shape, loc, scale)
    fit = fit_lognormal(Histogram.of(values), "x")
    theirs = stats.lognorm.ppf(FRACTIONS, *stats.lognorm.fit(values.astype(np.float64)))
    assert fit.local_maximum
    np.testing.assert_allclose(lognormal_quantiles(fit.lognormal, FRACTIONS), theirs, rtol=1e-4)


@settings(deadline=None, max_examples=15)
@given(st.floats(0.1, 1.2), st.floats(-0.5, 3.0), st.floats(0.5, 2.0), st.integers(0, 2**31))
def test_likelihood_is_never_below_scipys(shape: float, loc: float, scale: float, seed: int) -> None:
    values = sample(shape, loc, scale, 3000, seed)
    fit = fit_lognormal(Histogram.of(values), "x")
    if not fit.local_maximum:
        return
    ours = stats.lognorm.nnlf((fit.lognormal.shape, fit.lognormal.loc, fit.lognormal.scale), values.astype(np.float64))
    theirs = stats.lognorm.nnlf(stats.lognorm.fit(values.astype(np.float64)), values.astype(np.float64))
    assert ours <= theirs + 0.05


def test_rows_at_the_smallest_value_do_not_pull_loc_there() -> None:
    values = sample(0.3, 1.2, 0.9)
    fit = fit_lognormal(Histogram.of(np.append(values, values.min() * 0.999)), "x")
    assert fit.lognormal.loc < values.min() - 0.05


def test_data_that_lean_to_the_left_get_their_mean_and_spread() -> None:
    values = 10 - sample(0.4, 0.0, 1.0)
    fit = fit_lognormal(Histogram.of(values), "x")
    assert not fit.local_maximum
    median, low, high = lognormal_quantiles(fit.lognormal, np.array([0.5, 0.16, 0.84]))
    assert median == pytest.approx(values.mean(), rel=1e-3)
    assert (high - low) / 2 == pytest.approx(values.std(), rel=0.02)


def test_data_that_pile_up_at_their_smallest_value_get_loc_zero() -> None:
    values = np.concatenate([np.full(5000, 0.01), np.random.default_rng(0).uniform(0.01, 0.02, 50)]).astype(np.float32)
    values += np.random.default_rng(1).uniform(0, 3e-6, len(values)).astype(np.float32)
    fit = fit_lognormal(Histogram.of(values), "x")
    assert fit.lognormal.shape > 0


@pytest.mark.parametrize(
    ("values", "message"), [([], "0 usable rows"), ([1.0] * 10, "10 usable"), ([2.0] * 100, "all 100 values")]
)
def test_too_few_or_equal_values_are_refused(values: list[float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        fit_lognormal(Histogram.of(np.array(values, np.float32)), "noise (g)")


POSITIVE = arrays(np.float32, st.integers(0, 50), elements=st.floats(2**-39, 2**23, width=32))


@settings(deadline=None)
@given(POSITIVE, POSITIVE, POSITIVE)
def test_histograms_add_up_in_any_order(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
    whole = Histogram.of(np.concatenate([a, b, c]))
    for parts in ((a, b, c), (c, a, b)):
        total = sum((Histogram.of(part) for part in parts), Histogram.empty())
        assert total.first == whole.first or not len(whole.counts)
        np.testing.assert_array_equal(total.counts, whole.counts)


@settings(deadline=None)
@given(arrays(np.float32, st.integers(1, 50), elements=st.floats(2**-39, 2**23, width=32)))
def test_bins_hold_their_values(values: np.ndarray) -> None:
    histogram = Histogram.of(values)
    edges = histogram.edges()
    assert edges[0] <= values.min()
    assert edges[-1] > values.max()
    assert (np.diff(edges) / edges[:-1]).max() <= 2**-13 + 1e-9
    np.testing.assert_array_equal(np.histogram(values.astype(np.float64), edges)[0], histogram.counts)


def test_values_that_no_bin_holds_are_counted() -> None:
    histogram = Histogram.of(np.array([0.0, -1.0, 1.0, 1e30], np.float32))
    assert (histogram.total, histogram.outside) == (1, 3)


def test_density_is_scipys() -> None:
    fit = Fits.table2().noise[0]
    x = np.linspace(-0.002, 0.01, 101)
    np.testing.assert_allclose(density(fit, x), stats.lognorm.pdf(x, fit.shape, fit.loc, fit.scale), rtol=1e-9)
