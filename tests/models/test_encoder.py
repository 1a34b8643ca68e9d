"""Encoders: transforms, grouped batch norm, saving and loading, principal components."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lenscore.artifacts import Artifact, Store
from lenscore.errors import DamagedError, InputError
from lenscore.models.backbone import DIMENSIONS, build_backbone
from lenscore.models.config import Arch, EncoderConfig
from lenscore.models.embedding import embed_rows
from lenscore.models.encoder import embed_views, load_encoder
from lenscore.models.norm import GroupedBatchNorm2d, set_groups
from lenscore.models.pretraining import untrained
from lenscore.models.transform import central, transform_images

torch.set_num_threads(1)


def test_rgb_transform_is_the_viewers_stretch() -> None:
    images = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 0.1
    scaled = images.double() * torch.tensor([6.0, 3.4, 2.2])[:, None, None] + 0.03
    mean = scaled.clamp_min(0).mean(1, keepdim=True).clamp_min(1e-8)
    expected = ((scaled * torch.asinh(20 * mean) / math.sqrt(20) / mean).clamp(0, 1) - 0.15) / 0.2
    assert torch.allclose(transform_images(images, "rgb", ("g", "r", "z")).double(), expected, atol=1e-4)
    assert transform_images(images, "nanomaggies", ("g", "r", "z")) is images


def test_central_field() -> None:
    images = torch.arange(49.0).view(1, 1, 7, 7)
    assert central(images, 3)[0, 0, 1, 1] == images[0, 0, 3, 3]


@pytest.mark.parametrize("arch", sorted(DIMENSIONS))
def test_networks_take_any_bands_and_give_their_dimension(arch: str) -> None:
    network = build_backbone(arch, 4).eval()  # type: ignore[arg-type]
    with torch.inference_mode():
        assert network(torch.zeros(2, 4, 48, 48)).shape == (2, DIMENSIONS[arch])  # type: ignore[index]


def test_one_group_is_plain_batch_norm() -> None:
    ours, plain = GroupedBatchNorm2d(3), nn.BatchNorm2d(3)
    x = torch.randn(8, 3, 5, 5)
    assert torch.allclose(ours(x), plain(x), atol=1e-6)
    assert torch.allclose(ours.running_mean, plain.running_mean, atol=1e-6)
    assert torch.allclose(ours.running_var, plain.running_var, atol=1e-5)
    assert torch.allclose(ours.eval()(x), plain.eval()(x), atol=1e-5)


@settings(deadline=None, max_examples=20)
@given(groups=st.sampled_from([1, 2, 4]), seed=st.integers(0, 99))
def test_groups_have_statistics_of_their_own(groups: int, seed: int) -> None:
    x = torch.randn(8, 2, 3, 3, generator=torch.Generator().manual_seed(seed)) * 3 + 1
    norm = GroupedBatchNorm2d(2)
    set_groups(norm, groups)
    for part in norm(x).chunk(groups):
        assert torch.allclose(part.mean((0, 2, 3)), torch.zeros(2), atol=1e-5)
        assert torch.allclose(part.var((0, 2, 3), unbiased=False), torch.ones(2), atol=1e-3)


def test_running_statistics_do_not_depend_on_where_groups_are() -> None:
    x = torch.randn(8, 2, 3, 3)
    whole, halves = GroupedBatchNorm2d(2), [GroupedBatchNorm2d(2) for _ in range(2)]
    set_groups(whole, 2)
    whole(x)
    for norm, part in zip(halves, x.chunk(2), strict=True):
        norm(part)
    assert torch.allclose(whole.running_mean, (halves[0].running_mean + halves[1].running_mean) / 2, atol=1e-6)
    assert torch.allclose(whole.running_var, (halves[0].running_var + halves[1].running_var) / 2, atol=1e-6)


def test_wrong_images_are_refused() -> None:
    encoder = untrained(EncoderConfig(arch="narrow18", input_px=16), ("g", "r", "z"), 0)
    with pytest.raises(InputError, match=r"images have shape \(2, 2, 16, 16\)"):
        encoder.embed(torch.zeros(2, 2, 16, 16))
    with pytest.raises(InputError, match="too small"):
        encoder.embed(torch.zeros(2, 3, 12, 12))


def test_mean_over_views_does_not_change_under_turns() -> None:
    encoder = untrained(EncoderConfig(arch="narrow18", input_px=16), ("g", "r", "z"), 0)
    images = torch.randn(3, 3, 16, 16)
    first, turned = embed_views(encoder, images), embed_views(encoder, images.rot90(1, (-2, -1)).flip(-1))
    assert torch.allclose(first, turned, atol=1e-5)
    assert not torch.allclose(encoder.embed(images), encoder.embed(images.flip(-1)), atol=1e-5)


def test_weights_that_do_not_fit_are_refused(file_store: Store, tmp_path: Path) -> None:
    from tests.support.candidates import put_artifact

    wrong = put_artifact(file_store, "model", jsons={"model.json": {"type": "linear"}, "weights.safetensors": {}})
    with pytest.raises(InputError, match="of type 'linear'"):
        load_encoder(Artifact.open(file_store, "model", wrong.id))


def test_damaged_weights_are_not_used(pretrained: Artifact, file_store: Store) -> None:
    key = pretrained.key("weights.safetensors")
    whole = pretrained.store.get(key)
    try:
        pretrained.store.put(key, whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(DamagedError, match="checksum"):
            load_encoder(Artifact.open(pretrained.store, "model", pretrained.id))
    finally:
        pretrained.store.put(key, whole)


def test_embedding_refuses_other_bands(small: Artifact) -> None:
    from lenscore.cutouts import Cutouts

    encoder = untrained(EncoderConfig(arch="narrow18", input_px=16), ("g", "r", "i"), 0)
    with pytest.raises(InputError, match="the model sees bands g, r, i"):
        embed_rows(encoder, Cutouts.open(small), range(4), 4, False, torch.device("cpu"))


def test_vectors_that_are_not_finite_are_refused(small: Artifact) -> None:
    from lenscore.cutouts import Cutouts

    encoder = untrained(EncoderConfig(arch="narrow18", input_px=16), ("g", "r", "z"), 0)
    with torch.no_grad():
        encoder.backbone.layer4[1].bn2.weight.fill_(float("nan"))  # type: ignore[union-attr,index,operator]
    with pytest.raises(InputError, match="look at the model"):
        embed_rows(encoder, Cutouts.open(small), range(4), 4, False, torch.device("cpu"))


def test_components_are_those_of_the_pixels(small: Artifact) -> None:
    from lenscore.cutouts import Cutouts
    from lenscore.models.pca import fit_components

    cutouts = Cutouts.open(small)
    config = EncoderConfig(input_px=16)
    encoder = fit_components(config, cutouts, 5, 60)
    rows = np.flatnonzero(cutouts.valid())[:60]
    pixels = central(torch.from_numpy(cutouts.take(rows)[0]), 16).flatten(1).double().numpy()
    _, _, axes = np.linalg.svd(pixels - pixels.mean(0), full_matrices=False)
    ours = encoder.components.double().numpy()
    assert np.abs(np.abs((ours * axes[:5]).sum(1)) - 1).max() < 1e-3
    with pytest.raises(InputError, match="too few"):
        fit_components(config, cutouts, 60, 60)


@pytest.mark.parametrize("arch", ["narrow18", "resnet50"])
def test_folded_norms_give_the_same_vectors(arch: Arch) -> None:
    encoder = untrained(EncoderConfig(arch=arch, input_px=32), ("g", "r", "z"), 0)
    images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    encoder.backbone.train()
    encoder.backbone(images)  # statistics other than 0 and 1
    folded = encoder.for_speed()
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.backbone.modules())
    expected = encoder.embed(images)
    assert (folded.embed(images) - expected).norm() < 1e-4 * expected.norm()
