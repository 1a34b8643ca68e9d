"""Encoders at rest and at work: a network or principal components, from images to vectors."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import nn

from lenscore.artifacts import Artifact, Sink
from lenscore.errors import DamagedError, InputError
from lenscore.models.backbone import DIMENSIONS, build_backbone
from lenscore.models.config import EncoderConfig, Precision
from lenscore.models.folding import fold_norms
from lenscore.models.transform import central, transform_images

VIEWS = 8
"""Flips and quarter turns of a square."""


class Encoder(Protocol):
    """Turns images into vectors."""

    dimension: int
    input_px: int
    bands: tuple[str, ...]
    precision: Precision

    def prepare(self, images_bchw: torch.Tensor) -> torch.Tensor:
        """Central field of (B, C, S, S) nanomaggies, transformed: what `vectors` takes, and what may be turned."""

    def vectors(self, fields_bchw: torch.Tensor) -> torch.Tensor:
        """(B, C, input_px, input_px) from `prepare` to (B, dimension) float32."""

    def embed(self, images_bchw: torch.Tensor) -> torch.Tensor:
        """Embed images.

        Args:
            images_bchw: (B, C, S, S) float32, nanomaggies, S >= input_px; the central field is used.

        Returns:
            (B, dimension) float32.
        """


class NetworkEncoder:
    """A network.

    Args:
        config: what it is.
        bands: of its input.
        backbone: its weights.
        precision: of its arithmetic: float32, tf32 (on a GPU) or bf16.
    """

    def __init__(
        self, config: EncoderConfig, bands: tuple[str, ...], backbone: nn.Module, precision: Precision = "float32"
    ) -> None:
        self.config, self.bands, self.backbone, self.precision = config, bands, backbone, precision
        self.dimension, self.input_px = DIMENSIONS[config.arch], config.input_px

    def prepare(self, images_bchw: torch.Tensor) -> torch.Tensor:
        """Central field, transformed, as the network takes it."""
        field = central(images_bchw, self.input_px)
        return transform_images(field, self.config.transform, self.bands).contiguous(memory_format=torch.channels_last)

    def forward(self, images_bchw: torch.Tensor) -> torch.Tensor:
        """(B, C, S, S) nanomaggies to (B, dimension), with gradients: for fine-tuning."""
        return self._forward(self.prepare(images_bchw))

    def vectors(self, fields_bchw: torch.Tensor) -> torch.Tensor:
        """See Encoder.vectors."""
        self.backbone.eval()
        with torch.inference_mode():
            return self._forward(fields_bchw)

    def for_speed(self) -> "NetworkEncoder":
        """The same encoder with its norms folded in: for embedding many images, not for training."""
        return NetworkEncoder(self.config, self.bands, fold_norms(self.backbone.eval()), self.precision)

    def embed(self, images_bchw: torch.Tensor) -> torch.Tensor:
        """See Encoder.embed."""
        check_images(images_bchw, self.bands, self.input_px)
        with torch.inference_mode():
            return self.vectors(self.prepare(images_bchw))

    def _forward(self, fields_bchw: torch.Tensor) -> torch.Tensor:
        with arithmetic(fields_bchw.device, self.precision):
            found: torch.Tensor = self.backbone(fields_bchw)
        return found.float()


class PcaEncoder:
    """Principal components of the transformed pixels of the central field: the plain baseline.

    Args:
        config: input size and transform; its arch is not used.
        bands: of its input.
        mean: (P,) with P = C x input_px x input_px.
        components: (dimension, P).
    """

    precision: Precision = "float32"

    def __init__(
        self, config: EncoderConfig, bands: tuple[str, ...], mean: torch.Tensor, components: torch.Tensor
    ) -> None:
        self.config, self.bands, self.mean, self.components = config, bands, mean, components
        self.dimension, self.input_px = components.shape[0], config.input_px

    def prepare(self, images_bchw: torch.Tensor) -> torch.Tensor:
        """See Encoder.prepare."""
        return transform_images(central(images_bchw, self.input_px), self.config.transform, self.bands)

    def vectors(self, fields_bchw: torch.Tensor) -> torch.Tensor:
        """See Encoder.vectors."""
        return (fields_bchw.flatten(1) - self.mean) @ self.components.T

    def embed(self, images_bchw: torch.Tensor) -> torch.Tensor:
        """See Encoder.embed."""
        check_images(images_bchw, self.bands, self.input_px)
        with torch.inference_mode():
            return self.vectors(self.prepare(images_bchw))


def embed_views(encoder: Encoder, images_bchw: torch.Tensor) -> torch.Tensor:
    """Mean vector over the 8 flips and quarter turns.

    Args:
        encoder: which.
        images_bchw: (B, C, S, S) float32, nanomaggies.

    Returns:
        (B, dimension) float32.
    """
    check_images(images_bchw, encoder.bands, encoder.input_px)
    total = torch.zeros(len(images_bchw), encoder.dimension, device=images_bchw.device)
    with torch.inference_mode():
        field = encoder.prepare(images_bchw)
        for flipped in (field, field.flip(-1)):
            for quarter in range(VIEWS // 2):
                turned = flipped.rot90(quarter, (-2, -1))
                total += encoder.vectors(turned.contiguous(memory_format=torch.channels_last))
    return total / VIEWS


def arithmetic(device: torch.device, precision: Precision) -> AbstractContextManager[Any]:
    """Context in which a network computes in a precision."""
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision != "float32"
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()


def save_encoder(sink: Sink, encoder: NetworkEncoder | PcaEncoder, **facts: Any) -> None:
    """Write model.json and weights.safetensors."""
    if isinstance(encoder, NetworkEncoder):
        kind, tensors = "encoder", dict(encoder.backbone.state_dict())
    else:
        kind, tensors = "pca", {"mean": encoder.mean, "components": encoder.components}
    description = {
        "type": kind,
        "encoder": encoder.config.model_dump(mode="json"),
        "bands": list(encoder.bands),
        "dimension": encoder.dimension,
        **facts,
    }
    sink.write_json("model.json", description)
    sink.write_bytes(
        "weights.safetensors", save_tensors({name: value.cpu().contiguous() for name, value in tensors.items()})
    )


def load_encoder(
    artifact: Artifact, device: str = "cpu", precision: Precision = "float32"
) -> NetworkEncoder | PcaEncoder:
    """Open an encoder.

    Args:
        artifact: of kind model, type encoder or pca.
        device: where it computes.
        precision: of its arithmetic.

    Raises:
        InputError: the model is no encoder.
        DamagedError: the weights do not fit its description.
    """
    description = artifact.read_json("model.json")
    kind = description.get("type")
    if kind not in ("encoder", "pca"):
        raise InputError(
            f"model {artifact.id[:12]} is of type {kind!r}", "give an encoder, made by pretrain or fit_pca"
        )
    config, bands = EncoderConfig.model_validate(description["encoder"]), tuple(description["bands"])
    tensors = load_tensors(artifact.read_bytes("weights.safetensors"))
    if kind == "pca":
        return PcaEncoder(config, bands, tensors["mean"].to(device), tensors["components"].to(device))
    backbone = build_backbone(config.arch, len(bands))
    try:
        backbone.load_state_dict(tensors)
    except RuntimeError as error:
        raise DamagedError(
            f"weights of model {artifact.id[:12]} do not fit {config.arch}", "make the model again"
        ) from error
    backbone.to(device).eval()
    return NetworkEncoder(config, bands, backbone, precision)


def check_images(images_bchw: torch.Tensor, bands: tuple[str, ...], input_px: int) -> None:
    """Refuse images that the encoder cannot take.

    Raises:
        InputError: wrong number of axes or bands, or too small.
    """
    shape = tuple(images_bchw.shape)
    if len(shape) != 4 or shape[1] != len(bands):
        raise InputError(f"images have shape {shape}", f"give (B, {len(bands)}, S, S), the bands {', '.join(bands)}")
    if min(shape[2:]) < input_px:
        raise InputError(f"images of {shape[2]} x {shape[3]} px are too small", f"give at least {input_px} px")
