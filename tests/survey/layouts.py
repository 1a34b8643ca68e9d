"""Small files in the layouts that surveys come in."""

import hashlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from numpy.typing import NDArray

from lenscore.survey.bricks import brick_at, brick_centre, brick_name
from lenscore.survey.ids import encode
from lenscore.survey.release import Release

RELEASE = Release(
    name="test-south",
    bands=("g", "r", "z"),
    pixel_scale_arcsec=2.62,
    stored_px=32,
    network_px=16,
    release_numbers=(9010, 9012),
)
"""Pixels ten times as large as the survey's, so that its own bricks have 360 px."""

BRICK_PX = 360


def tan_wcs(ra: float, dec: float, size_px: int, scale_arcsec: float = RELEASE.pixel_scale_arcsec) -> WCS:
    """North up, east left, the position at the image's centre."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [ra, dec]
    wcs.wcs.crpix = [size_px / 2 + 0.5] * 2
    wcs.wcs.cd = np.diag([-scale_arcsec / 3600, scale_arcsec / 3600])
    return wcs


@lru_cache(8)
def sky_image(seed: int, size_px: int) -> NDArray[np.float32]:
    """Noise, so that every pixel is another."""
    return np.random.default_rng(seed).normal(1.0, 0.1, (size_px, size_px)).astype(np.float32)


def write_brick(
    folder: Path,
    brickid: int,
    images: Mapping[str, NDArray[Any]] | None = None,
    wcs: WCS | None = None,
    compressed: bool = False,
    invvar: Mapping[str, NDArray[Any]] | None = None,
    flat: bool = False,
) -> Path:
    """Write a brick as the survey publishes it: coadd/059/0591m305/legacysurvey-0591m305-image-g.fits(.fz), and invvar.

    Returns:
        Its folder.
    """
    name = brick_name(brickid)
    here = folder if flat else folder / "coadd" / name[:3] / name
    here.mkdir(parents=True, exist_ok=True)
    images = (
        images
        if images is not None
        else {band: sky_image(brickid * 10 + number, BRICK_PX) for number, band in enumerate("grz")}
    )
    for band, pixels in images.items():
        header = (wcs or tan_wcs(*brick_centre(brickid), pixels.shape[0])).to_header()
        header["BAND"] = band
        weights = (invvar or {}).get(band, np.full(pixels.shape, 4.0, dtype=np.float32))
        for what, data in (("image", pixels), ("invvar", weights)):
            header["IMAGETYP"] = what
            path = here / f"legacysurvey-{name}-{what}-{band}.fits"
            if compressed:
                hdu = fits.CompImageHDU(data, header, compression_type="GZIP_1", quantize_level=0)
                fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(f"{path}.fz", overwrite=True)
            else:
                fits.PrimaryHDU(data, header).writeto(path, overwrite=True)
    return here


def write_checksums(region: Path, brickid: int) -> Path:
    """The survey's own file of a brick's checksums, beside its Tractor table."""
    name = brick_name(brickid)
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()} *{path.relative_to(region)}"
        for path in sorted((region / "coadd" / name[:3] / name).iterdir())
    ]
    path = region / "tractor" / name[:3] / f"brick-{name}.sha256sum"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def sweep_columns(
    ra: Any, dec: Any, mag_z: Any = 18.0, release: int = 9010, kind: str = "SER", psfsize: bool = True
) -> dict[str, Any]:
    """Columns of a sweep file, by name."""
    ra, dec = np.atleast_1d(np.asarray(ra, dtype=float)), np.atleast_1d(np.asarray(dec, dtype=float))
    rows = len(ra)
    bricks = brick_at(ra, np.clip(dec, -90, 90))
    columns: dict[str, Any] = {
        "RELEASE": np.full(rows, release, np.int16),
        "BRICKID": bricks.astype(np.int32),
        "BRICKNAME": np.array([brick_name(int(brick)) for brick in bricks]),
        "OBJID": np.arange(rows, dtype=np.int32),
        "TYPE": np.array([f"{kind} "] * rows),
        "RA": ra,
        "DEC": dec,
        "EBV": np.full(rows, 0.03, np.float32),
        "MASKBITS": np.arange(rows, dtype=np.int16),
    }
    flux_z = 10 ** (0.4 * (22.5 - np.broadcast_to(mag_z, rows)))
    for band, factor in (("G", 0.25), ("R", 0.6), ("Z", 1.0)):
        columns[f"FLUX_{band}"] = (flux_z * factor).astype(np.float32)
        columns[f"FIBERFLUX_{band}"] = (flux_z * factor * 0.5).astype(np.float32)
        columns[f"PSFDEPTH_{band}"] = np.full(rows, 800.0, np.float32)
        columns[f"NOBS_{band}"] = np.full(rows, 3, np.int16)
        if psfsize:
            columns[f"PSFSIZE_{band}"] = np.full(rows, 1.3, np.float32)
    return columns


def write_sweep(folder: Path, columns: Mapping[str, Any], name: str = "sweep-000p000-010p005.fits") -> Path:
    """A sweep file as the survey publishes it: sweep/9.0/sweep-*.fits."""
    path = folder / "sweep" / "9.0" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Table(dict(columns)).write(path, overwrite=True)
    return path


def images_of(rows: int, seed: int = 0, size_px: int = RELEASE.stored_px, bands: int = 3) -> NDArray[np.float32]:
    """Images, each another."""
    return np.random.default_rng(seed).normal(0.5, 0.1, (rows, bands, size_px, size_px)).astype(np.float32)


def object_columns(rows: int, first: int = 0, release: int = 9010) -> dict[str, Any]:
    """Columns of the paper's own HDF5 files, without images."""
    number = first + np.arange(rows)
    flux = np.stack([10 ** (0.4 * (22.5 - (16 + 0.001 * number + colour))) for colour in (1.5, 0.5, 0.0)], axis=1)
    return {
        "inds": number,
        "ra": 10 + 0.001 * number,
        "dec": np.full(rows, -5.0),
        "release": np.full(rows, release, np.int32),
        "brickid": 300_000 + number // 100,
        "objid": number % 100,
        "ebv": np.full(rows, 0.05, np.float32),
        "flux": flux.astype(np.float32),
        "fiberflux": (flux / 2).astype(np.float32),
        "psfsize": np.full((rows, 3), 1.2, np.float32),
        "psfdepth": np.full((rows, 3), 900.0, np.float32),
        "nobs": np.full((rows, 3), 4, np.int16),
        "maskbits": np.zeros(rows, np.int16),
        "source_type": np.array([b"REX"] * rows),
        "z_spec": np.full(rows, -99.0, np.float32),
        "z_phot_median": np.full(rows, 0.3, np.float32),
    }


def write_original(
    folder: Path, first: int, columns: Mapping[str, Any], images: NDArray[Any], region: str = "south"
) -> Path:
    """The paper's own layout: south/images_npix152_{start}_{end}.h5."""
    path = folder / region / f"images_npix152_{first:09d}_{first + len(images):09d}.h5"
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["images"] = images
        for name, values in columns.items():
            file[name] = values
    return path


def write_multimodal_hdf5(
    folder: Path,
    healpix: int,
    columns: Mapping[str, Any],
    images: NDArray[Any],
    region: str = "south",
    scale: float = 2.62,
) -> Path:
    """The Multimodal Universe's HDF5: south/healpix=NNNN/001-of-001.hdf5."""
    path = folder / region / f"healpix={healpix}" / "001-of-001.hdf5"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = len(images)
    with h5py.File(path, "w") as file:
        file["image_array"] = images
        file["image_band"] = np.array([[b"des-g", b"des-r", b"des-z"]] * rows)
        file["image_scale"] = np.full((rows, 3), scale, np.float32)
        file["image_psf_fwhm"] = np.full((rows, 3), 1.1, np.float32)
        file["object_id"] = np.asarray(columns["inds"])
        for name in ("ra", "dec", "release", "brickid", "objid", "z_spec", "ebv"):
            file[name] = columns[name]
        for name in ("flux", "fiberflux", "psfdepth"):
            for number, band in enumerate("grz"):
                file[f"{name}_{band}"] = columns[name][:, number]
    return path


def write_multimodal_parquet(
    path: Path,
    images: NDArray[Any],
    positions: bool = False,
    nested: str = "struct",
    first: int = 0,
    scale: float = 2.62,
) -> Path:
    """The hub's Parquet: `image` {band, flux, psf_fwhm, scale}, and columns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows, bands = len(images), ["des-g", "des-r", "des-z"]
    if nested == "struct":
        kind = pa.struct(
            [
                ("band", pa.list_(pa.string())),
                ("flux", pa.list_(pa.list_(pa.list_(pa.float32())))),
                ("psf_fwhm", pa.list_(pa.float32())),
                ("scale", pa.list_(pa.float32())),
            ]
        )
        items: list[Any] = [
            {"band": bands, "flux": image.tolist(), "psf_fwhm": [1.1] * 3, "scale": [scale] * 3} for image in images
        ]
    else:
        kind = pa.list_(
            pa.struct(
                [
                    ("band", pa.string()),
                    ("flux", pa.list_(pa.list_(pa.float32()))),
                    ("psf_fwhm", pa.float32()),
                    ("scale", pa.float32()),
                ]
            )
        )
        items = [
            [
                {"band": band, "flux": plane.tolist(), "psf_fwhm": 1.1, "scale": scale}
                for band, plane in zip(bands, image, strict=True)
            ]
            for image in images
        ]
    columns: dict[str, Any] = {"image": pa.array(items, kind)}
    columns["object_id"] = [str(first + row) for row in range(rows)]
    columns["ebv"] = np.full(rows, 0.02, np.float32)
    for band in "grz":
        columns[f"flux_{band}"] = np.linspace(50, 60, rows).astype(np.float32)
        columns[f"psfdepth_{band}"] = np.full(rows, 700, np.float32)
    if positions:
        columns |= {"ra": np.linspace(10, 11, rows), "dec": np.linspace(1, 2, rows)}
    pq.write_table(pa.table(columns), path, row_group_size=4)
    return path


def write_cutout(
    path: Path,
    image_chw: NDArray[Any],
    ra: float,
    dec: float,
    cube: bool = False,
    scale: float = 2.62,
    bands: Iterable[str] = "grz",
) -> Path:
    """A single-object FITS cutout, with an image a band or as a cube, centred on the object's pixel S // 2."""
    path.parent.mkdir(parents=True, exist_ok=True)
    size = image_chw.shape[-1]
    wcs = tan_wcs(ra, dec, size, scale)
    wcs.wcs.crpix = [size // 2 + 1] * 2
    names = list(bands)
    if cube:
        header = wcs.to_header()
        header["BANDS"] = "".join(names)
        fits.PrimaryHDU(image_chw, header).writeto(path, overwrite=True)
        return path
    units = [fits.PrimaryHDU()]
    for band, image in zip(names, image_chw, strict=True):
        header = wcs.to_header()
        header["BAND"], header["IMAGETYP"] = band, "image"
        units.append(fits.ImageHDU(image, header))
    fits.HDUList(units).writeto(path, overwrite=True)
    return path


def ids(columns: Mapping[str, Any]) -> NDArray[np.int64]:
    """ls_id of columns."""
    found = {name.lower(): values for name, values in columns.items()}
    return encode(found["release"], found["brickid"], found["objid"])
