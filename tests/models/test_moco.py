"""Momentum contrast: the loss, the queue, the key network, collapse."""

import pytest
import torch
import torch.nn.functional as F

from jobs.pretrain import PretrainConfig
from lenscore.artifacts import Artifact
from lenscore.models.config import EncoderConfig
from lenscore.models.moco import QueryNetwork, Queue, contrast, follow, key_network, spread
from lenscore.models.pretraining import learning_rate, untrained
from lenscore.models.settings import MocoConfig
from tests.models.conftest import MOCO

torch.set_num_threads(1)


def _directions(rows: int, seed: int) -> torch.Tensor:
    return F.normalize(torch.randn(rows, 8, generator=torch.Generator().manual_seed(seed)), dim=1)


def test_loss_is_the_cross_entropy_of_the_pair() -> None:
    queries, keys, queue = _directions(5, 0), _directions(5, 1), _directions(7, 2)
    loss, right = contrast(queries, keys, queue, 0.2)
    logits = torch.stack([torch.cat([(q @ k)[None], queue @ q]) for q, k in zip(queries, keys, strict=True)]) / 0.2
    expected = (torch.logsumexp(logits, 1) - logits[:, 0]).mean()
    assert torch.allclose(loss, expected, atol=1e-6)
    assert right == (logits.argmax(1) == 0).float().mean()
    assert contrast(queries, queries, queue, 0.2)[1] == 1


def test_queue_goes_round() -> None:
    queue = Queue(torch.zeros(5, 2))
    for number in range(1, 4):
        queue.push(torch.full((2, 2), float(number)))
    assert queue.keys_kp[:, 0].tolist() == [3, 1, 2, 2, 3]
    assert queue.next == 1


def test_key_network_follows() -> None:
    query = QueryNetwork(untrained(EncoderConfig(arch="narrow18"), ("g",), 0).backbone, "narrow18", 8)
    key = key_network(query)
    assert not any(parameter.requires_grad for parameter in key.parameters())
    before = [parameter.clone() for parameter in key.parameters()]
    with torch.no_grad():
        for parameter in query.parameters():
            parameter += 1
    follow(key, query, 0.75)
    for old, new, target in zip(before, key.parameters(), query.parameters(), strict=True):
        assert torch.allclose(new, 0.75 * old + 0.25 * target, atol=1e-6)


def test_spread_tells_collapse() -> None:
    assert spread(_directions(4000, 0)) == pytest.approx(1, abs=0.05)
    assert spread(_directions(1, 0).expand(50, -1)) == pytest.approx(0, abs=1e-6)


def test_learning_rate_falls_along_a_cosine() -> None:
    moco = MocoConfig(batch=128, learning_rate=0.03)
    assert learning_rate(moco, 0, 10) == pytest.approx(0.015)
    assert learning_rate(moco, 5, 10) == pytest.approx(0.0075)
    assert learning_rate(moco, 10, 10) == pytest.approx(0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch": 100, "groups": 3}, "no multiple of groups"),
        ({"batch": 8, "groups": 8}, "no statistics"),
        ({"queue": 16}, "shorter"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MocoConfig(**changes)


def test_length_is_given_once() -> None:
    with pytest.raises(ValueError, match="give one"):
        PretrainConfig(steps=3, epochs=2)


def test_start_of_a_run_does_not_touch_torchs_own_generator(small: Artifact) -> None:
    torch.manual_seed(5)
    untrained(EncoderConfig(arch="narrow18"), ("g", "r", "z"), 1)
    first = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(first, torch.rand(1))
    assert MOCO.batch % MOCO.groups == 0
