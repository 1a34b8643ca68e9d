"""Queries by a FITS cutout from outside, embedded on the spot."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from jobs.embed import EmbedConfig
from jobs.fit_pca import FitPcaConfig
from lenscore.artifacts import Artifact, Store
from lenscore.cutouts import Cutouts
from lenscore.errors import InputError
from lenscore.models.config import EncoderConfig
from lenscore.similarity.query import ByImage, Library, query
from tests.support.artifacts import run_job
from tests.support.cutouts import small_cutouts
from tests.support.embeddings import small_embeddings

ROWS = 80


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    store = Store.open(str(tmp_path_factory.mktemp("store")))
    cutouts = small_cutouts(store, ROWS, seed=4)
    settings = FitPcaConfig(encoder=EncoderConfig(input_px=32, transform="rgb"), components=12, objects=64)
    model = run_job(store, "fit_pca", settings, {"cutouts": [cutouts]})
    embeddings = run_job(store, "embed", EmbedConfig(), {"cutouts": [cutouts], "model": [model]})
    return {"embeddings": embeddings, "cutouts": cutouts, "model": model}


def write_cutout(parts: dict[str, Artifact], row: int, path: Path, scale_arcsec: float = 0.262) -> Path:
    """An object's own image as a file, with its position."""
    images, _ = Cutouts.open(parts["cutouts"]).read(row, row + 1)
    place = parts["cutouts"].table("catalogue").read(["ra", "dec"]).to_pylist()[row]
    hdu = fits.PrimaryHDU(images[0])
    centre = (images.shape[-1] + 1) / 2
    for name, value in {
        "BANDS": "grz",
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CRVAL1": place["ra"],
        "CRVAL2": place["dec"],
        "CRPIX1": centre,
        "CRPIX2": centre,
        "CD1_1": -scale_arcsec / 3600,
        "CD1_2": 0.0,
        "CD2_1": 0.0,
        "CD2_2": scale_arcsec / 3600,
    }.items():
        hdu.header[name] = value
    hdu.writeto(path)
    return path


def test_an_object_s_own_image_finds_it(parts: dict[str, Artifact], tmp_path: Path) -> None:
    path = write_cutout(parts, 9, tmp_path / "nine.fits")
    answer = query(Library.open(**parts), [ByImage(path)], 5)
    best = answer.table.to_pylist()[0]
    assert best["row"] == 9
    assert best["similarity"] == pytest.approx(1, abs=1e-4)
    assert best["separation_arcsec"] < 0.5
    assert answer.notes == ("query: nine.fits, 64x64 px of 0.262 arcsec",)


def test_another_pixel_scale_is_brought_to_the_model_s(parts: dict[str, Artifact], tmp_path: Path) -> None:
    path = write_cutout(parts, 9, tmp_path / "nine.fits", scale_arcsec=0.2)
    answer = query(Library.open(**parts), [ByImage(path)], 5)
    assert np.isfinite(answer.table["similarity"].to_numpy()).all()
    assert answer.notes == ("query: nine.fits, 64x64 px of 0.200 arcsec",)


def test_models_that_do_not_fit(parts: dict[str, Artifact], tmp_path: Path) -> None:
    path = write_cutout(parts, 3, tmp_path / "three.fits")
    bare = Library.open(parts["embeddings"], parts["cutouts"])
    with pytest.raises(InputError, match="cannot be embedded without the model"):
        query(bare, [ByImage(path)], 5)
    other = small_embeddings(parts["cutouts"].store, parts["cutouts"], dimension=12)
    with pytest.raises(InputError, match="did not make these embeddings"):
        query(Library.open(other, parts["cutouts"], model=parts["model"]), [ByImage(path)], 5)
    text = tmp_path / "text.fits"
    text.write_text("hello")
    with pytest.raises(InputError, match="cannot be read as FITS"):
        query(Library.open(**parts), [ByImage(text)], 5)
