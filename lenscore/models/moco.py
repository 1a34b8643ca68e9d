"""Momentum contrast, version 2 (paper section 3.1; He et al. 2020; Chen et al. 2020)."""

import copy
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import nn

from lenscore.models.backbone import DIMENSIONS
from lenscore.models.config import Arch


class QueryNetwork(nn.Module):
    """Backbone and projection head: images to vectors of length one.

    Args:
        backbone: (B, C, H, W) to (B, D).
        arch: of the backbone.
        projection: dimension of the head's output.
    """

    def __init__(self, backbone: nn.Module, arch: Arch, projection: int) -> None:
        super().__init__()
        width = DIMENSIONS[arch]
        self.backbone = backbone
        self.head = nn.Sequential(nn.Linear(width, width), nn.ReLU(inplace=True), nn.Linear(width, projection))

    def forward(self, images_bchw: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) to (B, projection), float32."""
        return F.normalize(self.head(self.backbone(images_bchw)).float(), dim=1)


class Queue:
    """The last keys, as negatives.

    Args:
        keys_kp: (K, projection) vectors of length one; replaced in place.
        next: row that the next key takes.
    """

    def __init__(self, keys_kp: torch.Tensor, next: int = 0) -> None:
        self.keys_kp, self.next = keys_kp, next

    @classmethod
    def random(cls, size: int, projection: int, generator: torch.Generator) -> "Queue":
        """A queue of random directions."""
        return cls(F.normalize(torch.randn(size, projection, generator=generator), dim=1))

    def push(self, keys_bp: torch.Tensor) -> None:
        """Put keys in, over the oldest ones."""
        rows = (torch.arange(len(keys_bp), device=self.keys_kp.device) + self.next) % len(self.keys_kp)
        self.keys_kp[rows] = keys_bp
        self.next = (self.next + len(keys_bp)) % len(self.keys_kp)


def key_network(query: QueryNetwork) -> QueryNetwork:
    """A copy that follows the query network slowly and takes no gradients."""
    copied = copy.deepcopy(query)
    for parameter in copied.parameters():
        parameter.requires_grad_(False)
    return copied


@torch.no_grad()
def follow(key: nn.Module, query: nn.Module, momentum: float) -> None:
    """Move the key network's weights towards the query's: k <- momentum k + (1 - momentum) q."""
    torch._foreach_lerp_(_list(key.parameters()), _list(query.parameters()), 1 - momentum)


def contrast(
    queries_bp: torch.Tensor, keys_bp: torch.Tensor, queue_kp: torch.Tensor, temperature: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """InfoNCE: find the other view of the same object among the queue (paper equation 1).

    Args:
        queries_bp: (B, P) of length one, with gradients.
        keys_bp: (B, P) of the other views.
        queue_kp: (K, P) negatives.
        temperature: of the softmax.

    Returns:
        (mean loss, share of queries whose own key is the nearest).
    """
    positive = (queries_bp * keys_bp).sum(dim=1, keepdim=True)
    logits = torch.cat([positive, queries_bp @ queue_kp.T], dim=1) / temperature
    target = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
    right = (logits.detach()[:, 1:].amax(dim=1) < logits.detach()[:, 0]).float().mean()
    return F.cross_entropy(logits, target), right


def spread(vectors_bp: torch.Tensor) -> float:
    """Spread of vectors of length one: 1 if even over the sphere, 0 if they have collapsed into one."""
    return float(vectors_bp.detach().std(dim=0, unbiased=False).mean() * vectors_bp.shape[1] ** 0.5)


def _list(parameters: Iterable[nn.Parameter]) -> list[torch.Tensor]:
    return [parameter.data for parameter in parameters]
