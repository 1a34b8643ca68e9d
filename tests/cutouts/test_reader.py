"""What is read is what Zarr reads, in any order, and never a damaged byte."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lenscore.artifacts import Artifact, Store
from lenscore.artifacts.lifecycle import verify
from lenscore.cutouts import CodecConfig, CodecError, Cutouts, decode
from lenscore.errors import DamagedError, InputError
from tests.cutouts.conftest import INVALID, ROWS, TINY
from tests.support.cutouts import small_cutouts


class FarStore(Store):
    """A folder that is read the way S3 is: through obstore, many requests at once."""

    @property
    def is_local(self) -> bool:
        return False


@pytest.fixture(params=["near", "far"])
def cutouts(request: pytest.FixtureRequest, artifact: Artifact) -> Cutouts:
    store = artifact.store
    chosen = store if request.param == "near" else FarStore(store.url, store.backend)
    return Cutouts.open(Artifact(chosen, artifact.manifest))


@pytest.fixture(scope="module")
def expected(artifact: Artifact) -> NDArray[np.float32]:
    """What plain zarr-python makes of the files."""
    group = zarr.open_group(str(artifact.store.path(f"{artifact.prefix}/images.zarr")), mode="r", zarr_format=3)
    stored, step = np.asarray(group["images"]), np.asarray(group["step"])
    return stored * step[:, :, None, None]


def test_a_range_is_what_zarr_reads(cutouts: Cutouts, expected: NDArray[np.float32], artifact: Artifact) -> None:
    images, valid = cutouts.read(0, ROWS)
    assert images.dtype == np.float32
    np.testing.assert_array_equal(images, expected)
    np.testing.assert_array_equal(valid, artifact.array("images.zarr/valid")[:])
    np.testing.assert_array_equal(np.flatnonzero(~valid), INVALID)


def test_a_range_is_what_was_written(cutouts: Cutouts, truth: NDArray[np.float32]) -> None:
    images, valid = cutouts.read(0, ROWS)
    error = CodecError.from_metrics(cutouts.artifact.manifest.metrics)
    assert error.images + error.coarse == 3 * (ROWS - len(INVALID))
    assert error.rms == pytest.approx(1 / (8 * np.sqrt(12)), rel=0.01)
    np.testing.assert_allclose(images[valid], truth[valid], atol=0.02)
    assert not images[~valid].any()


def test_what_it_says_of_itself(cutouts: Cutouts) -> None:
    assert (cutouts.rows, cutouts.size_px, cutouts.bands, cutouts.kind) == (ROWS, 24, ("g", "r", "z"), "int16")
    assert cutouts.release == TINY
    np.testing.assert_array_equal(np.flatnonzero(~cutouts.valid()), INVALID)
    np.testing.assert_array_equal(np.flatnonzero(~cutouts.valid(600, 1051)), [100, 450])
    assert cutouts.valid(5, 5).shape == (0,)


@settings(max_examples=30, deadline=None)
@given(rows=st.lists(st.integers(0, ROWS - 1), max_size=40), crop=st.sampled_from([None, 1, 15, 16, 24]))
def test_any_rows_in_any_order(
    artifact: Artifact, expected: NDArray[np.float32], rows: list[int], crop: int | None
) -> None:
    low = (24 - (crop or 24)) // 2
    part = slice(low, low + (crop or 24))
    opened = Cutouts.open(artifact)
    images, valid = opened.take(rows, crop)
    np.testing.assert_array_equal(images, expected[rows, :, part, part])
    np.testing.assert_array_equal(valid, ~np.isin(rows, INVALID))
    stored = opened.take_stored(rows, crop)
    again = np.empty_like(images)
    decode(stored.images_bchw, stored.step_bc, again)
    np.testing.assert_array_equal(again, images)


def test_rows_far_apart_from_a_far_store(cutouts: Cutouts, expected: NDArray[np.float32]) -> None:
    rows = np.random.default_rng(0).permutation(ROWS)
    np.testing.assert_array_equal(cutouts.take(rows)[0], expected[rows])


@settings(max_examples=30, deadline=None)
@given(data=st.data(), raw=st.booleans(), threads=st.integers(1, 3))
def test_a_stream_is_the_range_in_batches(
    artifact: Artifact, expected: NDArray[np.float32], data: st.DataObject, raw: bool, threads: int
) -> None:
    start = data.draw(st.integers(0, ROWS))
    stop = data.draw(st.integers(start, ROWS))
    batch_rows = data.draw(st.integers(1, 300))
    next_row = start
    held = []
    for batch in Cutouts.open(artifact).stream(start, stop, batch_rows, threads=threads, raw=raw):
        assert batch.start == next_row
        assert len(batch.images_bchw) == min(batch_rows, stop - next_row)
        next_row = batch.stop
        held.append(batch)
    assert next_row == stop
    for batch in held:  # also those handed out long ago are still whole
        images = batch.images_bchw * batch.step_bc[:, :, None, None] if raw else batch.images_bchw
        np.testing.assert_array_equal(images, expected[batch.start : batch.stop])
        np.testing.assert_array_equal(batch.valid_b, ~np.isin(np.arange(batch.start, batch.stop), INVALID))


def test_a_views_memory_is_not_used_again(cutouts: Cutouts, expected: NDArray[np.float32]) -> None:
    views = [batch.images_bchw[3:5, 1] for batch in cutouts.stream(0, 1024, 32)]
    for number, view in enumerate(views):
        np.testing.assert_array_equal(view, expected[32 * number + 3 : 32 * number + 5, 1])


def test_batches_taken_before_are_not_overwritten(cutouts: Cutouts, expected: NDArray[np.float32]) -> None:
    wanted = [[row, row + 7] for row in range(0, 60, 5)]
    taken = [cutouts.take(rows)[0][1:, 2] for rows in wanted]
    for rows, images in zip(wanted, taken, strict=True):
        np.testing.assert_array_equal(images, expected[rows[1:], 2])


def test_threads_may_share_it(cutouts: Cutouts, expected: NDArray[np.float32]) -> None:
    wanted = [np.random.default_rng(seed).integers(0, ROWS, 50) for seed in range(24)]
    with ThreadPoolExecutor(4) as pool:
        for rows, (images, _) in zip(wanted, pool.map(cutouts.take, wanted), strict=True):
            np.testing.assert_array_equal(images, expected[rows])


def test_another_process_opens_it_again(artifact: Artifact, expected: NDArray[np.float32]) -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        images, _ = pool.submit(Cutouts.open(artifact).take, [1, 0]).result()
    np.testing.assert_array_equal(images, expected[[1, 0]])


def test_a_stream_may_be_left(cutouts: Cutouts) -> None:
    for batch in cutouts.stream(batch_rows=10):
        assert batch.start == 0
        break


@pytest.mark.parametrize("kind", ["int16", "float16", "float32"])
def test_every_kind_of_pixel(kind: str, file_store: Store) -> None:
    made = small_cutouts(file_store, 20, 2, TINY, CodecConfig.model_validate({"kind": kind}))
    opened = Cutouts.open(made)
    images, _ = opened.take([19, 0])
    assert opened.kind == kind
    whole = made.array("images.zarr/images")[:] * made.array("images.zarr/step")[:][:, :, None, None]
    np.testing.assert_array_equal(images, whole[[19, 0]].astype(np.float32))


def test_requests_that_make_no_sense(cutouts: Cutouts) -> None:
    with pytest.raises(InputError, match="no row 1100"):
        cutouts.take([0, 1100])
    with pytest.raises(InputError, match="no row -1"):
        cutouts.take([-1])
    with pytest.raises(InputError, match="type float64"):
        cutouts.take([0.5])
    with pytest.raises(InputError, match=r"no rows 5\.\.1101"):
        cutouts.read(5, 1101)
    with pytest.raises(InputError, match="crop_px = 25"):
        cutouts.take([0], crop_px=25)
    with pytest.raises(InputError, match="batch_rows = 0"):
        next(cutouts.stream(batch_rows=0))
    with pytest.raises(InputError, match="threads = 0"):
        cutouts.take([0], threads=0)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return small_cutouts(Store.open(str(tmp_path_factory.mktemp("flip"))), 40, 3, TINY)


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(["images/c/0/0/0/0", "step/c/0/0"]),
    place=st.floats(0, 1, exclude_max=True),
    bit=st.integers(0, 7),
)
def test_a_flipped_bit_is_found(small: Artifact, name: str, place: float, bit: int) -> None:
    path = small.store.path(f"{small.prefix}/images.zarr/{name}")
    whole = path.read_bytes()
    wanted, _ = Cutouts.open(small).read(0, 40)
    damaged = bytearray(whole)
    damaged[int(place * len(whole))] ^= 1 << bit
    path.write_bytes(bytes(damaged))
    try:
        assert [fault.path for fault in verify(small)] == [f"images.zarr/{name}"]
        images, _ = Cutouts.open(small).read(0, 40)
        # Bits that no decoder looks at, and the index of chunks that hold no row.
        np.testing.assert_array_equal(images, wanted)
    except DamagedError:
        pass
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("length", [0, 3, 500, -1])
def test_a_shard_cut_short_is_damage(small: Artifact, length: int, tmp_path: Path) -> None:
    path = small.store.path(f"{small.prefix}/images.zarr/images/c/0/0/0/0")
    whole = path.read_bytes()
    path.write_bytes(whole[:length])
    try:
        with pytest.raises(DamagedError):
            Cutouts.open(small).take([0, 39])
    finally:
        path.write_bytes(whole)


def test_a_missing_shard_is_damage(small: Artifact) -> None:
    path = small.store.path(f"{small.prefix}/images.zarr/images/c/0/0/0/0")
    whole = path.read_bytes()
    path.unlink()
    try:
        for store in (small.store, FarStore(small.store.url, small.store.backend)):
            with pytest.raises(DamagedError, match="missing"):
                Cutouts.open(Artifact(store, small.manifest)).take([0])
    finally:
        path.write_bytes(whole)
