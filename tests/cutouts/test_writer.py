"""One shard, one writer; bad images keep their row."""

import threading
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lenscore.artifacts import Artifact, Sink, Store
from lenscore.artifacts.lifecycle import verify
from lenscore.cutouts import CodecConfig, Cutouts, CutoutsWriter
from lenscore.errors import InputError
from tests.cutouts.conftest import TINY
from tests.support.cutouts import make_cutouts, small_catalogue, small_cutouts, small_images


@pytest.fixture
def sink(file_store: Store, tmp_path: Path) -> Sink:
    return Sink(file_store, "cutouts", "0" * 64, tmp_path)


def images(rows: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((rows, 3, 24, 24), dtype=np.float32)


def shards(sink: Sink) -> dict[str, str]:
    return {path: info.sha256 for path, info in sink.files.items() if "/c/" in path}


def test_batches_of_any_size_give_the_same_bytes(sink: Sink, tmp_path: Path) -> None:
    whole = images(1500)
    writer = CutoutsWriter(sink, 1500, TINY)
    writer.declare()
    writer.write(0, whole)
    other = Sink(Store.open(str(tmp_path / "other")), "cutouts", "1" * 64, tmp_path)
    writer = CutoutsWriter(other, 1500, TINY)
    writer.declare()
    for start in range(0, 1500, 300):
        writer.write(start, whole[start : start + 300])
    assert len(shards(sink)) == 6
    assert shards(sink) == shards(other)
    np.testing.assert_allclose(sink.numbers["codec_error_squares"], other.numbers["codec_error_squares"])


def test_nothing_is_stored_before_its_shard_is_whole(sink: Sink) -> None:
    writer = CutoutsWriter(sink, 1500, TINY)
    writer.declare()
    writer.write(0, images(1000))
    assert not shards(sink)
    writer.write(1000, images(24))
    assert len(shards(sink)) == 3


def test_rows_out_of_place_are_refused(sink: Sink) -> None:
    writer = CutoutsWriter(sink, 1500, TINY)
    writer.declare()
    with pytest.raises(InputError, match="row 5 starts no shard"):
        writer.write(5, images(1))
    writer.write(0, images(10))
    with pytest.raises(InputError, match="rows start at 11, after row 9"):
        writer.write(11, images(1))
    with pytest.raises(InputError, match=r"rows 10..1509 exceed the 1500 rows"):
        writer.write(10, images(1500))
    with pytest.raises(InputError, match=r"shape \(3, 16, 16\)"):
        writer.write(10, images(2)[:, :, :16, :16])
    with pytest.raises(InputError, match=r"shape \(2, 24, 24\)"):
        writer.write(10, images(2)[:, :2])


def test_bad_images_keep_their_row(file_store: Store) -> None:
    given = images(40)
    given[5, 1, 2, 3] = np.nan
    given[6, 2] = 0  # as a reader leaves a band without data, or with zero inverse variance everywhere
    made = make_cutouts(file_store, given, small_catalogue(40, 0, TINY), TINY)
    stored, valid = Cutouts.open(made).read(0, 40)
    np.testing.assert_array_equal(np.flatnonzero(~valid), [5, 6])
    assert not stored[5:7].any()
    np.testing.assert_allclose(stored[valid], given[valid], atol=0.2)
    rejected = made.table("rejected").read().to_pydict()
    assert rejected["row"] == [5, 6]


def test_two_writers_of_one_shard_leave_one_whole_artifact(file_store: Store) -> None:
    made: list[Artifact] = []
    barrier = threading.Barrier(4)

    def write() -> None:
        barrier.wait()
        made.append(small_cutouts(file_store, 1030, 9, TINY))

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({artifact.id for artifact in made}) == 1
    assert len(made) == 4
    assert not list(verify(made[0]))
    alone = small_images(small_catalogue(1030, 9, TINY), range(1030), 9, TINY)
    stored, valid = Cutouts.open(made[0]).read(0, 1030)
    assert valid.all()
    np.testing.assert_allclose(stored, alone, atol=0.02)


def test_int16_takes_a_quarter_of_the_bytes_of_float32(file_store: Store) -> None:
    small = small_cutouts(file_store, 64, 1, TINY)
    size = small.file("images.zarr/images/c/0/0/0/0").size
    assert size < 0.25 * 64 * 3 * 24 * 24 * 4
    exact = small_cutouts(file_store, 64, 1, TINY, CodecConfig(kind="float32"))
    assert size < 0.3 * exact.file("images.zarr/images/c/0/0/0/0").size
