"""Several processes that train one model: who they are, and what they exchange."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist

TIMEOUT = timedelta(minutes=10)


@contextmanager
def process_group(device: str, ranks: int) -> Iterator[torch.device]:
    """Join the other ranks, if there are any (torchrun's variables say where); yields this rank's device."""
    local = int(os.environ.get("LOCAL_RANK", 0))
    here = torch.device(f"cuda:{local}") if device.startswith("cuda") else torch.device("cpu")
    if here.type == "cuda":
        torch.cuda.set_device(here)
    if ranks == 1:
        yield here
        return
    dist.init_process_group("nccl" if here.type == "cuda" else "gloo", timeout=TIMEOUT)
    try:
        yield here
    finally:
        dist.destroy_process_group()


def gather(values_bp: torch.Tensor) -> torch.Tensor:
    """Rows of all ranks, in the order of ranks, without gradients."""
    if not dist.is_initialized():
        return values_bp
    parts = [torch.empty_like(values_bp) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, values_bp.contiguous())
    return torch.cat(parts)


def average(tensors: list[torch.Tensor]) -> None:
    """Replace tensors by their mean over the ranks."""
    if not dist.is_initialized() or not tensors:
        return
    flat = torch.cat([tensor.flatten().float() for tensor in tensors])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))


def several() -> bool:
    """Whether there are other ranks."""
    return dist.is_initialized()


def agreed(yes: bool) -> bool:
    """What the first rank says."""
    if not dist.is_initialized():
        return yes
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    answer = torch.tensor([float(yes)], device=device)
    dist.broadcast(answer, 0)
    return bool(answer.item())
