"""Images in FITS files: plain, compressed (.fits.fz), one band a unit, or a cube of bands."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenscore.errors import InputError
from lenscore.survey.formats import check_whole
from lenscore.survey.readers.base import central_crop, wrong_scale
from lenscore.survey.release import Release

ARCSEC = 3600.0


@dataclass(frozen=True)
class Unit:
    """A two-dimensional image of a FITS file: its pixels, its header, its band ("" if not told), and what it is."""

    pixels_hw: NDArray[Any]
    header: Any
    band: str
    what: str


def read_units(path: Path) -> list[Unit]:
    """Read all images of a FITS file; cubes come apart into their bands.

    Raises:
        InputError: it cannot be read, is cut off, or holds no image.
    """
    from astropy.io import fits

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with fits.open(path, memmap=False) as hdus:
                found = [unit for hdu in hdus for unit in _units(path, hdu)]
    except (OSError, ValueError, TypeError, IndexError, KeyError, EOFError) as error:
        why = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"cannot read {path.name}: {why}", "fetch the file again") from error
    if not found:
        raise InputError(f"{path.name} holds no image", "give a FITS file with images")
    return found


def _units(path: Path, hdu: Any) -> Iterator[Unit]:
    if not hdu.is_image or hdu.header.get("NAXIS", 0) < 2:
        return
    if path.suffix != ".fz" and type(hdu).__name__ != "CompImageHDU":
        check_whole(path, hdu)
    pixels, header = hdu.data, hdu.header
    what = str(header.get("IMAGETYP", header.get("EXTNAME", "image"))).strip().lower()
    what = "invvar" if "invvar" in what or "ivar" in what else "image"
    if pixels.ndim == 2:
        yield Unit(_native(pixels), header, str(header.get("BAND", header.get("FILTER", ""))).strip(), what)
        return
    bands = _cube_bands(header, pixels.shape[-3])
    for number, image in enumerate(pixels.reshape(-1, *pixels.shape[-2:])[: pixels.shape[-3]]):
        yield Unit(_native(image), header, bands[number], what)


def _cube_bands(header: Any, count: int) -> list[str]:
    listed = [str(header.get(f"BAND{number}", "")).strip() for number in range(count)]
    if all(listed):
        return listed
    text = str(header.get("BANDS", "")).strip()
    split = [part.strip() for part in text.split(",")] if "," in text else list(text)
    return split if len(split) == count else [""] * count


def _native(pixels: Any) -> NDArray[np.float32]:
    return np.ascontiguousarray(pixels, dtype=np.float32)


def scale_arcsec(header: Any) -> float:
    """Pixel scale of an image's WCS, arcsec; NaN if it has none."""
    wcs = celestial(header)
    if wcs is None:
        return float("nan")
    from astropy.wcs.utils import proj_plane_pixel_scales

    return float(np.sqrt(np.prod(proj_plane_pixel_scales(wcs))) * ARCSEC)


def celestial(header: Any) -> Any:
    """The WCS of an image's two axes, or None."""
    from astropy.wcs import WCS

    if "CTYPE1" not in header:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wcs = WCS(header, naxis=2)
    return wcs if wcs.has_celestial else None


def sky_to_pixel(wcs: Any, ra_deg: Any, dec_deg: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pixel coordinates (x, y) of positions; 0 is the centre of the first pixel."""
    x, y = wcs.wcs_world2pix(np.atleast_1d(ra_deg), np.atleast_1d(dec_deg), 0)
    return x, y


def nearest_pixel(coordinate: Any) -> NDArray[np.int64]:
    """The pixel that holds a coordinate: pixel i reaches from i - 1/2 to i + 1/2."""
    with np.errstate(invalid="ignore"):
        return np.floor(np.asarray(coordinate) + 0.5).astype(np.int64)


def read_cutout(
    path: Path, release: Release, ra_deg: float | None = None, dec_deg: float | None = None
) -> NDArray[np.float32]:
    """Read the image of one object.

    Args:
        path: a FITS file with an image a band (header BAND), or a cube of bands (BANDS, BAND0, ...).
        release: bands, pixel scale and size wanted.
        ra_deg: position of the object; the file's centre where it is not known or the file has no WCS.
        dec_deg: likewise.

    Returns:
        image_chw (C, S, S), nmgy: the object is in pixel S // 2. It is not resampled: it lies within half a pixel.

    Raises:
        InputError: unreadable, cut off, a band missing, of another pixel scale, or too small.
    """
    units = read_units(path)
    images = _by_band([unit for unit in units if unit.what == "image"], release, path)
    header = images[0].header
    problem = wrong_scale(scale_arcsec(header), release) if celestial(header) is not None else ""
    if problem:
        raise InputError(f"{path.name}: {problem}", "use images of the release's pixel scale, or describe the release")
    shapes = {unit.pixels_hw.shape for unit in images}
    if len(shapes) > 1:
        raise InputError(f"{path.name}: its bands have different shapes {sorted(shapes)}", "fetch the file again")
    image = np.stack([unit.pixels_hw for unit in images])
    cut = _cut(image, header, release.stored_px, ra_deg, dec_deg)
    if cut is None:
        raise InputError(
            f"{path.name} is {image.shape[2]} x {image.shape[1]} px and does not hold {release.stored_px} px around its object",
            f"use larger images, or describe a release with stored_px <= {min(image.shape[1:])}",
        )
    _check_exposed([unit for unit in units if unit.what == "invvar"], release, path)
    return cut


def _by_band(units: Sequence[Unit], release: Release, path: Path) -> list[Unit]:
    named = {unit.band: unit for unit in units if unit.band}
    if not named and len(units) == len(release.bands):
        return list(units)  # nothing tells the bands: they are in the release's order
    missing = [band for band in release.bands if band not in named]
    if missing:
        found = ", ".join(named) or f"{len(units)} images without names"
        raise InputError(f"{path.name} has no band {', '.join(missing)}; found {found}", "fetch all bands")
    return [named[band] for band in release.bands]


def _cut(image: NDArray[Any], header: Any, size: int, ra: float | None, dec: float | None) -> NDArray[Any] | None:
    wcs = celestial(header)
    if wcs is None or ra is None or dec is None or not np.isfinite([ra, dec]).all():
        return central_crop(image, size)
    x, y = (int(nearest_pixel(axis)[0]) - size // 2 for axis in sky_to_pixel(wcs, ra, dec))
    inside = x >= 0 and y >= 0 and x + size <= image.shape[2] and y + size <= image.shape[1]
    return image[:, y : y + size, x : x + size] if inside else None


def _check_exposed(units: Sequence[Unit], release: Release, path: Path) -> None:
    for number, unit in enumerate(units):
        if not (unit.pixels_hw > 0).any():
            band = unit.band or (release.bands[number] if len(units) == len(release.bands) else str(number))
            raise InputError(
                f"{path.name}: band {band} was never exposed (inverse variance is 0)", "leave the object out"
            )


def centre(path: Path) -> tuple[float, float]:
    """Position of the central pixel of a file's first image.

    Returns:
        (ra, dec), deg; NaN without WCS.
    """
    unit = read_units(path)[0]
    wcs = celestial(unit.header)
    if wcs is None:
        return float("nan"), float("nan")
    height, width = unit.pixels_hw.shape
    ra, dec = wcs.wcs_pix2world([width // 2], [height // 2], 0)
    return float(ra[0]), float(dec[0])
