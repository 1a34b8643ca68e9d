"""The feed of pretraining: order, lanes, and images read ahead."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from lenscore.artifacts import Artifact, Store
from lenscore.augment import AugmentConfig
from lenscore.cutouts import Cutouts
from lenscore.errors import InputError
from lenscore.models import feed as feeds
from lenscore.models.feed import Feed, FeedBatch, field_px, one_ahead
from tests.support.cutouts import small_cutouts

torch.set_num_threads(1)
INVALID = (3, 17, 40)


@pytest.fixture
def cutouts(session_store: Store, monkeypatch: pytest.MonkeyPatch) -> Cutouts:
    monkeypatch.setattr(feeds, "BLOCK_ROWS", 16)
    return Cutouts.open(small_cutouts(session_store, rows=80, seed=5, invalid=INVALID))


def _images(batches: list[FeedBatch]) -> torch.Tensor:
    return torch.cat([batch.images(slice(None), torch.device("cpu")) for batch in batches])


def test_an_epoch_takes_every_valid_object_once(cutouts: Cutouts) -> None:
    feed = Feed(cutouts, 20, 1.0, 1)
    order = feed.order(0, 0, 2)
    assert order.shape == (2, 38)  # 77 objects in two lanes
    assert len(np.unique(order)) == order.size
    assert not set(feed.rows[order].ravel()) & set(INVALID)
    assert (order != feed.order(1, 0, 2)).any()
    assert (order != feed.order(0, 1, 2)).any()
    assert (order == feed.order(0, 0, 2)).all()


@pytest.mark.parametrize("memory_gib", [1.0, 0.0])
def test_batches_hold_the_images_of_their_lanes(cutouts: Cutouts, memory_gib: float) -> None:
    feed = Feed(cutouts, 20, memory_gib, 1)
    assert (feed.held is None) == (memory_gib == 0.0)
    lanes = feed.order(0, 0, 2)
    batches = list(feed.batches(list(lanes), 5))
    assert len(batches) == 38 // 5
    places = np.concatenate([lanes[:, step * 5 : step * 5 + 5].ravel() for step in range(len(batches))])
    expected = cutouts.take(feed.rows[places], 20)[0]
    assert np.array_equal(_images(batches).numpy(), expected)
    ebv = cutouts.catalogue.read(["ebv"])["ebv"].to_numpy()[feed.rows[places]]
    assert np.array_equal(torch.cat([batch.properties.ebv_b for batch in batches]).numpy(), ebv)


def test_a_rank_reads_its_own_lanes_only(cutouts: Cutouts) -> None:
    feed = Feed(cutouts, 20, 0.0, 1)
    lanes = list(feed.order(0, 0, 4))
    whole = list(feed.batches(lanes, 3))
    halves = [list(feed.batches(lanes[start : start + 2], 3)) for start in (0, 2)]
    for all_lanes, first, second in zip(whole, *halves, strict=True):
        assert torch.equal(all_lanes.stored_bchw, torch.cat([first.stored_bchw, second.stored_bchw]))


def test_field_holds_every_turned_view() -> None:
    everything = AugmentConfig()
    assert field_px(everything, 96) > 152  # the paper's images are used whole
    assert field_px(everything, 48) == 2 * int(np.ceil((24 + 8) * np.sqrt(2) / 0.9 + 7))
    assert field_px(AugmentConfig(rotate=False, rescale=False, shift=False), 48) == 64


def test_a_sample_without_images_is_refused(session_store: Store) -> None:
    empty = Cutouts.open(small_cutouts(session_store, rows=4, seed=6, invalid=(0, 1, 2, 3)))
    with pytest.raises(InputError, match="no valid image"):
        Feed(empty, 20, 1.0, 1)


def test_an_encoder_larger_than_the_images_is_refused(session_store: Store, small: Artifact) -> None:
    from jobs.pretrain import PretrainConfig
    from lenscore.models.config import EncoderConfig
    from tests.models.conftest import MOCO
    from tests.support.artifacts import run_job

    config = PretrainConfig(encoder=EncoderConfig(arch="narrow18", input_px=96), moco=MOCO, steps=1)
    with pytest.raises(InputError, match="the encoder sees 96 px, the images have 64"):
        run_job(session_store, "pretrain", config, {"cutouts": [small]})


def test_things_made_ahead_come_in_order_and_in_one_core() -> None:
    """The next is made while one is used; neither this thread nor later ones are left with fewer cores."""
    made: list[int] = []

    def make() -> Iterator[tuple[int, int]]:
        for number in range(3):
            made.append(number)
            yield number, torch.get_num_threads()

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        found = one_ahead(make())
        assert next(found) == (0, 1)
        assert list(found) == [(1, 1), (2, 1)]
        assert made == [0, 1, 2]
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(torch.get_num_threads).result() == torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_what_fails_ahead_fails_here() -> None:
    def make() -> Iterator[int]:
        yield 1
        raise InputError("bad", "mend it")

    found = one_ahead(make())
    assert next(found) == 1
    with pytest.raises(InputError, match="bad"):
        next(found)
