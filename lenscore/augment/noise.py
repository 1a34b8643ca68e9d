"""Gaussian noise of a level of its own in each image and band."""

from functools import cache

import torch

POOL_VALUES = 1 << 22
"""Normal values in the pool, 16 MiB."""


def add_noise(views_bchw: torch.Tensor, sigma_bc: torch.Tensor, generator: torch.Generator, pooled: bool) -> None:
    """Add noise in place.

    Args:
        views_bchw: (B, C, H, W), nmgy.
        sigma_bc: (B, C) noise of a pixel, nmgy; 0 for none.
        generator: where the randomness comes from, on the views' device.
        pooled: on a CPU, cut the noise from the pool.
    """
    flat_phw, sigma_p = views_bchw.flatten(0, 1), sigma_bc.flatten()
    if views_bchw.is_cuda:
        normal_phw = torch.randn(flat_phw.shape, generator=generator, device=flat_phw.device)
        flat_phw.addcmul_(normal_phw, sigma_p[:, None, None])
        return
    pairs = sigma_p.nonzero()[:, 0]  # half of the bands get none
    if pooled and views_bchw[0, 0].numel() < POOL_VALUES // 64:
        _add_pooled(flat_phw, sigma_p, pairs, generator)
        return
    normal_phw = torch.randn((len(pairs), *flat_phw.shape[1:]), generator=generator)
    flat_phw.index_add_(0, pairs, normal_phw.mul_(sigma_p[pairs][:, None, None]))


def _add_pooled(flat_phw: torch.Tensor, sigma_p: torch.Tensor, pairs: torch.Tensor, generator: torch.Generator) -> None:
    """Add stretches of the pool that begin anywhere, of either sign."""
    pool, shape = _pool(), flat_phw.shape[1:]
    size = shape.numel()
    starts = torch.randint(POOL_VALUES - size, (len(pairs),), generator=generator).tolist()
    signs = torch.randint(0, 2, (len(pairs),), generator=generator) * 2 - 1
    for pair, start, sigma in zip(pairs.tolist(), starts, (sigma_p[pairs] * signs).tolist(), strict=True):
        flat_phw[pair].add_(pool[start : start + size].view(shape), alpha=sigma)


@cache
def _pool() -> torch.Tensor:
    return torch.randn(POOL_VALUES, generator=torch.Generator().manual_seed(0))
