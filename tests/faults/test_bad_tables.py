"""Every command that takes a person's table or image meets every fault: one clear line, or a row listed with its value.

The matrix says what each command does; `test_no_cell_is_empty` fails where a command or a fault is added without it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from jobs.grade import GradeConfig
from jobs.lens_list import LensFile, LensListConfig
from lenscore.artifacts import Artifact, Store
from lenscore.errors import LensError
from lenscore.similarity.external import read_cutout, resample
from tests.cli.runner import run
from tests.support.artifacts import run_job
from tests.support.candidates import put_artifact
from tests.survey.layouts import images_of, write_cutout

IDS = [9010_000_001, 9010_000_002, 9010_000_003]


def good() -> Table:
    """Three objects, as a person would list them."""
    return Table(
        {
            "ls_id": IDS,
            "name": ["a", "b", "c"],
            "ra": [10.0, 11.0, 12.0],
            "dec": [0.0, 1.0, 2.0],
            "mag_z": [18.0, 19.0, 20.5],
            "z_phot": [0.3, 0.4, 0.5],
            "type": ["DEV", "SER", "REX"],
            "region": ["south", "south", "north"],
            "grade": ["A", "B", "A"],
        }
    )


def _set(name: str, value: Any) -> Callable[[Table], Table]:
    def change(table: Table) -> Table:
        table[name][1] = value
        return table

    return change


def _without(*names: str) -> Callable[[Table], Table]:
    def change(table: Table) -> Table:
        table.remove_columns(names)
        return table

    return change


FAULTS: dict[str, Callable[[Table], Table]] = {
    "nothing": lambda table: table,
    "NaN": lambda table: _set("mag_z", np.nan)(_set("dec", np.nan)(table)),
    "ra out of range": _set("ra", 400.0),
    "dec out of range": _set("dec", -95.0),
    "duplicate ls_id": _set("ls_id", IDS[0]),
    "empty table": lambda table: table[:0],
    "missing column": _without("ra", "mag_z", "grade"),
    "truncated file": lambda table: table,
    "unknown word": lambda table: _set("grade", "Q")(table),
}


@dataclass(frozen=True)
class Listed:
    """Rows set aside, each with such a reason, and what the command makes of the others."""

    rows: int
    reason: str
    result: Any


@dataclass(frozen=True)
class Stops:
    """It ends with this line."""

    line: str


def write(folder: Path, fault: str) -> Path:
    """The table as a FITS file, with a fault."""
    path = folder / "mine.fits"
    FAULTS[fault](good()).write(path)
    if fault == "truncated file":
        path.write_bytes(path.read_bytes()[: path.stat().st_size - 2880])
    return path


def _crossmatch(store: Store, path: Path, swapped: bool = False) -> tuple[list[str], Any]:
    other = path.with_name("other.csv")
    other.write_text("ra,dec\n10,0\n12,2\n")
    out = path.with_name("pairs.csv")
    tables = (other, path) if swapped else (path, other)
    pairs = run("crossmatch", *tables, "--out", out, "--json").json["pairs"]
    beside = path.with_name("pairs.csv.rejected.csv")
    return (Table.read(beside)["reason"].tolist() if beside.exists() else []), pairs


def _lenses(store: Store, path: Path) -> tuple[list[str], Any]:
    return _crossmatch(store, path, swapped=True)


def _lens_list(store: Store, path: Path) -> tuple[list[str], Any]:
    made = run_job(store, "lens_list", LensListConfig(files=(LensFile(name="mine", path=str(path)),)))
    return _reasons(made), made.manifest.rows or made.table("lenses").num_rows


def _grade(store: Store, path: Path) -> tuple[list[str], Any]:
    candidates = put_artifact(store, "candidates", tables={"candidates": good_candidates()})
    made = run_job(store, "grade", GradeConfig(files=(str(path),)), {"candidates": [candidates]})
    return _reasons(made), made.table("grades").read()["grade"].to_pylist()


def _summary(store: Store, path: Path) -> tuple[list[str], Any]:
    ended = run("catalogue", "summary", path, "--out", path.with_name("figures"), "--json")
    counts = {(row["grade"], row["survey"]): row["candidates"] for row in ended.json}
    return [line for line in ended.err.splitlines() if line], counts[("Total", "")]


def good_candidates() -> Any:
    """Candidates with these ids."""
    import pyarrow as pa

    return pa.table({"ls_id": IDS})


def _reasons(made: Artifact) -> list[str]:
    return made.table("rejected").read()["reason"].to_pylist() if made.has_table("rejected") else []


COMMANDS: dict[str, Callable[[Store, Path], tuple[list[str], Any]]] = {
    "crossmatch's objects": _crossmatch,
    "crossmatch's lenses": _lenses,
    "lens list": _lens_list,
    "grade": _grade,
    "catalogue summary": _summary,
}
RA, DEC, NAN = r"^ra = 400\.0 is outside", r"^dec = -95\.0 is outside", r"^position is not a number .*dec = nan"
CUT = r"mine\.fits.*cut off|cannot read .*mine\.fits"
MATRIX: dict[str, dict[str, Listed | Stops]] = {
    "crossmatch's objects": {
        "nothing": Listed(0, "", 2),
        "NaN": Listed(1, NAN, 2),
        "ra out of range": Listed(1, RA, 2),
        "dec out of range": Listed(1, DEC, 2),
        "duplicate ls_id": Listed(0, "", 2),
        "empty table": Stops(r"mine\.fits holds no objects \(0 rows\)"),
        "missing column": Stops(r"no column of right ascension among ls_id, name, dec.* in .*mine\.fits"),
        "truncated file": Stops(CUT),
        "unknown word": Listed(0, "", 2),
    },
    "crossmatch's lenses": {
        "nothing": Listed(0, "", 2),
        "NaN": Listed(1, NAN, 2),
        "ra out of range": Listed(1, RA, 2),
        "dec out of range": Listed(1, DEC, 2),
        "duplicate ls_id": Listed(0, "", 2),
        "empty table": Stops(r"mine\.fits holds no lenses \(0 rows\)"),
        "missing column": Stops(r"no column of right ascension among ls_id, name, dec.* in .*mine\.fits"),
        "truncated file": Stops(CUT),
        "unknown word": Listed(0, "", 2),
    },
    "lens list": {
        "nothing": Listed(0, "", 3),
        "NaN": Listed(1, NAN, 2),
        "ra out of range": Listed(1, RA, 2),
        "dec out of range": Listed(1, DEC, 2),
        "duplicate ls_id": Listed(0, "", 3),
        "empty table": Stops("no usable row"),
        "missing column": Stops(r"no column of right ascension among ls_id, name, dec.* in .*mine\.fits"),
        "truncated file": Stops(CUT),
        "unknown word": Listed(0, "", 3),
    },
    "grade": {
        "nothing": Listed(0, "", ["A", "B", "A"]),
        "NaN": Listed(0, "", ["A", "B", "A"]),
        "ra out of range": Listed(0, "", ["A", "B", "A"]),
        "dec out of range": Listed(0, "", ["A", "B", "A"]),
        "duplicate ls_id": Listed(0, "", ["B", "A"]),
        "empty table": Stops(r"mine\.fits holds no votes \(0 rows\)"),
        "missing column": Stops(r"mine\.fits has no column 'grade'"),
        "truncated file": Stops(CUT),
        "unknown word": Listed(1, r"grade 'Q' is none of A, B, X", ["A", "A"]),
    },
    "catalogue summary": {
        "nothing": Listed(0, "", 3),
        "NaN": Listed(2, r"^row 1: mag_z is not known$|^row 1: position is not a number .*dec = nan", 3),
        "ra out of range": Listed(1, r"^row 1: ra = 400\.0 is outside", 3),
        "dec out of range": Listed(1, r"^row 1: dec = -95\.0 is outside", 3),
        "duplicate ls_id": Listed(1, rf"^row 1: ls_id {IDS[0]} occurs again$", 3),
        "empty table": Stops(r"mine\.fits holds no candidates \(0 rows\)"),
        "missing column": Stops(r"mine\.fits has no column 'mag_z'"),
        "truncated file": Stops(CUT),
        "unknown word": Listed(0, "", 3),
    },
}


def test_no_cell_is_empty() -> None:
    assert set(MATRIX) == set(COMMANDS)
    for command, cells in MATRIX.items():
        assert set(cells) == set(FAULTS), command


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("command", COMMANDS)
def test_tables(file_store: Store, tmp_path: Path, command: str, fault: str) -> None:
    expected, path = MATRIX[command][fault], write(tmp_path, fault)
    if isinstance(expected, Stops):
        with pytest.raises(LensError) as caught:
            COMMANDS[command](file_store, path)
        assert re.search(expected.line, caught.value.what), caught.value.what
        assert caught.value.remedy
        assert "\n" not in str(caught.value)
        return
    reasons, result = COMMANDS[command](file_store, path)
    assert len(reasons) == expected.rows, reasons
    assert all(re.search(expected.reason, reason) for reason in reasons), reasons
    assert result == expected.result


IMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "NaN": (lambda path: _image(path, nan=True), r"1 of 3072 pixels .* not finite"),
    "missing band": (lambda path: _image(path, bands="gr"), r"mine\.fits lacks band z"),
    "empty band": (lambda path: _image(path, empty=1), r"band r of .*mine\.fits is missing \(every pixel is 0\)"),
    "truncated file": (lambda path: _image(path, cut=True), r"mine\.fits.*cannot be read as FITS|cut off"),
    "wrong shape": (lambda path: fits.PrimaryHDU(np.ones(50)).writeto(path), r"mine\.fits"),
    "no pixel scale": (lambda path: fits.PrimaryHDU(images_of(1)[0]).writeto(path), r"pixel scale"),
}


def _image(path: Path, nan: bool = False, bands: str = "grz", empty: int | None = None, cut: bool = False) -> None:
    image = images_of(1, size_px=64)[0]
    if nan:
        image[1, 32, 32] = np.nan
    if empty is not None:
        image[empty] = 0
    write_cutout(path, image[: len(bands)], 10.0, 0.0, bands=bands)
    if cut:
        path.write_bytes(path.read_bytes()[:20000])


@pytest.mark.parametrize("fault", IMAGES)
def test_images_from_outside(tmp_path: Path, fault: str) -> None:
    make, line = IMAGES[fault]
    make(tmp_path / "mine.fits")
    with pytest.raises(LensError) as caught:
        resample(read_cutout(tmp_path / "mine.fits", ("g", "r", "z")), 2.62, 32)
    assert re.search(line, caught.value.what), caught.value.what
    assert "\n" not in str(caught.value)


def test_a_real_truncated_image(real_data: Path) -> None:
    with pytest.raises(LensError, match=r"example_incomplete\.fits"):
        read_cutout(real_data / "example_incomplete.fits", ("g", "r", "z"))
