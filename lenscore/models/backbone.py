"""The networks, without their last layer."""

import torch
from torch import nn
from torchvision.models import resnet18, resnet34, resnet50
from torchvision.models.resnet import BasicBlock, ResNet

from lenscore.models.config import Arch
from lenscore.models.norm import GroupedBatchNorm2d

DIMENSIONS: dict[Arch, int] = {"resnet50": 2048, "resnet34": 512, "resnet18": 512, "narrow18": 256}
NARROW_WIDTHS = (32, 64, 128, 256)


def build_backbone(arch: Arch, bands: int) -> nn.Module:
    """Build a network with random weights (from torch's generator).

    Args:
        arch: which.
        bands: channels of its input.

    Returns:
        A module from (B, bands, H, W) to (B, DIMENSIONS[arch]), in channels_last layout.
    """
    network = _narrow() if arch == "narrow18" else _standard(arch)
    first = network.conv1
    network.conv1 = nn.Conv2d(bands, first.out_channels, first.kernel_size, first.stride, first.padding, bias=False)
    nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    network.fc = nn.Identity()
    return network.to(memory_format=torch.channels_last)


def _standard(arch: Arch) -> ResNet:
    build = {"resnet50": resnet50, "resnet34": resnet34, "resnet18": resnet18}[arch]
    return build(weights=None, norm_layer=GroupedBatchNorm2d)


def _narrow() -> ResNet:
    """ResNet-18 of half its widths, with a small stem: for fields of some 48 px (SCIENCE)."""
    network = ResNet(BasicBlock, [1, 1, 1, 1], norm_layer=GroupedBatchNorm2d)
    network.inplanes = NARROW_WIDTHS[0]
    network.conv1 = nn.Conv2d(3, NARROW_WIDTHS[0], 3, 2, 1, bias=False)
    network.bn1 = GroupedBatchNorm2d(NARROW_WIDTHS[0])
    network.maxpool = nn.Identity()
    for number, width in enumerate(NARROW_WIDTHS, start=1):
        setattr(network, f"layer{number}", network._make_layer(BasicBlock, width, 2, stride=1 if number == 1 else 2))
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network
