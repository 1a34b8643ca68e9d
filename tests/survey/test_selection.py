"""Selection: types, magnitudes, the next fainter ones, each object once."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lenscore.errors import InputError
from lenscore.survey import selection as module
from lenscore.survey.readers.base import Images, Objects, Reader
from lenscore.survey.readers.rows import make_rows
from lenscore.survey.readers.sources import SourceFile
from lenscore.survey.selection import Chosen, choose, nth_smallest
from lenscore.survey.settings import Selection
from tests.survey.layouts import RELEASE, ids, sweep_columns

FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=32)


class TableReader(Reader):
    """A reader of tables in memory."""

    needs_type = True

    def __init__(self, tables: list[dict[str, Any]]) -> None:
        super().__init__(RELEASE)
        self.tables = tables

    def objects(self) -> Iterator[Objects]:
        for number, columns in enumerate(self.tables):
            yield make_rows(pa.table(columns), self.release, self.facts, f"table {number}")

    def images(self, rows: pa.Table) -> Images:
        return Images.empty(rows.num_rows, self.release)

    def listing(self) -> list[SourceFile]:
        return []


def _choose(
    tables: list[dict[str, Any]], selection: Selection | None, first: int | None = None
) -> tuple[Chosen, pa.Table, pa.Table]:
    rejected: list[pa.Table] = []
    with tempfile.TemporaryDirectory() as scratch:
        chosen = choose(TableReader(tables), selection, Path(scratch), rejected.append, first)
        rows = pa.concat_tables(chosen.batches())
    return chosen, rows, pa.concat_tables(rejected)


def _columns(mags: Any, first: int = 0, **others: Any) -> dict[str, Any]:
    mags = np.asarray(mags, dtype=float)
    columns = sweep_columns(np.full(len(mags), 10.0), np.full(len(mags), 2.0), mags, **others)
    columns["OBJID"] = first + np.arange(len(mags), dtype=np.int32)
    return columns


@settings(deadline=None, max_examples=200)
@given(pieces=st.lists(st.lists(FLOATS, max_size=20), min_size=1, max_size=5), data=st.data())
def test_nth_smallest_is_exact(pieces: list[list[float]], data: st.DataObject) -> None:
    arrays = [np.array(piece, dtype=np.float32) for piece in pieces]
    values = np.sort(np.concatenate(arrays))
    count = data.draw(st.integers(1, len(values) + 2))
    found, ties = nth_smallest(lambda: arrays, count)
    if count > len(values):
        assert (found, ties) == (np.inf, 0)
        return
    assert found == values[count - 1]
    assert (values < found).sum() + ties == count


def test_stars_and_faint_objects_are_left_out() -> None:
    columns = _columns([17, 18, 19.999, 20.0, 20.5, np.nan])
    columns["TYPE"] = np.array(["PSF ", "EXP ", "SER", "DEV", "REX", "REX"])
    chosen, rows, rejected = _choose([columns], Selection())
    assert rows["objid"].to_pylist() == [1, 2]
    assert rejected.num_rows == 0
    assert chosen.counts.read == 6
    assert (chosen.counts.wrong_type, chosen.counts.too_faint, chosen.counts.selected) == (1, 3, 2)


def test_everything_is_taken_without_cuts() -> None:
    columns = _columns([17, 25, np.nan], kind="PSF")
    assert _choose([columns], None)[1].num_rows == 3


@settings(deadline=None, max_examples=30)
@given(
    mags=st.lists(st.sampled_from([19.0, 19.99, 20.0, 20.25, 20.5, 20.75, 21.0, 22.0]), min_size=1, max_size=60),
    fainter=st.integers(0, 40),
    pieces=st.integers(1, 4),
)
def test_next_fainter_ones_are_exact_and_keep_their_order(mags: list[float], fainter: int, pieces: int) -> None:
    splits = np.array_split(np.array(mags), pieces)
    starts = np.cumsum([0, *(len(part) for part in splits)])
    tables = [_columns(part, first=int(start)) for part, start in zip(splits, starts, strict=False)]
    order = np.argsort(np.where(np.array(mags) < 20, 0, mags), kind="stable")
    bright = int((np.array(mags) < 20).sum())
    expected = sorted(order[: bright + fainter].tolist()) if bright + fainter else []
    if not expected:
        with pytest.raises(InputError, match="no object passes the selection"):
            _choose(tables, Selection(fainter=fainter))
        return
    _, rows, _ = _choose(tables, Selection(fainter=fainter))
    # fluxes are float32: magnitudes that were equal stay equal, so ties go to the first rows
    assert rows["objid"].to_pylist() == expected


def test_repeated_identities_are_found_across_pieces_and_listed() -> None:
    chosen, rows, rejected = _choose(
        [_columns([18, 18.1]), _columns([18.2], first=1), _columns([18.3], first=0)], Selection()
    )
    assert rows["objid"].to_pylist() == [0, 1]
    assert rows["file"].to_pylist() == ["table 0", "table 0"]
    assert [reason.split(";")[0].split(" ", 2)[2] for reason in rejected["reason"].to_pylist()] == [
        "occurs again",
        "occurs again",
    ]
    assert sorted(rejected["ls_id"].to_pylist()) == sorted(ids(_columns([18, 18.1])).tolist())
    assert chosen.counts.duplicates == 2


@settings(deadline=None, max_examples=25)
@given(objids=st.lists(st.integers(0, 30), min_size=1, max_size=80))
def test_each_object_once_whatever_the_order(objids: list[int]) -> None:
    columns = _columns(np.full(len(objids), 18.0))
    columns["OBJID"] = np.array(objids, dtype=np.int32)
    _, rows, rejected = _choose([columns], Selection())
    assert rows["objid"].to_pylist() == list(dict.fromkeys(objids))
    assert rows.num_rows + rejected.num_rows == len(objids)


def test_extinction_moves_objects_across_the_cut() -> None:
    columns = _columns([20.02, 19.9])
    columns["EBV"] = np.array([0.05, 0.05], np.float32)  # 0.06 mag in z
    assert _choose([columns], Selection())[1]["objid"].to_pylist() == [1]
    assert _choose([columns], Selection(extinction_corrected=True))[1]["objid"].to_pylist() == [0, 1]


def test_first_few_for_a_look() -> None:
    assert _choose([_columns(np.full(10, 18.0))], Selection(), first=3)[1]["objid"].to_pylist() == [0, 1, 2]


def test_columns_that_the_cuts_need_are_named() -> None:
    without_flux = {name: values for name, values in _columns([18.0]).items() if name != "FLUX_Z"}
    with pytest.raises(InputError, match="needs mag_z, which the source lacks"):
        _choose([without_flux], Selection())
    without_type = {name: values for name, values in _columns([18.0]).items() if name != "TYPE"}
    with pytest.raises(InputError, match="needs type"):
        _choose([without_type], Selection())
    with pytest.raises(InputError, match=r"selection\.band = 'i' is no band of test-south"):
        _choose([_columns([18.0])], Selection(band="i"))


def test_empty_sources() -> None:
    with pytest.raises(InputError, match="no object passes the selection: 0 read"):
        _choose([_columns(np.zeros(0))], Selection())
    with pytest.raises(InputError, match=r"no objects \(0 rows\)"):
        _choose([], Selection())


def test_memory_does_not_grow_with_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every piece that is looked at in memory is a batch or a part."""
    monkeypatch.setattr(module, "BATCH_ROWS", 64)
    seen: list[int] = []
    repeated = module._repeated

    def watched(path: Path) -> NDArray[np.int64]:
        seen.append(path.stat().st_size // 16)
        return repeated(path)

    monkeypatch.setattr(module, "_repeated", watched)
    with tempfile.TemporaryDirectory() as scratch:
        tables = [_columns(np.linspace(18, 21, 1000), first=1000 * part) for part in range(20)]
        chosen = choose(TableReader(tables), Selection(fainter=3000), Path(scratch), lambda _: None)
        assert max(table.num_rows for table in chosen.batches()) <= 64
    assert sum(seen) == 20_000
    assert max(seen) < 200  # 78 on average
