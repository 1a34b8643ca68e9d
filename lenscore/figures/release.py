"""The figures of a published catalogue, each drawn if its inputs are there."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lenscore.artifacts import Artifact, Inputs
from lenscore.cutouts import Cutouts
from lenscore.figures.gallery import draw_gallery, draw_queries
from lenscore.figures.pictures import pictures_of
from lenscore.figures.plots import plot_curves, plot_magnitudes, plot_ratio_scan
from lenscore.figures.settings import FigureConfig
from lenscore.figures.sky_maps import SkyGrid, draw_sky
from lenscore.figures.summary import distributions, positions_by_grade
from lenscore.similarity.neighbours import Neighbours

Progress = Callable[[int, int], None]
MAG_EDGES = np.linspace(12, 23, 111)


def release_figures(
    config: FigureConfig, inputs: Inputs, table: pa.Table, done: Progress
) -> Iterator[tuple[str, bytes]]:
    """Draw Figures 1, 3, 4, 5, 9, 10, 15 of the paper and galleries as its Figures 6-8 and 11-14.

    Args:
        config: sizes and splits.
        inputs: of the publish job.
        table: published candidates.
        done: called with (done, total).

    Yields:
        (path, PNG).
    """
    groups: list[Iterator[tuple[str, bytes]]] = [
        _known_lenses(inputs),
        _similar(config, inputs),
        _classifiers(inputs),
        _candidates_on_sky(inputs, table),
        distributions(table),
        _magnitudes(inputs),
        _galleries(config, inputs, table),
    ]
    for number, group in enumerate(groups, start=1):
        yield from group
        done(number, len(groups))


def _known_lenses(inputs: Inputs) -> Iterator[tuple[str, bytes]]:
    sample = inputs.optional("sample")
    labels = [item.table("labels").read(["ra", "dec", "label"]) for item in inputs.many("labels")]
    if sample is None or not labels:
        return
    known = pa.concat_tables(labels)
    known = known.filter(pc.equal(known["label"], "lens"))
    grid = SkyGrid()
    for batch in sample.table("catalogue").batches(["ra", "dec"]):
        grid.add(batch["ra"].to_numpy(), batch["dec"].to_numpy())
    points = {"known lenses": (known["ra"].to_numpy(), known["dec"].to_numpy())}
    yield (
        "figure01-known-lenses.png",
        draw_sky(grid.density(), "training objects a square degree", points, "Known lenses, over the training sample"),
    )


def _similar(config: FigureConfig, inputs: Inputs) -> Iterator[tuple[str, bytes]]:
    cutouts = {item.id: Cutouts.open(item) for item in inputs.many("cutouts")}
    for artifact in inputs.many("neighbours"):
        neighbours = Neighbours.open(artifact)
        origin = artifact.manifest.inputs["cutouts"][0].id
        labels = [item for item in inputs.many("labels") if item.manifest.inputs["cutouts"][0].id == origin]
        if origin not in cutouts or not labels:
            continue
        known = labels[0].table("labels").read(["row", "label"])
        lenses = known.filter(pc.equal(known["label"], "lens"))["row"].to_pylist()
        queries = [row for row in lenses if len(neighbours.of(row)[0]) > 0][: config.queries_shown]
        if not queries:
            continue
        rows = [[int(row) for row in neighbours.of(query)[0][: config.similar_shown]] for query in queries]
        marked = set(known["row"].to_pylist())
        picture = draw_queries(cutouts[origin], queries, rows, marked, config.gallery_px)
        yield f"figure03-similar-{cutouts[origin].release.name}.png", picture


def _classifiers(inputs: Inputs) -> Iterator[tuple[str, bytes]]:
    histograms: dict[str, pa.Table] = {}
    curves: dict[str, pa.Table] = {}
    for model in inputs.many("models"):
        method = str(model.read_json("model.json").get("type", "model"))
        if model.has_table("scan"):
            yield from _scan(method, model.table("scan").read())
        if model.has_table("curve") and model.has_table("histogram"):
            histograms[method], curves[method] = model.table("histogram").read(), model.table("curve").read()
    if curves:
        yield "figure05-found.png", plot_curves(histograms, curves)


def _scan(method: str, scan: pa.Table) -> Iterator[tuple[str, bytes]]:
    if "ratio" not in scan.column_names:
        return
    names = {name: name.removeprefix("precision_") for name in scan.column_names if name.startswith("precision_")}
    values = {label: scan[name].to_pylist() for name, label in names.items()}
    yield f"figure04-ratio-{method}.png", plot_ratio_scan(scan["ratio"].to_pylist(), values)


def _candidates_on_sky(inputs: Inputs, table: pa.Table) -> Iterator[tuple[str, bytes]]:
    grid = SkyGrid()
    for item in inputs.many("cutouts"):
        catalogue = item.table("catalogue")
        names = [name for name in catalogue.schema.names if name.startswith("nobs_")]
        for batch in catalogue.batches(["ra", "dec", *names]):
            counts = [batch[name].to_numpy(zero_copy_only=False) for name in names]
            grid.add(batch["ra"].to_numpy(), batch["dec"].to_numpy(), np.mean(counts, axis=0) if names else None)
    points = positions_by_grade(table)
    yield "figure09-candidates.png", draw_sky(grid.mean(), "mean number of observations", points, "Lens candidates")


def _magnitudes(inputs: Inputs) -> Iterator[tuple[str, bytes]]:
    sample = inputs.optional("sample")
    if sample is None:
        return
    source = {item.id for item in sample.manifest.inputs.get("cutouts", ())}
    whole = [item for item in inputs.many("cutouts") if item.id in source]
    counts = [_count_magnitudes(items) for items in (whole, [sample])]
    yield "figure15-magnitudes.png", plot_magnitudes(MAG_EDGES, counts[0], counts[1])


def _galleries(config: FigureConfig, inputs: Inputs, table: pa.Table) -> Iterator[tuple[str, bytes]]:
    for grade in sorted(set(table["grade"].to_pylist())):
        for part, rows in _parts(table.filter(pc.equal(table["grade"], grade)), config.mag_split):
            shown = rows.slice(0, config.gallery_limit)
            pixels = pictures_of(shown, inputs.many("cutouts"), config.gallery_px)
            yield (
                f"gallery-{grade.replace('?', 'disputed') or 'ungraded'}-{part}.png",
                draw_gallery(pixels, config.gallery_columns),
            )


def _parts(table: pa.Table, split: float) -> Iterator[tuple[str, pa.Table]]:
    north = pc.equal(table["region"], "north")
    faint = pc.greater_equal(pc.fill_null(table["mag_z"], 0), split)
    south = pc.invert(north)
    for name, mask in (
        ("south-bright", pc.and_not(south, faint)),
        ("south-faint", pc.and_(south, faint)),
        ("north", north),
    ):
        rows = table.filter(mask)
        if rows.num_rows:
            yield name, rows


def _count_magnitudes(artifacts: Sequence[Artifact]) -> NDArray[np.float64]:
    total = np.zeros(len(MAG_EDGES) - 1)
    for item in artifacts:
        for batch in item.table("catalogue").batches(["mag_z"]):
            values = batch["mag_z"].to_numpy(zero_copy_only=False)
            total += np.histogram(values[np.isfinite(values)], MAG_EDGES)[0]
    return total
