"""Tables in every format."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st

from lenscore.errors import InputError, NotFoundError
from lenscore.survey.tables import check_columns, find_position_columns, read_table, table_batches

ROWS = 11
WRITERS = {
    "table.csv": lambda table, path: table.write(path, format="ascii.csv"),
    "table.tsv": lambda table, path: table.write(path, format="ascii.tab"),
    "table.txt": lambda table, path: table.write(path, format="ascii.csv", delimiter=";"),
    "table.fits": lambda table, path: table.write(path),
    "table.fits.gz": lambda table, path: table.write(path),
    "table.vot": lambda table, path: table.write(path, format="votable"),
    "table.parquet": lambda table, path: table.write(path),
    "no_ending": lambda table, path: table.write(path, format="fits"),
}


def _table() -> Table:
    number = np.arange(ROWS)
    return Table(
        {
            "name": [f"L{n:02d}" for n in number],
            "RA": 10.5 + number,
            "DEC": -1.0 * number,
            "n": number,
            "ok": number % 2 == 0,
        }
    )


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_table(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    WRITERS[name](_table(), path)
    found = read_table(path)
    assert found.schema.names == ["name", "RA", "DEC", "n", "ok"]
    assert found["name"].to_pylist()[3] == "L03"
    np.testing.assert_array_equal(found["RA"].to_numpy(), 10.5 + np.arange(ROWS))
    np.testing.assert_array_equal(found["n"].to_numpy(), np.arange(ROWS))


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("rows", [1, 4, 100])
def test_pieces_are_the_whole(tmp_path: Path, name: str, rows: int) -> None:
    path = tmp_path / name
    WRITERS[name](_table(), path)
    pieces = list(table_batches(path, rows, ["DEC", "name"]))
    assert max(piece.num_rows for piece in pieces) <= rows
    assert pa.concat_tables(pieces).equals(read_table(path, ["DEC", "name"]))
    assert pieces[0].schema.names == ["DEC", "name"]


@pytest.mark.parametrize("name", WRITERS)
def test_table_without_rows(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    WRITERS[name](_table()[:0], path)
    assert read_table(path).num_rows == 0
    assert "RA" in read_table(path).schema.names


@pytest.mark.parametrize("name", WRITERS)
def test_missing_column_is_named_with_what_was_found(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    WRITERS[name](_table(), path)
    with pytest.raises(InputError, match=r"no column FLUX.*found name, RA, DEC, n, ok"):
        read_table(path, ["RA", "FLUX"])


def test_folder_of_parquet_parts_is_one_table(tmp_path: Path) -> None:
    for part in range(3):
        folder = tmp_path / "dataset" / "Norder=0" / "Dir=0"
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"ra": [float(part)], "dec": [0.0]}), folder / f"Npix={part}.parquet")
    pq.write_table(pa.table({"nothing": [1]}), tmp_path / "dataset" / "_metadata.parquet")
    assert read_table(tmp_path)["ra"].to_pylist() == [0.0, 1.0, 2.0]


def test_comments_units_and_empty_columns(tmp_path: Path) -> None:
    path = tmp_path / "lenses.csv"
    path.write_text("# from somewhere\n#\nname,RA [deg],DEC [deg],note\nA,1.5,2.5,\nB,3.5,4.5,\n")
    found = read_table(path)
    assert find_position_columns(found.schema.names) == ("RA [deg]", "DEC [deg]")
    assert found["RA [deg]"].to_pylist() == [1.5, 3.5]
    assert pa.types.is_string(found.schema.field("note").type)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["RA", "DEC"], ("RA", "DEC")),
        (["id", "ra_deg", "dec_deg"], ("ra_deg", "dec_deg")),
        (["RAJ2000", "DEJ2000"], ("RAJ2000", "DEJ2000")),
        (["_RAJ2000", "_DEJ2000"], ("_RAJ2000", "_DEJ2000")),
        (["ALPHA_J2000", "DELTA_J2000"], ("ALPHA_J2000", "DELTA_J2000")),
    ],
)
def test_usual_names_of_positions(names: list[str], expected: tuple[str, str]) -> None:
    assert find_position_columns(names) == expected


def test_positions_that_are_given_or_missing() -> None:
    assert find_position_columns(["x", "y"], "X", "y") == ("x", "y")
    with pytest.raises(InputError, match="no column of declination among ra, b"):
        find_position_columns(["ra", "b"])
    with pytest.raises(InputError, match="no column 'lon'; found ra, dec"):
        find_position_columns(["ra", "dec"], "lon", "dec")
    with pytest.raises(InputError, match="found no columns at all"):
        check_columns([], ["ra"], "the table")


@pytest.mark.parametrize(
    "content", [b"", b"SIMPLE  =                    T", b"PAR1 and then nothing", b"<?xml version='1.0'?><VOTABLE>"]
)
def test_broken_files_give_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_table(path)
    assert "\n" not in str(caught.value)


def test_cut_off_fits_table(tmp_path: Path) -> None:
    path = tmp_path / "long.fits"
    Table({"ra": np.arange(5000.0), "dec": np.arange(5000.0)}).write(path)
    path.write_bytes(path.read_bytes()[:20000])
    with pytest.raises(InputError, match=r"long\.fits is cut off: 20000 of"):
        read_table(path)


def test_no_table_no_file(tmp_path: Path, real_data: Path) -> None:
    with pytest.raises(NotFoundError, match="does not exist"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(InputError, match="holds no table"):
        read_table(real_data / "cutout_59.1067_-30.4848.fits")


def test_real_tables(real_data: Path) -> None:
    lenses, known = read_table(real_data / "training_lenses.tsv"), read_table(real_data / "lenscat.csv")
    assert (lenses.num_rows, known.num_rows) == (1615, 32838)
    assert find_position_columns(known.schema.names) == ("RA [deg]", "DEC [deg]")
    sweep = read_table(real_data / "sweep-310m005-320p000.fits", ["RELEASE", "BRICKNAME", "TYPE", "DCHISQ"])
    assert sweep["RELEASE"].to_pylist() == [8000] * 6
    assert len(sweep["DCHISQ"].to_pylist()[0]) == 5
    assert all(name == name.strip() for name in sweep["TYPE"].to_pylist())


@settings(deadline=None, max_examples=40)
@given(
    values=st.lists(
        st.tuples(st.integers(-(2**62), 2**62), st.floats(allow_nan=False, allow_infinity=False, width=64)), max_size=30
    ),
    rows=st.integers(1, 7),
    name=st.sampled_from(["t.fits", "t.parquet", "t.vot"]),
)
def test_numbers_survive_exactly(
    tmp_path_factory: pytest.TempPathFactory, values: list[tuple[int, float]], rows: int, name: str
) -> None:
    path = tmp_path_factory.mktemp("tables") / name
    table = Table({"id": np.array([v[0] for v in values], np.int64), "x": np.array([v[1] for v in values], np.float64)})
    WRITERS[f"table.{name.partition('.')[2]}"](table, path)
    found = pa.concat_tables(table_batches(path, rows))
    assert found["id"].to_pylist() == [v[0] for v in values]
    assert found["x"].to_pylist() == [v[1] for v in values]
