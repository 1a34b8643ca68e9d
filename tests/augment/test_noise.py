"""Noise, from the generator and from the pool."""

import pytest
import torch

from lenscore.augment.noise import add_noise
from tests.augment.helpers import generator


@pytest.mark.parametrize("pooled", [False, True])
def test_noise_is_normal_white_and_repeatable(pooled: bool) -> None:
    sigma_bc = torch.tensor([[0.5, 0.0, 2.0]]).repeat(100, 1)
    views, again = torch.zeros(100, 3, 96, 96), torch.zeros(100, 3, 96, 96)
    add_noise(views, sigma_bc, generator(1), pooled)
    add_noise(again, sigma_bc, generator(1), pooled)
    assert torch.equal(views, again)
    assert (views[:, 1] == 0).all()
    for band, sigma in ((0, 0.5), (2, 2.0)):
        noise = views[:, band] / sigma
        assert float(noise.mean()) == pytest.approx(0.0, abs=0.01)
        assert float(noise.std()) == pytest.approx(1.0, abs=0.005)
        assert float((noise**4).mean()) == pytest.approx(3.0, abs=0.05)
        assert float((noise[..., 1:] * noise[..., :-1]).mean()) == pytest.approx(0.0, abs=0.005)


def test_no_two_images_show_the_same_noise_in_place() -> None:
    views = torch.zeros(300, 3, 48, 48)
    add_noise(views, torch.ones(300, 3), generator(2), pooled=True)
    correlation = torch.corrcoef(views.flatten(0, 1).flatten(1)) - torch.eye(900)
    assert float(correlation.abs().max()) < 6 / 48
