"""Small sets of cutouts for tests, made through the real runner and sink."""

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from jobs.runner import run_task
from jobs.specs import JobSpec
from jobs.tasks import Task
from lenscore.artifacts import Artifact, Checkpoints, Inputs, Runtime, Sink, Store
from lenscore.artifacts.manifest import artifact_id
from lenscore.config import Config, field
from lenscore.cutouts import CodecConfig, CutoutsWriter, sigma_from_depth
from lenscore.survey.ids import encode
from lenscore.survey.release import Release
from lenscore.survey.schema import REJECTED, catalogue_schema

SMALL_RELEASE = Release(name="demo-dr1", stored_px=64, network_px=48)
"""The demo's release with smaller images, for speed."""

Images = Callable[[range], NDArray[np.float32]]

# Table 2 of the paper (g, r, z): shape, loc, scale of the lognormal of sigma_pix (nmgy) and sigma_psf (px).
NOISE = ((0.2264926, -0.0006735, 0.0037602), (0.2431146, -0.0023663, 0.0067417), (0.1334844, -0.0143416, 0.0260779))
PSF = ((0.2109966, 1.0807153, 1.3153171), (0.3008485, 1.2394326, 0.9164757), (0.3471172, 1.1928363, 0.8233702))
EBV = (0.67306, 0.001146, 0.03338)


def small_cutouts(
    store: Store,
    rows: int = 64,
    seed: int = 0,
    release: Release = SMALL_RELEASE,
    codec: CodecConfig | None = None,
    invalid: tuple[int, ...] = (),
) -> Artifact:
    """Make cutouts of Gaussian blobs with noise and seeing as their catalogue says.

    Args:
        store: where.
        rows: how many.
        seed: of everything random.
        release: bands (up to three) and sizes.
        codec: how pixels are stored.
        invalid: rows whose image is NaN: stored as not valid, and listed as rejected.
    """
    catalogue = small_catalogue(rows, seed, release)

    def images(span: range) -> NDArray[np.float32]:
        return small_images(catalogue, span, seed, release, invalid)

    return make_cutouts(store, images, catalogue, release, codec, key=f"{seed} {invalid}")


def make_cutouts(
    store: Store,
    images: Images | NDArray[np.float32],
    catalogue: pa.Table,
    release: Release,
    codec: CodecConfig | None = None,
    key: str = "",
) -> Artifact:
    """Make cutouts of given images and a catalogue, row for row.

    Args:
        store: where.
        images: (N, C, S, S) float32, nmgy; or a function that makes those of a range of rows, told apart by its key.
        catalogue: with the columns of `catalogue_schema`.
        release: bands and sizes.
        codec: how pixels are stored.
        key: identity of images that are made by a function.
    """
    chosen: Images = images if callable(images) else lambda span: images[span.start : span.stop]
    digest = hashlib.sha256(catalogue.to_pandas().to_csv().encode() + key.encode())
    if not callable(images):
        digest.update(np.ascontiguousarray(images).tobytes())
    config = GivenConfig(digest=digest.hexdigest(), release=release, codec=codec or CodecConfig())
    spec = _GivenSpec("given", "store given images", "GivenConfig", (), "cutouts", unit_rows=1024)
    object.__setattr__(spec, "given", _Given(chosen, catalogue))
    task = Task(spec, config, {}, None, artifact_id("given", 1, config.identity(), {}))
    return run_task(store, task, Runtime(workers=1, threads=1, scratch=Path(tempfile.gettempdir())))


def small_catalogue(rows: int, seed: int, release: Release) -> pa.Table:
    """A full catalogue: a 2 x 2 degree patch, mag_z from 16 to 21, seeing, depth and dust drawn from Table 2."""
    rng = np.random.default_rng([seed, 1])
    number = release.release_numbers[0] if release.release_numbers else 9010
    brick, objid = 330_000 + np.arange(rows) // 4096, np.arange(rows) % 4096
    columns: dict[str, Any] = {
        "ls_id": encode(np.full(rows, number), brick, objid),
        "release": np.full(rows, number),
        "brickid": brick,
        "objid": objid,
        "region": [release.region] * rows,
        "ra": rng.uniform(149, 151, rows),
        "dec": rng.uniform(1, 3, rows),
        "type": rng.choice(["REX", "EXP", "DEV", "SER"], rows),
        "ebv": _lognormal(rng, EBV, rows),
        "maskbits": np.zeros(rows),
        "z_phot": rng.uniform(0.05, 1, rows),
        "z_spec": np.full(rows, np.nan),
    }
    mag_z = rng.uniform(16, 21, rows)
    for index, band in enumerate(release.bands):
        mag = mag_z + (len(release.bands) - 1 - index) * rng.normal(0.8, 0.2, rows)
        sigma_psf_px = _lognormal(rng, PSF[index], rows)
        sigma_pix = np.maximum(_lognormal(rng, NOISE[index], rows), 1e-3)
        columns |= {
            f"mag_{band}": mag,
            f"flux_{band}": 10 ** (0.4 * (22.5 - mag)),
            f"nobs_{band}": np.full(rows, 3),
            f"fiberflux_{band}": 0.6 * 10 ** (0.4 * (22.5 - mag)),
            f"psfsize_{band}": sigma_psf_px * 2.3548 * release.pixel_scale_arcsec,
            f"psfdepth_{band}": 1 / (4 * np.pi * (sigma_pix * sigma_psf_px) ** 2),
        }
    schema = catalogue_schema(release.bands)
    arrays = [pa.array(np.asarray(columns[name])).cast(schema.field(name).type, safe=False) for name in schema.names]
    return pa.table(arrays, schema=schema)


def small_images(
    catalogue: pa.Table, span: range, seed: int, release: Release, invalid: tuple[int, ...] = ()
) -> NDArray[np.float32]:
    """Images of some rows: a round Gaussian of the object's flux, broader than the seeing, and its noise."""
    part = catalogue.slice(span.start, len(span)).to_pandas()
    offset = np.arange(release.stored_px) - (release.stored_px - 1) / 2
    images = np.empty((len(span), len(release.bands), release.stored_px, release.stored_px), dtype=np.float32)
    for row in range(len(span)):
        rng = np.random.default_rng([seed, 2, span.start + row])
        object_px = rng.uniform(1, 4)
        for index, band in enumerate(release.bands):
            depth, size = part[f"psfdepth_{band}"][row], part[f"psfsize_{band}"][row]
            sigma_px = np.hypot(size / release.pixel_scale_arcsec / 2.3548, object_px)
            profile = np.exp(-0.5 * (offset / sigma_px) ** 2) / (np.sqrt(2 * np.pi) * sigma_px)
            noise = rng.standard_normal(images.shape[2:], dtype=np.float32)
            noise *= sigma_from_depth(depth, size, release.pixel_scale_arcsec)
            images[row, index] = part[f"flux_{band}"][row] * np.outer(profile, profile) + noise
        if span.start + row in invalid:
            images[row, 0, 0, 0] = np.nan
    return images


class GivenConfig(Config):
    """Identity of given images."""

    digest: str = field(unit="", source="tests", description="hash of the content")
    release: Release = field(unit="", source="tests", description="what they are images of")
    codec: CodecConfig = field(unit="", source="tests", description="how pixels are stored")


@dataclass(frozen=True)
class _Given:
    """A job around given images."""

    images: Images
    catalogue: pa.Table
    VERSION = 1

    def plan(self, config: GivenConfig, inputs: Inputs, sink: Sink, runtime: Runtime) -> int:
        CutoutsWriter(sink, self.catalogue.num_rows, config.release, config.codec).declare()
        sink.write_table("catalogue", self.catalogue)
        return self.catalogue.num_rows

    def run(self, config: GivenConfig, inputs: Inputs, sink: Sink, checkpoints: Checkpoints, runtime: Runtime) -> None:
        writer = CutoutsWriter(sink, self.catalogue.num_rows, config.release, config.codec)
        valid = writer.write(sink.rows.start, self.images(sink.rows))
        bad = self.catalogue.slice(sink.rows.start, len(sink.rows)).filter(pa.array(~valid))
        rows = pa.array(sink.rows.start + np.flatnonzero(~valid), pa.int64())
        text = [pa.array([value] * len(rows), pa.string()) for value in ("given", "image is not usable")]
        sink.reject(pa.table([rows, *(bad[name] for name in ("ls_id", "ra", "dec")), *text], schema=REJECTED))


class _GivenSpec(JobSpec):
    given: _Given

    def module(self) -> ModuleType:
        return cast(ModuleType, self.given)


def _lognormal(rng: np.random.Generator, parameters: tuple[float, float, float], rows: int) -> NDArray[np.float64]:
    shape, loc, scale = parameters
    return scale * np.exp(rng.normal(0, shape, rows)) + loc
