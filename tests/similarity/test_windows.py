"""The windowed search against brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lenscore.similarity import topk, topk_torch, windows
from lenscore.similarity.topk import EMPTY, TopK, pack, unpack
from lenscore.similarity.topk_torch import TorchTopK
from lenscore.similarity.windows import Sorted, search
from tests.similarity.brute import agree, brute_neighbours


def sort(vectors: NDArray[np.floating], mag: NDArray[np.float32]) -> Sorted:
    """Sort in memory, as the job does on disk."""
    order = np.lexsort((np.arange(len(mag)), np.nan_to_num(mag, nan=np.inf))).astype(np.uint32)
    return Sorted(mag[order], order, vectors[order].astype(np.float16), int(np.sum(~np.isnan(mag))))


def search_all(
    vectors: NDArray[np.floating], mag: NDArray[np.float32], k: int, window_mag: float, unit: int, device: str = "cpu"
) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
    """Search in units, and bring the result into row order."""
    data = sort(vectors, mag)
    similarity, rows = np.empty((len(mag), k), np.float32), np.empty((len(mag), k), np.uint32)
    for start in range(0, len(mag), unit):
        found = search(data, start, min(start + unit, len(mag)), k, window_mag, threads=2, device=device)
        here = data.order[start : start + unit]
        similarity[here], rows[here] = found
    return similarity, rows


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles, blocks and slices so small that a few objects cross all their borders."""
    monkeypatch.setattr(topk, "TILE", 13)
    monkeypatch.setattr(topk, "PICK", 4)
    monkeypatch.setattr(topk_torch, "TILE", 8)
    monkeypatch.setattr(windows, "QUERIES", 5)
    monkeypatch.setattr(windows, "GPU_QUERIES", 7)
    monkeypatch.setattr(windows, "SLICE_ROWS", 21)


# Every component is +-1 / 4: lengths and products are exact in float32, so that ties are ties.
SIGNS = np.array([[1 - 2 * ((n * 2654435761 >> b) & 1) for b in range(16)] for n in range(64)], np.float32) / 4


@settings(max_examples=60, deadline=None)
@given(
    picks=st.lists(st.tuples(st.integers(0, 11), st.integers(-1, 40)), min_size=1, max_size=70),
    k=st.integers(1, 30),
    unit=st.integers(1, 40),
    window=st.sampled_from([0.05, 0.5, 1.0, 9.0]),
    kind=st.sampled_from(["cpu", "torch"]),
)
@pytest.mark.usefixtures("small_tiles")
def test_ties_and_rims_are_exact(picks: list[tuple[int, int]], k: int, unit: int, window: float, kind: str) -> None:
    """Few distinct vectors, magnitudes on a grid of 0.1 (so that many lie just on a window's rim), some without."""
    vectors = SIGNS[[vector for vector, _ in picks]]
    mag = np.array([np.nan if step < 0 else 16 + step / 10 for _, step in picks], np.float32)
    with pytest.MonkeyPatch.context() as patch:
        if kind == "torch":
            patch.setattr(windows, "TopK", lambda *given: TorchTopK(*given, device="cpu"))
        found = search_all(vectors, mag, k, window, unit)
    expected = brute_neighbours(vectors, mag, k, window)
    np.testing.assert_array_equal(found[1], expected[1])
    np.testing.assert_array_equal(found[0], expected[0])


@pytest.mark.parametrize("k", [1, 99, 999])
def test_random_vectors(k: int) -> None:
    """Real sizes of tiles; k within and beyond the number of objects in a window."""
    rng = np.random.default_rng(k)
    vectors = rng.standard_normal((3000, 24)).astype(np.float16)
    mag = (20 - rng.exponential(1, 3000)).astype(np.float32)
    mag[::97] = np.nan
    agree(search_all(vectors, mag, k, 0.5, 1024), brute_neighbours(vectors, mag, k, 0.5), 1e-6)


def test_result_does_not_depend_on_the_order_of_slices() -> None:
    """Slices in any order give the same bytes, ties included."""
    vectors = np.repeat(SIGNS[:8], 40, axis=0)
    names = np.arange(len(vectors), dtype=np.uint32)
    queries, low, high = SIGNS[:3].copy(), np.zeros(3, np.int64), np.full(3, len(vectors))
    results = []
    for starts in (range(0, 320, 64), reversed(range(0, 320, 64))):
        best = TopK(queries, 50, low, high)
        for start in starts:
            best.add(start, vectors[start : start + 64], names[start : start + 64])
        results.append(best.result())
    np.testing.assert_array_equal(results[0][1], results[1][1])
    np.testing.assert_array_equal(results[0][1][0, :40], np.arange(40))


@given(
    st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=50),
    st.lists(st.integers(0, 2**32 - 2), min_size=50, max_size=50),
)
def test_keys_sort_by_similarity_then_row(similarities: list[float], names: list[int]) -> None:
    """Packing keeps both numbers and their order."""
    similarity = np.array(similarities, np.float32)
    rows = np.array(names[: len(similarities)], np.uint32)
    keys = pack(similarity, rows)
    back = unpack(keys)
    np.testing.assert_array_equal(back[0], similarity)
    np.testing.assert_array_equal(back[1], rows)
    np.testing.assert_array_equal(np.argsort(keys, kind="stable"), np.lexsort((rows, -similarity)))
    assert keys.max() < EMPTY


def test_a_unit_without_objects_that_take_part() -> None:
    """All NaN: no neighbours, no reads."""
    data = Sorted(np.full(4, np.nan, np.float32), np.arange(4, dtype=np.uint32), np.zeros((4, 2), np.float16), 0)
    similarity, rows = search(data, 0, 4, 3, 0.5)
    assert np.isnan(similarity).all()
    assert (rows == 0xFFFFFFFF).all()
