"""Gaussian blur and crop of many images, each band with a sigma of its own, as two batched matrix products."""

import math

import torch

KERNEL_SIGMAS = 4.0
"""Kernels end here, as scipy.ndimage's do; what is left out is 6e-5 of the light."""
LARGEST_RADIUS_PX = 32
"""No kernel is longer, however extreme a draw: an 8 px sigma is a PSF of 5 arcsec."""
BLOCK_PX = 16
"""Rows or columns blurred by one product: larger blocks multiply more zeros, smaller ones cost more calls."""


def kernel_radius_px(largest_sigma_px: float) -> int:
    """Half length of the kernels of a batch, in pixels, and so the margin that the blur needs."""
    return min(math.ceil(KERNEL_SIGMAS * largest_sigma_px), LARGEST_RADIUS_PX)


def blur_and_crop(images_bcnn: torch.Tensor, sigma_bc: torch.Tensor, out_px: int) -> torch.Tensor:
    """Blur each image and band and take off the margin.

    With TF32 allowed on a GPU the products round pixels to 10 bits, far below the noise of bright pixels.

    Args:
        images_bcnn: (B, C, n, n) with n = out_px + 2 margin.
        sigma_bc: (B, C) sigma, pixels; 0 leaves the band as it is.
        out_px: side of the result.

    Returns:
        (B, C, out_px, out_px).
    """
    margin_px = (images_bcnn.shape[-1] - out_px) // 2
    inside = slice(margin_px, margin_px + out_px)
    cropped_bchw = images_bcnn[..., inside, inside].contiguous()
    if margin_px == 0:
        return cropped_bchw
    if images_bcnn.is_cuda:  # choosing the blurred ones would make the CPU wait for the GPU
        return _blur(images_bcnn.flatten(0, 1), sigma_bc.flatten(), out_px).view_as(cropped_bchw)
    # Half of the bands are not blurred at all: the drawn target is below the initial value.
    pairs = sigma_bc.flatten().nonzero()[:, 0]
    blurred = _blur(images_bcnn.flatten(0, 1).index_select(0, pairs), sigma_bc.flatten()[pairs], out_px)
    cropped_bchw.view(-1, out_px, out_px).index_copy_(0, pairs, blurred)
    return cropped_bchw


def _blur(images_pnn: torch.Tensor, sigma_p: torch.Tensor, out_px: int) -> torch.Tensor:
    """Blur rows, then columns, block by block: a block needs only the pixels that its kernels reach."""
    radius_px = (images_pnn.shape[-1] - out_px) // 2
    matrices_poi = _matrices(sigma_p, min(BLOCK_PX, out_px), radius_px)
    blocks = [(first, min(BLOCK_PX, out_px - first)) for first in range(0, out_px, BLOCK_PX)]
    rows_pon = torch.cat(
        [
            _part(matrices_poi, size, radius_px) @ images_pnn[:, first : first + size + 2 * radius_px]
            for first, size in blocks
        ],
        dim=1,
    )
    return torch.cat(
        [
            rows_pon[:, :, first : first + size + 2 * radius_px] @ _part(matrices_poi, size, radius_px).transpose(1, 2)
            for first, size in blocks
        ],
        dim=2,
    )


def _part(matrices_poi: torch.Tensor, size: int, radius_px: int) -> torch.Tensor:
    return matrices_poi[:, :size, : size + 2 * radius_px]


def _matrices(sigma_p: torch.Tensor, block_px: int, radius_px: int) -> torch.Tensor:
    """(P, block, block + 2 radius) matrices that blur one axis of a block: row i holds the kernel around pixel i."""
    offsets = torch.arange(-radius_px, radius_px + 1, device=sigma_p.device)
    exponents = -0.5 * offsets**2 / sigma_p.clamp_min(1e-3)[:, None] ** 2
    # An exponent below -60 is as good as 0, and would make slow denormals.
    kernels_pk = torch.where(exponents > -60.0, exponents, -torch.inf).softmax(dim=1)
    matrices_poi = torch.zeros(len(sigma_p), block_px, block_px + 2 * radius_px, device=sigma_p.device)
    # The diagonals of the matrices, as a view: element (i, k) lies at (i, i + k).
    stride = matrices_poi.stride()
    band = matrices_poi.as_strided((len(sigma_p), block_px, len(offsets)), (stride[0], stride[1] + 1, 1))
    band.copy_(kernels_pk[:, None, :])
    return matrices_poi
