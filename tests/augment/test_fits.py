"""The fits as a value."""

import pytest
import torch

from lenscore.augment import Fits
from lenscore.errors import InputError


def test_table2_draws_have_the_papers_medians() -> None:
    fits = Fits.table2()
    drawn = fits.psf[0].draw((100_000,), torch.Generator().manual_seed(0))
    assert float(drawn.median()) == pytest.approx(1.0807153 + 1.3153171, rel=0.005)


def test_json_round_trip_and_missing_parts() -> None:
    fits = Fits.table2()
    content = {
        "noise": dict(zip(fits.bands, (fit.model_dump() for fit in fits.noise), strict=True)),
        "psf": dict(zip(fits.bands, (fit.model_dump() for fit in fits.psf), strict=True)),
        "ebv": {"all": fits.ebv.model_dump()},
    }
    assert Fits.from_json(content) == fits
    del content["psf"]["r"]
    with pytest.raises(InputError, match="'r'"):
        Fits.from_json(content)


def test_bands_can_be_chosen_but_not_invented() -> None:
    assert Fits.table2().for_bands(("z",)).psf == (Fits.table2().psf[2],)
    with pytest.raises(InputError, match="band 'y'"):
        Fits.table2().for_bands(("g", "y"))
