"""Lists of lenses merged into systems."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lenscore.errors import InputError
from lenscore.survey.lens_lists import LENSES, Entry, ListColumns, merge_entries, read_entries
from lenscore.survey.sky_geometry import close_pairs
from lenscore.survey.tables import read_table

ARCSEC = 1 / 3600


def entry(ra, dec, name="", grade="", reference="", z=(), source="list"):
    texts = [(text,) if text else () for text in (name, grade, reference)]
    return Entry(ra, dec, *texts, z, source)


@st.composite
def entry_lists(draw: st.DrawFn) -> list[Entry]:
    """Entries scattered a few arcsec about a few places, across ra = 0 and by a pole."""
    places = draw(st.lists(st.sampled_from([(0.0, 0.0), (359.9999, 10.0), (120.0, 89.9999)]), min_size=1, max_size=3))
    offsets = st.integers(-8, 8)
    found = []
    for number in range(draw(st.integers(1, 15))):
        ra, dec = draw(st.sampled_from(places))
        dec = min(dec + draw(offsets) * ARCSEC, 90.0)
        found.append(
            entry((ra + draw(offsets) * ARCSEC) % 360, dec, f"n{number}", draw(st.sampled_from("ABC")), z=(0.5,))
        )
    return found


@given(entry_lists(), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_result_does_not_depend_on_order(entries, random):
    merged = merge_entries(entries, 3.0)
    shuffled = list(entries)
    random.shuffle(shuffled)
    assert merge_entries(shuffled, 3.0).equals(merged)
    assert merged.schema.names == LENSES.names
    assert len(set(merged["system_id"].to_pylist())) == merged.num_rows
    # Nothing is lost, and no two systems are friends.
    assert sorted(name for names in merged["names"].to_pylist() for name in names) == sorted(
        e.names[0] for e in entries
    )
    ra, dec = merged["ra"].to_numpy(), merged["dec"].to_numpy()
    assert len(close_pairs(ra, dec, ra, dec, 2.99).object_p) == merged.num_rows


def test_all_names_grades_and_references_are_kept():
    merged = merge_entries(
        [
            entry(10.0, 0.0, "J1", "A", "ref 1", (0.4,), "one"),
            entry(10.0, 2 * ARCSEC, "J1b", "B", "ref 2", (), "two"),
            entry(10.0, 2 * ARCSEC, "J1", "A", "ref 2", (0.6,), "two"),
            entry(11.0, 0.0, "J2", source="two"),
        ],
        3.0,
    ).to_pylist()
    assert [len(merged), merged[0]["names"], merged[0]["grades"]] == [2, ["J1", "J1b"], ["A", "B"]]
    assert merged[0]["references"] == ["ref 1", "ref 2"]
    assert merged[0]["lists"] == ["one", "two"]
    assert merged[0]["z_lens"] == pytest.approx(0.4)
    assert np.isnan(merged[1]["z_lens"])
    assert merged[0]["system_id"] == "J010.00000+00.00056"


def test_chains_of_friends_are_one_system():
    chain = [entry(10.0, i * 2.5 * ARCSEC, f"n{i}") for i in range(5)]
    assert merge_entries(chain, 3.0).num_rows == 1
    assert merge_entries(chain, 2.0).num_rows == 5


def test_columns_are_found_and_missing_values_understood():
    table = pa.table(
        {
            "name": ["a | b", "-", "c"],
            "grading": ["confident", "", None],
            "ref": ["x | y", "x", "z"],
            "zlens": ["0.4 | 0.41", "not measured", "-99.0"],
        }
    )
    entries, rejected = read_entries(
        table, np.array([1.0, 2.0, np.nan]), np.array([1.0, 2.0, 3.0]), "cat", ListColumns()
    )
    assert entries[0] == Entry(1.0, 1.0, ("a", "b"), ("confident",), ("x", "y"), (0.4, 0.41), "cat")
    assert entries[1] == Entry(2.0, 2.0, (), (), ("x",), (), "cat")
    assert rejected.to_pylist()[0]["row"] == 2
    assert "not a number" in rejected.to_pylist()[0]["reason"]


def test_named_column_must_be_there():
    with pytest.raises(InputError, match=r"'votes'; found name"):
        read_entries(pa.table({"name": ["a"]}), np.array([1.0]), np.array([1.0]), "cat", ListColumns(grade="votes"))


def test_no_entries():
    with pytest.raises(InputError, match="no usable row"):
        merge_entries([], 3.0)


def test_real_list(real_data):
    table = read_table(real_data / "lenscat.csv")
    ra, dec = table["RA [deg]"].to_numpy(), table["DEC [deg]"].to_numpy()
    entries, rejected = read_entries(table, ra, dec, "lenscat", ListColumns())
    merged = merge_entries(entries, 3.0)
    assert (len(entries), rejected.num_rows) == (32838, 0)
    assert 32600 < merged.num_rows < 32838
    assert set().union(*merged["grades"].to_pylist()) == {"confident", "probable"}
