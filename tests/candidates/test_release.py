"""Grades, Table 1 and the catalogue's four formats."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.io.votable import parse_single_table
from hypothesis import given
from hypothesis import strategies as st

from lenscore.candidates.formats import FORMATS, to_csv, to_fits, to_parquet, to_votable, write_catalogue
from lenscore.candidates.grades import VOTES, merge_votes, read_votes
from lenscore.candidates.summary import as_markdown, table_one
from lenscore.errors import InputError

BIG = (9010 << 40) | (500_000 << 16) | 1234


def _catalogue() -> pa.Table:
    return pa.table(
        {
            "rank": pa.array([1, 2], pa.int64()),
            "ls_id": pa.array([BIG, BIG + 1], pa.int64()),
            "ra": [359.9999, 0.5],
            "dec": [-45.25, 60.0],
            "mag_z": pa.array([19.5, None], pa.float32()),
            "nobs_g": pa.array([3, None], pa.int16()),
            "type": ["DEV", "REX"],
            "known": [True, False],
            "nearest_lens": ["J0011-0845", None],
            "grade": ["A", ""],
        }
    )


@pytest.mark.filterwarnings("error")
def test_formats_keep_every_value() -> None:
    table = _catalogue()
    read = pq.read_table(io.BytesIO(to_parquet(table)))
    assert read.equals(table)
    assert read.schema.field("ra").metadata[b"unit"] == b"deg"
    with fits.open(io.BytesIO(to_fits(table)), checksum=True) as hdus:
        rows, header = hdus[1].data, hdus[1].header
        assert rows["ls_id"].tolist() == [BIG, BIG + 1]
        assert rows["type"].tolist() == ["DEV", "REX"]
        assert np.isnan(rows["mag_z"][1])
        assert header["TUNIT3"] == "deg"
        assert header["TUCD3"] == "pos.eq.ra;meta.main"
    votable = parse_single_table(io.BytesIO(to_votable(table)))
    assert votable.array["ls_id"].tolist() == [BIG, BIG + 1]
    assert votable.get_field_by_id("ra").ucd == "pos.eq.ra;meta.main"
    assert str(votable.get_field_by_id("mag_z").unit) == "mag"
    assert f"{BIG}" in to_csv(table).decode()


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_formats_of_nothing_and_the_same_bytes_twice(form: str) -> None:
    assert FORMATS[form](_catalogue()) == FORMATS[form](_catalogue())
    assert FORMATS[form](_catalogue().slice(0, 0))


def test_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"unknown format '.xls'"):
        write_catalogue(_catalogue(), tmp_path / "a.xls")


def test_table_one_counts_by_grade_and_part() -> None:
    table = pa.table(
        {
            "grade": ["A", "A", "A", "B", ""],
            "region": ["south", "south", "north", "south", "south"],
            "mag_z": [19.0, 20.5, 19.0, 20.0, 18.0],
        }
    )
    rows = [tuple(row.values()) for row in table_one(table).to_pylist()]
    assert rows == [
        ("A", "South mag_z < 20", 1),
        ("A", "South mag_z > 20", 1),
        ("A", "North", 1),
        ("A", "All", 3),
        ("B", "South mag_z > 20", 1),
        ("B", "All", 1),
        ("ungraded", "South mag_z < 20", 1),
        ("ungraded", "All", 1),
        ("Total", "", 5),
    ]
    assert "| A | North | 1 |" in as_markdown(table_one(table))
    with pytest.raises(InputError, match="no column 'mag_z'"):
        table_one(pa.table({"grade": ["A"]}))


def test_table_one_of_the_real_training_lenses(real_data: Path) -> None:
    from lenscore.survey.tables import read_table

    table = table_one(read_table(real_data / "training_lenses.tsv"))
    assert table.to_pylist()[-1] == {"grade": "Total", "survey": "", "candidates": 1615}


def test_votes_are_read_and_bad_ones_listed(tmp_path: Path) -> None:
    path = tmp_path / "votes.csv"
    path.write_text(f"ls_id,grade,grader\n{BIG},a,ann\n{BIG + 1},Q,ann\nx,B,bob\n")
    (tmp_path / "none.csv").write_text("ls_id\n1\n")
    with pytest.raises(InputError, match="no column 'grade'"):
        read_votes(tmp_path / "none.csv")
    votes, refused = read_votes(path)
    assert votes["ls_id"].to_pylist() == [BIG]
    assert votes["grade"].to_pylist() == ["A"]
    assert len(refused) == 2


_votes = st.lists(
    st.tuples(st.integers(1, 3), st.sampled_from("ABX"), st.sampled_from(["ann", "bob", "cat"])), max_size=20
)


@given(_votes)
def test_each_grader_has_one_say_and_the_last_counts(given_votes: list[tuple[int, str, str]]) -> None:
    rows = [{"ls_id": i, "grade": g, "grader": who, "time": "", "source": ""} for i, g, who in given_votes]
    merged = merge_votes(pa.Table.from_pylist(rows, schema=VOTES)).to_pylist()
    assert [row["ls_id"] for row in merged] == sorted({i for i, _, _ in given_votes})
    for row in merged:
        last = {who: g for i, g, who in given_votes if i == row["ls_id"]}
        assert row["votes"] == len(last) == row["votes_a"] + row["votes_b"] + row["votes_x"]
        if len(set(last.values())) == 1:
            assert row["grade"] == next(iter(last.values()))
    swapped = sorted(rows, key=lambda row: str(row["grader"]))
    assert merge_votes(pa.Table.from_pylist(swapped, schema=VOTES)).to_pylist() == merged


def test_ties_are_disputed_or_cautious() -> None:
    def merged(*grades: str) -> str:
        rows = [{"ls_id": 1, "grade": g, "grader": str(i), "time": "", "source": ""} for i, g in enumerate(grades)]
        return str(merge_votes(pa.Table.from_pylist(rows, schema=VOTES))["grade"][0])

    assert merged("A", "X") == "?"
    assert merged("A", "B") == "B"
    assert merged("B", "X") == "B"
    assert merged("A", "A", "X") == "A"
    assert merged("A", "B", "X") == "B"
