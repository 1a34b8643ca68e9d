"""Images of scenes: objects, the faint galaxies between them, foreground stars, noise; cutouts at the catalogue's positions."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lenscore.survey.sky.arcs import OVERSAMPLE, draw_lens
from lenscore.survey.sky.block import (
    FRAMES,
    NOISE,
    SHAPES,
    SURROUNDINGS,
    Block,
    draw_block,
    epoch,
    generator,
    release_imaging,
)
from lenscore.survey.sky.config import SkyConfig
from lenscore.survey.sky.galaxies import MAIN_PX, Piece, Source, draw_pieces, small_galaxy
from lenscore.survey.sky.imaging import PIXEL_ARCSEC, SKY_NMGY
from lenscore.survey.sky.listing import Listing, list_release
from lenscore.survey.sky.optics import Canvas, Layer, painted_profile, point_profile
from lenscore.survey.sky.population import colours, fluxes, redden, steep_magnitudes

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Images = NDArray[np.float32]

CUTOUT_PX = 152
MARGIN_PX = 2
"""A cutout may start a pixel later in one release than in the other, for positions differ."""
FAINT_COUNT_SLOPE = 0.32
FAINT_RED_SHARE = 0.3
NEIGHBOUR_STAR_SHARE = 0.07
NAN_BLOCK_PX = 24


@dataclass(frozen=True)
class Rendered:
    """Cutouts of consecutive rows (B) of a release.

    Attributes:
        images_bchw: fluxes [nmgy], NaN where the release has NaN.
        valid_b: the survey has valid pixels there.
        noise_bc: sky noise per pixel [nmgy].
    """

    images_bchw: Images
    valid_b: NDArray[np.bool_]
    noise_bc: Images


def render_rows(config: SkyConfig, number: int, rows: range) -> Rendered:
    """Render rows of a block. The same pixels whatever other rows are rendered beside them.

    Args:
        config: settings.
        number: the block.
        rows: rows within the block's listing.

    Returns:
        Their cutouts.
    """
    block = draw_block(config, number)
    listing = list_release(config, block)
    imaging = release_imaging(config, block)
    chosen = listing.object_r[rows.start : rows.stop]
    images = np.empty((len(chosen), 3, CUTOUT_PX, CUTOUT_PX), dtype=np.float32)
    for scene in dict.fromkeys(block.scene_n[chosen].tolist()):
        sky = SceneFrame.of(config, block, scene)
        picture = _render_scene(config, block, sky, imaging.fwhm_arcsec_nc[scene], imaging.noise_nmgy_nc[scene])
        for place in np.flatnonzero(block.scene_n[chosen] == scene):
            row = rows.start + int(place)
            images[place] = sky.cut(picture, listing.east_arcsec_r[row], listing.north_arcsec_r[row])
    _spoil(config, listing, rows, images)
    valid = listing.image_flaw_r[rows.start : rows.stop] == ""
    return Rendered(images, valid, imaging.noise_nmgy_nc[block.scene_n[chosen]].astype(np.float32))


@dataclass(frozen=True)
class SceneFrame:
    """A scene's pixel grid: its anchor lies at (phase_x, phase_y) px; ra grows to the left, dec upwards.

    Attributes:
        scene: which scene of the block.
        phase_x, phase_y: where the anchor falls within a pixel [px].
        left, bottom, width, height: the part that its cutouts cover [px].
    """

    scene: int
    phase_x: float
    phase_y: float
    left: int
    bottom: int
    width: int
    height: int

    @classmethod
    def of(cls, config: SkyConfig, block: Block, scene: int) -> "SceneFrame":
        """The frame that holds the cutouts of all objects of a scene, in whichever release."""
        phase_x, phase_y = generator(config, FRAMES, block.number, scene).uniform(-0.5, 0.5, 2)
        members = block.scene_n == scene
        x = phase_x - block.east_arcsec_n[members] / PIXEL_ARCSEC
        y = phase_y + block.north_arcsec_n[members] / PIXEL_ARCSEC
        left, right = _first_px(x.min()) - MARGIN_PX, _first_px(x.max()) + CUTOUT_PX + MARGIN_PX
        bottom, top = _first_px(y.min()) - MARGIN_PX, _first_px(y.max()) + CUTOUT_PX + MARGIN_PX
        return cls(scene, phase_x, phase_y, left, bottom, right - left, top - bottom)

    def pixel(self, east_arcsec: float, north_arcsec: float) -> tuple[float, float]:
        """x, y [px] of an offset from the anchor [arcsec]."""
        return self.phase_x - east_arcsec / PIXEL_ARCSEC, self.phase_y + north_arcsec / PIXEL_ARCSEC

    def cut(self, picture_chw: Images, east_arcsec: float, north_arcsec: float) -> Images:
        """The cutout whose centre lies within half a pixel of an offset [arcsec]."""
        x, y = self.pixel(east_arcsec, north_arcsec)
        column, row = _first_px(x) - self.left, _first_px(y) - self.bottom
        return picture_chw[:, row : row + CUTOUT_PX, column : column + CUTOUT_PX]


def _first_px(centre_px: float) -> int:
    """First pixel of a cutout around a position."""
    return int(np.floor(centre_px - (CUTOUT_PX - 1) / 2 + 0.5))


def _render_scene(config: SkyConfig, block: Block, sky: SceneFrame, fwhm_c: Floats, noise_c: Floats) -> Images:
    canvas = Canvas(sky.width, sky.height, sky.left, sky.bottom, fwhm_c)
    for index in np.flatnonzero(block.scene_n == sky.scene):
        x, y = sky.pixel(block.east_arcsec_n[index], block.north_arcsec_n[index])
        for piece in _object_pieces(config, block, int(index)):
            canvas.add(x + piece.x_arcsec / PIXEL_ARCSEC, y + piece.y_arcsec / PIXEL_ARCSEC, piece.layers)
    for x, y, layer in _surroundings(config, block, sky):
        canvas.add(x, y, [layer])
    return _add_noise(generator(config, NOISE, block.number, sky.scene, epoch(config)), canvas.image_chw, noise_c)


def _object_pieces(config: SkyConfig, block: Block, index: int) -> list[Piece]:
    rng = generator(config, SHAPES, block.number, index)
    galaxies, kind = block.galaxies, str(block.galaxies.kind_n[index])
    source = Source(
        kind,
        galaxies.flux_nc[index],
        float(galaxies.z_n[index]),
        float(block.scenes.imaging_s.ebv_n[block.scene_n[index]]),
        float(galaxies.re_arcsec_n[index]),
        float(galaxies.sersic_n[index]),
        float(galaxies.q_n[index]),
        float(galaxies.angle_n[index]),
        bool(galaxies.early_n[index]),
    )
    pieces = draw_pieces(rng, source)
    if kind == "lens":
        lens = draw_lens(config, block, index)
        pieces.append(Piece(0.0, 0.0, [Layer(painted_profile(lens.light, OVERSAMPLE), lens.flux_c)]))
    return pieces


def _surroundings(config: SkyConfig, block: Block, sky: SceneFrame) -> Iterator[tuple[float, float, Layer]]:
    """What the catalogue does not list: faint galaxies and stars all over the frame, here and there a bright star."""
    rng = generator(config, SURROUNDINGS, block.number, sky.scene)
    area_arcmin2 = sky.width * sky.height * (PIXEL_ARCSEC / 60) ** 2
    count = rng.poisson(config.neighbour_density * area_arcmin2)
    x = sky.left + sky.width * rng.random(count)
    y = sky.bottom + sky.height * rng.random(count)
    mag_z, g_r, r_z, star, re = _faint_sources(rng, config, block, sky.scene, count)
    q, angle = rng.uniform(0.3, 1.0, count), rng.uniform(0, np.pi, count)
    for i, flux in enumerate(fluxes(mag_z, g_r, r_z)):
        yield (
            x[i],
            y[i],
            Layer(point_profile(48), flux) if star[i] else small_galaxy(flux, re[i], q[i], angle[i]),
        )
    if block.scenes.bright_star_s[sky.scene]:
        yield _bright_star(rng, sky)


def _faint_sources(
    rng: np.random.Generator, config: SkyConfig, block: Block, scene: int, count: int
) -> tuple[Floats, Floats, Floats, NDArray[np.bool_], Floats]:
    """mag_z, g - r, r - z [mag], star, half-light radius [arcsec] of objects fainter than the catalogue."""
    mag_z = steep_magnitudes(rng, np.full(count, config.mag_z_limit), 24.0, FAINT_COUNT_SLOPE)
    g_r, r_z = colours(rng, rng.uniform(0.1, 1.0, count), rng.random(count) < FAINT_RED_SHARE)
    g_r, r_z = redden(block.scenes.imaging_s.ebv_n[scene], g_r, r_z)
    star = rng.random(count) < NEIGHBOUR_STAR_SHARE
    g_r = np.where(star, rng.uniform(0.3, 1.5, count), g_r)
    r_z = np.where(star, 0.6 * g_r - 0.05, r_z)
    mag_z = np.where(star, rng.uniform(18.0, 23.0, count), mag_z)
    re = np.clip(10 ** (-0.25 - 0.06 * (mag_z - 21.5) + 0.15 * rng.standard_normal(count)), 0.15, 1.0)
    return mag_z, g_r, r_z, star, re


def _bright_star(rng: np.random.Generator, sky: SceneFrame) -> tuple[float, float, Layer]:
    distance, angle = rng.uniform(6, 20) / PIXEL_ARCSEC, rng.uniform(0, 2 * np.pi)
    mag_z = steep_magnitudes(rng, np.array([14.5]), 18.0, 0.2)[0]
    g_r = rng.uniform(0.3, 1.5)
    flux = fluxes(mag_z, np.array(g_r), np.array(0.6 * g_r - 0.05))
    return (
        sky.phase_x + distance * np.cos(angle),
        sky.phase_y + distance * np.sin(angle),
        Layer(point_profile(MAIN_PX), flux),
    )


def _add_noise(rng: np.random.Generator, image_chw: Images, noise_c: Floats) -> Images:
    """Sky noise of the catalogue's depth, and that of the sources' own light."""
    sky_c = SKY_NMGY.astype(np.float32)[:, None, None]
    sigma = np.sqrt(1 + np.maximum(image_chw, 0) / sky_c) * noise_c.astype(np.float32)[:, None, None]
    return np.asarray(image_chw + sigma * rng.standard_normal(image_chw.shape, dtype=np.float32))


def _spoil(config: SkyConfig, listing: Listing, rows: range, images_bchw: Images) -> None:
    """Bad images, as the release has them."""
    for place in np.flatnonzero(listing.image_flaw_r[rows.start : rows.stop] != ""):
        row = rows.start + int(place)
        flaw, band = listing.image_flaw_r[row], int(listing.flawed_band_r[row])
        if flaw == "missing band":
            images_bchw[place, band] = 0
        elif flaw == "NaN":
            images_bchw[place, band, :NAN_BLOCK_PX, :] = np.nan
        else:
            images_bchw[place] = 0
