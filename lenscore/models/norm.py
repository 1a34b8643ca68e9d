"""Batch normalisation in groups: each group of a batch is normalised by its own statistics (MoCo's shuffled batch norm).

With one device the groups stand for the devices that the paper used; on several ranks each holds some of the groups.
Running statistics move by the mean over the groups, so that they do not depend on how groups are spread over ranks.
"""

import torch
from torch import nn


class GroupedBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation of `groups` equal parts of a batch; in evaluation plain batch normalisation."""

    groups: int = 1

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Normalise (B, C, H, W); B is a multiple of the groups."""
        if not self.training or self.groups == 1:
            return super().forward(input)
        parts = [
            torch.native_batch_norm(part, self.weight, self.bias, None, None, True, 0.0, self.eps)
            for part in input.chunk(self.groups)
        ]
        self._move_statistics(parts, input)
        return torch.cat([output for output, _, _ in parts])

    @torch.no_grad()
    def _move_statistics(
        self, parts: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]], input: torch.Tensor
    ) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        count = input.numel() // (input.shape[1] * len(parts))
        mean = torch.stack([part[1] for part in parts]).mean(0)
        variance = torch.stack([part[2].pow(-2) - self.eps for part in parts]).mean(0) * (count / max(count - 1, 1))
        momentum = self.momentum or 0.1
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
        self.running_var.lerp_(variance.to(self.running_var.dtype), momentum)
        self.num_batches_tracked.add_(1)


def set_groups(network: nn.Module, groups: int) -> None:
    """Set the number of groups of a network."""
    for module in network.modules():
        if isinstance(module, GroupedBatchNorm2d):
            module.groups = groups
