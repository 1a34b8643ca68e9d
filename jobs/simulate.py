"""simulate: draw a simulated sky with lenses, look-alikes, groups, bad data and its truth.

The plan draws the whole catalogue, the truth and the published list of lenses, block by block (1024 rows); a unit
renders one block's images. Memory is that of one block whatever the number of objects: about 1.2 GiB and 0.3 GiB a
worker. Time grows with the objects: about 10 ms each of one core, and 15 ms a lens for the plan.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from lenscore.config import field
from lenscore.errors import InputError
from lenscore.survey.release import Release, find_release
from lenscore.survey.sky.config import BLOCK_ROWS, SkyConfig

if TYPE_CHECKING:
    from lenscore.artifacts import Checkpoints, Inputs, Runtime, Sink
    from lenscore.cutouts import CutoutsWriter

VERSION = 1


class SimulateConfig(SkyConfig):
    """The sky, and how its images are stored."""

    pixels: Literal["int16", "float16", "float32"] = field(
        "int16", unit="", source="PINS: Storage", description="type of the stored pixels"
    )


def plan(config: SimulateConfig, inputs: Inputs, sink: Sink, runtime: Runtime) -> int:
    """Draw the tables and declare the images."""
    from lenscore.survey.sky.block import draw_block
    from lenscore.survey.sky.catalogue import LENSES, TRUTH, objects_table
    from lenscore.survey.sky.truth import lenses_table, off_footprint_table, true_lenses, truth_table

    release = _release(config)
    _writer(config, sink).declare()
    schema = objects_table(config, draw_block(config, 0)).schema
    with (
        sink.table("objects", schema) as objects,
        sink.table("truth", TRUTH) as truth,
        sink.table("lenses", LENSES) as lenses,
    ):
        lenses.write(off_footprint_table(config))
        for number in range(config.blocks):
            block = draw_block(config, number)
            listed, lensed = objects_table(config, block), true_lenses(config, block)
            objects.write(listed)
            truth.write(truth_table(config, block, number * BLOCK_ROWS, listed["ls_id"].combine_chunks(), lensed))
            lenses.write(lenses_table(config, block, lensed))
            sink.progress(number + 1, config.blocks)
    sink.metrics(rows=config.objects, release=release.name)
    return config.objects


def run(config: SimulateConfig, inputs: Inputs, sink: Sink, checkpoints: Checkpoints, runtime: Runtime) -> None:
    """Render the images of a unit."""
    from lenscore.survey.sky.workers import render_unit

    writer = _writer(config, sink)
    row = sink.rows.start
    while row < sink.rows.stop:
        number, first = divmod(row, BLOCK_ROWS)
        last = min(BLOCK_ROWS, sink.rows.stop - number * BLOCK_ROWS)
        for batch in render_unit(config, number, range(first, last), runtime.workers):
            writer.write(row, batch.images_bchw, batch.valid_b, batch.noise_bc)
            row += len(batch.valid_b)
            sink.progress(row - sink.rows.start, len(sink.rows))


def _writer(config: SimulateConfig, sink: Sink) -> CutoutsWriter:
    from lenscore.cutouts import CodecConfig, CutoutsWriter

    return CutoutsWriter(sink, config.objects, _release(config), CodecConfig(kind=config.pixels))


def _release(config: SimulateConfig) -> Release:
    from lenscore.survey.sky.imaging import PIXEL_ARCSEC

    release = find_release(config.release)
    if release.bands != ("g", "r", "z") or release.pixel_scale_arcsec != PIXEL_ARCSEC or release.stored_px != 152:
        raise InputError(
            f"release {release.name} has bands {release.bands}, {release.pixel_scale_arcsec} arcsec and {release.stored_px} px",
            f"the simulated sky has g, r, z, {PIXEL_ARCSEC} arcsec and 152 px",
        )
    return release
