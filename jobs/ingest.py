"""Reads a survey's files: selects objects and stores their images in one order, with a catalogue.

The plan reads every table once, selects, and fixes the rows: a row whose image fails later keeps its place, is marked
invalid, and is listed as rejected. Units of 1024 rows then fetch their images, each on its own.

Time grows with the number of objects: tables a quarter of a million rows a second, a brick of coadds 2 s (its
objects then 0.3 ms each), other layouts as fast as their files are read.
Memory does not grow: the plan holds a batch of rows and 1/256 of the identities (it writes about 100 bytes a candidate
to scratch); a unit holds 1024 images, and for brick coadds up to four bricks of 0.2 GB.

What is read is not named by the artifact's id through its address, but through `listing`: paths, sizes and checksums.
For a web archive that is the listing of its tables: published images do not change, and each one is checked against
the archive's .sha256sum files when it is read.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from lenscore.config import Config, field
from lenscore.errors import InputError
from lenscore.survey.release import Release, find_release
from lenscore.survey.settings import Selection, Transfer

if TYPE_CHECKING:
    import pyarrow as pa

    from lenscore.artifacts import Checkpoints, Inputs, Runtime, Sink
    from lenscore.cutouts import CutoutsWriter
    from lenscore.survey.readers.base import Reader

VERSION = 1
BATCH_ROWS = 256
LOCATION = ("file", "position")


class IngestConfig(Config):
    """What to read, and which objects of it to take."""

    release: str | Release = field(
        "",
        unit="",
        source="DESIGN: words",
        description="name of a known release, or a table that describes one; empty: that of the input sky",
    )
    source: str = field(
        "",
        unit="",
        source="DESIGN: commands",
        identity=False,
        description="folder, file, s3://, https:// or hf:// address of the files; empty: the input sky",
    )
    layout: Literal["auto", "hdf5", "bricks", "cutouts", "multimodal"] = field(
        "auto", unit="", source="DESIGN: rooms", description="layout of the files; auto: found from their names"
    )
    tables: tuple[str, ...] = field(
        (),
        unit="",
        source="DR9 documentation",
        identity=False,
        description="tables of the objects, below the source; empty: sweep/, tractor/, or those there are",
    )
    tables_source: str = field(
        "",
        unit="",
        source="DR9 documentation",
        identity=False,
        description="address of the tables, where they lie elsewhere",
    )
    subset: str = field(
        "",
        unit="",
        source="FACTS: Survey",
        identity=False,
        description="folder of one configuration in a set of the hub",
    )
    selection: Selection | Literal["default", "all"] = field(
        "default",
        unit="",
        source="paper 2",
        description="cuts; default: the paper's for coadds and the simulated sky, all objects of sets that were selected before",
    )
    first: int | None = field(
        None, unit="objects", source="assumed: for a look", ge=1, description="take the first so many only"
    )
    damaged: Literal["stop", "set aside"] = field(
        "stop",
        unit="",
        source="assumed: a broken transfer should not become a hole in the survey",
        description="what to do with a coadd that fails its published checksum twice",
    )
    max_unexposed: float = field(
        0.5,
        unit="",
        source="assumed",
        ge=0,
        le=1,
        description="fraction of a band's central field that may lack exposure",
    )
    pixels: Literal["int16", "float16", "float32"] = field(
        "int16", unit="", source="PINS: Storage", description="type of the stored pixels"
    )
    steps_per_sigma: float = field(
        8.0, unit="", source="PINS: Storage", gt=0, description="int16 steps in one sigma of noise"
    )
    transfer: Transfer = field(Transfer(), unit="", source="assumed", description="how files are fetched")


def listing(config: IngestConfig) -> list[tuple[str, int, str]]:
    """The source's files as (path, size, checksum); nothing for a simulated sky."""
    if not config.source:
        return []
    _open_source_reader.cache_clear()  # the files may have changed since this process last looked
    return [(file.path, file.size, file.checksum) for file in _open_source_reader(config, _release(config)).listing()]


def plan(config: IngestConfig, inputs: Inputs, sink: Sink, runtime: Runtime) -> int:
    """Select the objects and fix their order.

    Raises:
        InputError: the source lacks what the selection needs, or nothing is left.
    """
    from dataclasses import asdict

    from lenscore.survey.schema import catalogue_schema
    from lenscore.survey.selection import choose

    _open_source_reader.cache_clear()
    reader = _open_reader(config, inputs)
    chosen = choose(reader, _selection(config, reader), runtime.scratch, sink.reject, config.first, sink.progress)
    schema = catalogue_schema(reader.release.bands)
    with sink.table("catalogue", schema) as catalogue, sink.table("sources", _location_schema()) as sources:
        for rows in chosen.batches():
            catalogue.write(rows.select(schema.names))
            sources.write(rows.select(LOCATION))
    facts = reader.facts
    counts = asdict(chosen.counts)
    _writer(config, sink, counts["selected"], reader.release).declare()
    sink.write_json(
        "source.json",
        {
            "positions": facts.positions,
            "survey_ids": facts.survey_ids,
            "absent_columns": sorted(facts.absent),
            "cannot": facts.impossible(),
            "faintest_mag": chosen.limit,
            **counts,
        },
    )
    sink.metrics(
        **{f"rows_{name}": count for name, count in counts.items()},
        positions=facts.positions,
        survey_ids=facts.survey_ids,
        absent_columns=sorted(facts.absent),
        cannot=facts.impossible(),
    )
    return int(counts["selected"])


def run(config: IngestConfig, inputs: Inputs, sink: Sink, checkpoints: Checkpoints, runtime: Runtime) -> None:
    """Fetch, check and store the images of the unit's rows."""
    from lenscore.survey.readers.base import rejected_table

    reader = _open_reader(config, inputs)
    planned = _planned(sink)
    writer = _writer(config, sink, sink.planned_table("catalogue").num_rows, reader.release)
    invalid = 0
    for start in range(sink.rows.start, sink.rows.stop, BATCH_ROWS):
        rows = planned.slice(start - sink.rows.start, BATCH_ROWS)
        found = reader.images(rows)
        valid = writer.write(start, found.images_bchw, found.valid_b, _sigma(rows, reader.release))
        items = rows.select(["ls_id", "ra", "dec", "file"]).to_pylist()
        sink.reject(
            rejected_table(
                [
                    (
                        start + row,
                        item["ls_id"],
                        item["ra"],
                        item["dec"],
                        item["file"],
                        found.reasons[row] or "its pixels cannot be stored",
                    )
                    for row, item in enumerate(items)
                    if not valid[row]
                ]
            )
        )
        invalid += int((~valid).sum())
        sink.progress(start + len(items) - sink.rows.start, len(sink.rows))
    sink.metrics(rows_invalid=invalid)


def _release(config: IngestConfig) -> Release:
    return find_release(config.release) if isinstance(config.release, str) else config.release


def _open_reader(config: IngestConfig, inputs: Inputs) -> Reader:
    sky = inputs.optional("sky")
    if (sky is None) == (not config.source):
        what = "neither a source nor a sky" if sky is None else f"both the source {config.source!r} and a sky"
        raise InputError(f"ingest got {what}", "give one of them: source = ADDRESS, or --input sky=sky/ID")
    if sky is None:
        return _open_source_reader(config, _release(config))
    from lenscore.cutouts import Cutouts
    from lenscore.survey.readers.simulated import SkyReader

    stored = Cutouts.open(sky)
    name = config.release if isinstance(config.release, str) else config.release.name
    if name and name != stored.release.name:
        raise InputError(f"release = {name!r}, the sky is {stored.release.name!r}", "name the sky's release")
    return SkyReader(stored.release, sky, stored)


@lru_cache(1)
def _open_source_reader(config: IngestConfig, release: Release) -> Reader:
    """Opened once a process: units share its listing and its open bricks."""
    from lenscore.survey.readers.layouts import open_files
    from lenscore.survey.readers.sources import open_source

    source = open_source(config.source, config.transfer)
    tables = open_source(config.tables_source, config.transfer) if config.tables_source else None
    return open_files(
        config.layout, release, source, tables, config.tables, config.subset, config.damaged, config.max_unexposed
    )


def _selection(config: IngestConfig, reader: Reader) -> Selection | None:
    if isinstance(config.selection, Selection):
        return config.selection
    return Selection() if config.selection == "default" and reader.needs_type else None


def _writer(config: IngestConfig, sink: Sink, rows: int, release: Release) -> CutoutsWriter:
    from lenscore.cutouts import CodecConfig, CutoutsWriter

    return CutoutsWriter(sink, rows, release, CodecConfig(kind=config.pixels, steps_per_sigma=config.steps_per_sigma))


def _location_schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema([("file", pa.string()), ("position", pa.int64())])


def _planned(sink: Sink) -> pa.Table:
    """The unit's rows: the catalogue's columns, and where the images lie."""
    rows = sink.planned_table("catalogue").read(start=sink.rows.start, stop=sink.rows.stop)
    where = sink.planned_table("sources").read(start=sink.rows.start, stop=sink.rows.stop)
    for name in LOCATION:
        rows = rows.append_column(where.schema.field(name), where.column(name))
    return rows


def _sigma(rows: pa.Table, release: Release) -> Any:
    """Noise per pixel (B, C) from the catalogue's depth and seeing; NaN where it lacks them."""
    import numpy as np

    from lenscore.cutouts import sigma_from_depth

    columns = [
        sigma_from_depth(
            rows.column(f"psfdepth_{band}").to_numpy(),
            rows.column(f"psfsize_{band}").to_numpy(),
            release.pixel_scale_arcsec,
        )
        for band in release.bands
    ]
    return np.stack(columns, axis=1)
