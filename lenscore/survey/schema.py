"""Columns of a catalogue."""

from collections.abc import Sequence

import pyarrow as pa

PER_BAND = {
    "flux": (pa.float32(), "nanomaggy"),
    "fiberflux": (pa.float32(), "nanomaggy"),
    "psfsize": (pa.float32(), "arcsec"),
    "psfdepth": (pa.float32(), "nanomaggy-2"),
    "nobs": (pa.int16(), ""),
    "mag": (pa.float32(), "mag"),
}
"""Per-band columns (`flux_g`, ...): type and unit. mag is not corrected for extinction; psfsize is a FWHM."""


def catalogue_schema(bands: Sequence[str]) -> pa.Schema:
    """Columns of a catalogue, in order.

    Args:
        bands: the release's bands.

    Returns:
        An Arrow schema; each field's metadata holds its unit.
    """
    return pa.schema(
        [
            _column("ls_id", pa.int64()),
            _column("release", pa.int32()),
            _column("brickid", pa.int32()),
            _column("objid", pa.int32()),
            _column("region", pa.string()),
            _column("ra", pa.float64(), "deg"),
            _column("dec", pa.float64(), "deg"),
            _column("type", pa.string()),
            _column("ebv", pa.float32(), "mag"),
            *(_column(f"{name}_{band}", kind, unit) for name, (kind, unit) in PER_BAND.items() for band in bands),
            _column("maskbits", pa.int32()),
            _column("z_phot", pa.float32()),
            _column("z_spec", pa.float32()),
        ]
    )


REJECTED = pa.schema(
    [
        pa.field("row", pa.int64()),
        pa.field("ls_id", pa.int64()),
        pa.field("ra", pa.float64(), metadata={"unit": "deg"}),
        pa.field("dec", pa.float64(), metadata={"unit": "deg"}),
        pa.field("source", pa.string()),
        pa.field("reason", pa.string()),
    ]
)
"""Rows that were set aside, and why. row and ls_id are -1 where there is none."""


def _column(name: str, kind: pa.DataType, unit: str = "") -> pa.Field:
    return pa.field(name, kind, metadata={"unit": unit})
