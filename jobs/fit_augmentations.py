"""Fit noise, seeing and dust of a survey's images by lognormals, for the augmentations (paper, Appendix B).

One pass over the catalogues, a Dask task for each Parquet part. Time grows with the rows; memory does not: each
quantity is counted in a histogram of at most 4 MiB, and the likelihood is maximised on the seven histograms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from lenscore.config import Config, field
from lenscore.errors import InputError

if TYPE_CHECKING:
    from lenscore.artifacts import Artifact, Checkpoints, Inputs, Runtime, Sink
    from lenscore.augment.collect import Counts, Selection
    from lenscore.survey.release import Release

VERSION = 1


class FitAugmentationsConfig(Config):
    """Which rows the distributions are fitted to."""

    region: Literal["south", "north", "any"] = field(
        "south", unit="", source="paper, Appendix B", description="part of the survey; inputs of the other are not read"
    )
    mag_band: str = field("z", unit="", source="paper, Appendix B", description="band of the magnitude limit")
    mag_limit: float | None = field(
        20.0,
        unit="mag AB",
        source="paper, Appendix B",
        description="rows brighter than this are fitted (not corrected for extinction); none: all",
    )
    measured: Literal["every_band", "own_band"] = field(
        "every_band",
        unit="",
        source="FACTS: Augmentations",
        description="use rows with psfdepth and psfsize above zero in every band, or, for each band, in that band",
    )


def run(config: FitAugmentationsConfig, inputs: Inputs, sink: Sink, checkpoints: Checkpoints, runtime: Runtime) -> None:
    """Count, fit, draw.

    Raises:
        InputError: no input is of the region, the inputs' bands or pixel scales differ, a column is missing, or too
            few rows are usable.
    """
    from lenscore.augment.collect import count_all
    from lenscore.augment.likelihood import fit_lognormal
    from lenscore.augment.plots import plot_fits

    artifacts = _of_region(config, inputs.many("cutouts"))
    release = _common_release(artifacts)
    work = [(a.table("catalogue"), _selection(config, release), a.id) for a in artifacts]
    counts = count_all(work, runtime.dask_scheduler, runtime.workers)
    names = [("noise", band) for band in release.bands] + [("psf", band) for band in release.bands] + [("ebv", "all")]
    _check(config, counts)
    fits = {key: fit_lognormal(counts.histograms[key], f"{key[0]} ({key[1]})") for key in names}
    sink.reject(counts.rejected)
    sink.write_json("fits.json", _as_json(fits))
    sink.write_table("histograms", _histogram_table(counts.histograms))
    sink.write_bytes("fits.png", plot_fits(counts.histograms, {key: fit.lognormal for key, fit in fits.items()}))
    sink.metrics(
        rows=counts.rows,
        selected=counts.selected,
        not_finite=counts.bad,
        without_local_maximum=sum(not fit.local_maximum for fit in fits.values()),
        largest_quantile_error=max(fit.largest_quantile_error for fit in fits.values()),
    )


def _of_region(config: FitAugmentationsConfig, artifacts: tuple[Artifact, ...]) -> list[Artifact]:
    found = [artifact for artifact in artifacts if config.region in ("any", _release(artifact).region)]
    if not found:
        regions = ", ".join(sorted({_release(artifact).region for artifact in artifacts})) or "no inputs"
        raise InputError(f"no input is of the region {config.region!r}, only {regions}", "set region, or to 'any'")
    return found


def _common_release(artifacts: list[Artifact]) -> Release:
    releases = [_release(artifact) for artifact in artifacts]
    first = releases[0]
    for other in releases[1:]:
        if (other.bands, other.pixel_scale_arcsec) != (first.bands, first.pixel_scale_arcsec):
            raise InputError(
                f"{first.name} has {','.join(first.bands)} at {first.pixel_scale_arcsec} arcsec / px, {other.name} has "
                f"{','.join(other.bands)} at {other.pixel_scale_arcsec}",
                "fit them one at a time",
            )
    return first


def _release(artifact: Artifact) -> Release:
    from lenscore.survey.release import Release

    return Release.model_validate(artifact.read_json("release.json"))


def _selection(config: FitAugmentationsConfig, release: Release) -> Selection:
    from lenscore.augment.collect import Selection

    if config.mag_limit is not None and config.mag_band not in release.bands:
        raise InputError(
            f"mag_band = {config.mag_band!r} is not a band of {release.name} ({', '.join(release.bands)})",
            "set mag_band to one of them",
        )
    return Selection(release.bands, release.pixel_scale_arcsec, config.mag_band, config.mag_limit, config.measured)


def _check(config: FitAugmentationsConfig, counts: Counts) -> None:
    if counts.selected == counts.bad:
        raise InputError(
            f"none of {counts.rows} rows is usable: {counts.selected} have mag_{config.mag_band} < {config.mag_limit}, "
            f"{counts.bad} of them have values that are not finite",
            "check the catalogue, or loosen mag_limit",
        )


def _as_json(fits):  # type: ignore[no-untyped-def]
    content: dict[str, dict[str, dict[str, object]]] = {}
    for (quantity, band), fit in fits.items():
        content.setdefault(quantity, {})[band] = {
            **fit.lognormal.model_dump(),
            "n": fit.rows,
            "outside": fit.outside,
            "local_maximum": fit.local_maximum,
            "largest_quantile_error": fit.largest_quantile_error,
        }
    return content


def _histogram_table(histograms):  # type: ignore[no-untyped-def]
    import numpy as np
    import pyarrow as pa

    parts = []
    for (quantity, band), histogram in histograms.items():
        edges, full = histogram.edges(), np.flatnonzero(histogram.counts)
        parts.append(
            pa.table(
                {
                    "quantity": [quantity] * len(full),
                    "band": [band] * len(full),
                    "low": edges[full],
                    "high": edges[full + 1],
                    "count": histogram.counts[full],
                }
            )
        )
    return pa.concat_tables(parts)
