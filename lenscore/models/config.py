"""What an encoder is."""

from typing import Literal

from lenscore.config import Config, field

Arch = Literal["resnet50", "resnet34", "resnet18", "narrow18"]
Transform = Literal["nanomaggies", "rgb"]
Precision = Literal["float32", "tf32", "bf16"]


class EncoderConfig(Config):
    """An encoder: the network, and what it sees."""

    arch: Arch = field(
        "resnet50",
        unit="",
        source="paper 3.1; narrow18 (a quarter of ResNet-18's width squared): SCIENCE, for laptops",
        description="network",
    )
    input_px: int = field(96, unit="px", source="paper 2", description="side of the central field that it sees", ge=16)
    transform: Transform = field(
        "nanomaggies",
        unit="",
        source="paper 3.1; rgb (the viewer's stretch): SCIENCE, twice as good in short runs",
        description="what becomes of the fluxes before the network",
    )
