"""Catalogues in the formats that astronomers use, with units and UCDs (IVOA UCD1+)."""

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from astropy.io import fits
from astropy.io.votable import from_table, writeto
from astropy.table import Column, MaskedColumn, Table

from lenscore.errors import InputError


@dataclass(frozen=True)
class Meaning:
    """What a column is: unit, UCD and one line for people."""

    unit: str
    ucd: str
    says: str


MEANINGS: tuple[tuple[str, Meaning], ...] = (
    (r"rank", Meaning("", "meta.number", "place in the list, 1 is best")),
    (r"ls_id", Meaning("", "meta.id;meta.main", "release << 40 | brickid << 16 | objid")),
    (r"ra", Meaning("deg", "pos.eq.ra;meta.main", "right ascension, ICRS")),
    (r"dec", Meaning("deg", "pos.eq.dec;meta.main", "declination, ICRS")),
    (r"type", Meaning("", "meta.code.class", "Tractor morphology")),
    (r"ebv", Meaning("mag", "phot.color.excess", "Galactic reddening E(B-V)")),
    (r"mag_\w+", Meaning("mag", "phot.mag", "AB magnitude, not corrected for extinction")),
    (r"nobs_\w+", Meaning("", "meta.number;obs", "number of observations")),
    (r"z_phot", Meaning("", "src.redshift.phot", "photometric redshift")),
    (r"z_spec", Meaning("", "src.redshift", "spectroscopic redshift")),
    (r"grade", Meaning("", "meta.code.qual", "A sure, B likely, ? disputed, empty not graded")),
    (r"region|release_name|stratum", Meaning("", "meta.id.part", "part of the survey")),
    (r"probability_\w+", Meaning("", "stat.probability", "calibrated probability of being a lens")),
    (r"score_\w+", Meaning("", "stat.value", "score of the method, higher is better")),
    (r"rank_\w+|best_rank", Meaning("", "meta.number", "place by the method among its stratum")),
    (r"nearest_lens_arcsec", Meaning("arcsec", "pos.angDistance", "distance to the nearest listed lens")),
    (r"nearest_lens", Meaning("", "meta.id.cross", "nearest listed lens")),
)
NOTHING = Meaning("", "meta", "")


def meaning_of(name: str) -> Meaning:
    """What is known of a column."""
    return next((found for pattern, found in MEANINGS if re.fullmatch(pattern, name)), NOTHING)


def to_csv(table: pa.Table) -> bytes:
    """CSV with a line of names; missing values are empty."""
    buffer = io.BytesIO()
    pa.csv.write_csv(table, buffer)
    return buffer.getvalue()


def to_parquet(table: pa.Table) -> bytes:
    """Parquet; each field's metadata holds unit, UCD and meaning."""
    fields = [
        field.with_metadata({"unit": known.unit, "ucd": known.ucd, "description": known.says})
        for field, known in ((field, meaning_of(field.name)) for field in table.schema)
    ]
    buffer = pa.BufferOutputStream()
    pq.write_table(table.cast(pa.schema(fields)), buffer, compression="zstd", write_page_checksum=True)
    return buffer.getvalue().to_pybytes()


def to_fits(table: pa.Table) -> bytes:
    """A FITS binary table with TUNIT, TUCD and TCOMM keywords."""
    hdu = fits.table_to_hdu(_astropy(table))
    hdu.name = "CANDIDATES"
    for number, name in enumerate(table.column_names, start=1):
        known = meaning_of(name)
        hdu.header[f"TUCD{number}"] = known.ucd
        if known.says:
            hdu.header[f"TCOMM{number}"] = known.says
    hdus = fits.HDUList([fits.PrimaryHDU(), hdu])
    for item in hdus:
        item.add_checksum(when="")  # no time: the same table gives the same bytes
    buffer = io.BytesIO()
    hdus.writeto(buffer)
    return buffer.getvalue()


def to_votable(table: pa.Table) -> bytes:
    """A VOTable 1.4 with units and UCDs."""
    votable = from_table(_astropy(table))
    for field in votable.get_first_table().fields:
        field.ucd = meaning_of(field.name).ucd
    buffer = io.BytesIO()
    writeto(votable, buffer)
    return re.sub(rb"<!-- Produced with astropy\.io\.votable[^>]*-->\n?", b"", buffer.getvalue())


FORMATS: dict[str, Callable[[pa.Table], bytes]] = {
    "parquet": to_parquet,
    "csv": to_csv,
    "fits": to_fits,
    "vot": to_votable,
}
"""Writers by suffix."""


def write_catalogue(table: pa.Table, path: Path) -> None:
    """Write a catalogue in the format of the path's suffix.

    Raises:
        InputError: the suffix is not known.
    """
    form = path.suffix.lstrip(".")
    if form not in FORMATS:
        raise InputError(f"unknown format {path.suffix!r}", f"use one of .{', .'.join(FORMATS)}")
    path.write_bytes(FORMATS[form](table))


def _astropy(table: pa.Table) -> Table:
    found = Table()
    for name in table.column_names:
        known = meaning_of(name)
        found[name] = _column(table[name].combine_chunks(), known)
    return found


def _column(column: pa.Array, known: Meaning) -> Column:
    mask = column.is_null().to_numpy(zero_copy_only=False)
    if pa.types.is_floating(column.type):
        values = column.fill_null(float("nan")).to_numpy(zero_copy_only=False)
        return Column(values, unit=known.unit or None, description=known.says)
    if pa.types.is_integer(column.type) or pa.types.is_boolean(column.type):
        fill: int | bool = False if pa.types.is_boolean(column.type) else 0
        values = column.fill_null(fill).to_numpy(zero_copy_only=False)
        if mask.any():
            return MaskedColumn(values, mask=mask, unit=known.unit or None, description=known.says)
        return Column(values, unit=known.unit or None, description=known.says)
    texts = [_text(value) for value in column.to_pylist()]
    return Column(np.array(texts or [], dtype=str) if texts else np.array([], dtype="U1"), description=known.says)


def _text(value: object) -> str:
    if value is None:
        return ""
    return "; ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
