"""Pictures, sheets and plots: what they show is where it should be."""

import io

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from lenscore.figures.plots import plot_curves, plot_distributions, plot_magnitudes, plot_ratio_scan
from lenscore.figures.rgb import centre, rgb
from lenscore.figures.sheets import GAP_PX, LABEL_PX, Picture, draw_sheet, page
from lenscore.figures.sky_maps import SkyGrid, draw_sky


def _open(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def test_rgb_follows_the_viewers_formula() -> None:
    rng = np.random.default_rng(0)
    images = rng.normal(0.05, 0.1, (2, 3, 5, 4)).astype(np.float32)
    shown = rgb(images, ("g", "r", "z"))
    assert shown.shape == (2, 5, 4, 3)
    scaled = images.astype(np.float64) * np.array([6.0, 3.4, 2.2])[:, None, None] + 0.03
    intensity = np.maximum(scaled, 0).mean(axis=1, keepdims=True)
    expected = scaled * np.arcsinh(20 * intensity) / np.sqrt(20) / np.maximum(intensity, 1e-12)
    expected = (np.clip(expected, 0, 1) * 255).astype(int)
    for channel, band in enumerate((2, 1, 0)):
        assert np.abs(shown[..., channel].astype(int) - expected[:, band]).max() <= 1


def test_rgb_of_other_band_sets() -> None:
    flat = np.full((1, 4, 2, 2), 0.1, np.float32)
    assert rgb(flat, ("g", "r", "i", "z")).shape == (1, 2, 2, 3)
    assert rgb(flat[:, :1], ("r",)).shape == (1, 2, 2, 3)
    assert rgb(np.full((1, 3, 2, 2), np.nan, np.float32), ("g", "r", "z")).max() == 0


def test_centre_takes_the_middle() -> None:
    image = np.zeros((7, 7), np.float32)
    image[3, 3] = 1
    assert centre(image, 3)[1, 1] == 1


def test_sheet_has_every_picture_in_its_place() -> None:
    pictures = [Picture(i + 1, i, "", np.full((8, 8, 3), 10 * i, np.uint8)) for i in range(7)]
    sheet = np.asarray(_open(draw_sheet(pictures, 5)))
    assert sheet.shape == (2 * (8 + LABEL_PX + GAP_PX) + GAP_PX, 5 * (8 + GAP_PX) + GAP_PX, 3)
    for i in range(7):
        top, left = GAP_PX + i // 5 * (8 + LABEL_PX + GAP_PX) + LABEL_PX, GAP_PX + i % 5 * (8 + GAP_PX)
        assert (sheet[top : top + 8, left : left + 8] == 10 * i).all()
    assert draw_sheet(pictures, 5) == draw_sheet(pictures, 5)


def test_page_is_self_contained_and_keeps_long_ids_whole() -> None:
    text = page("A & B", [Picture(1, 9906622040377206, "<b>", np.zeros((4, 4, 3), np.uint8))])
    assert 'data-id="9906622040377206"' in text
    assert "A &amp; B" in text
    assert "&lt;b&gt;" in text
    assert "http" not in text.replace("http-equiv", "")


def test_sky_grid_sums_and_shades() -> None:
    grid = SkyGrid()
    grid.add(np.array([0.5, 359.9, 360.0, np.nan]), np.array([0.5, -89.9, 90.0, 0.0]), np.array([2.0, 4.0, 6.0, 8.0]))
    assert grid.count.sum() == 3
    assert grid.mean()[90, 0] == 2
    assert grid.density()[90, 0] == pytest.approx(1, rel=1e-3)
    assert np.isnan(grid.density()[0, 0])
    assert _open(draw_sky(grid.mean(), "x", {"some": (np.array([1.0]), np.array([2.0]))}, "t")).size[0] > 500


def test_plots_are_drawn_and_reproducible() -> None:
    histogram = pa.table(
        {"probability_low": [1e-4, 1e-2], "probability_high": [1e-2, 1.0], "lenses": [0, 3], "nonlenses": [9, 1]}
    )
    curve = pa.table({"inspected": [1.0, 10.0], "found_share": [0.5, 1.0]})
    drawings = [
        lambda: plot_ratio_scan([1, 10], {"training": [0.9, 0.8], "validation": [0.1, 0.2]}, 10),
        lambda: plot_curves({"linear": histogram}, {"linear": curve}),
        lambda: plot_distributions(
            {"south": np.array([19.0, np.nan])}, {"south": np.array([0.5, 0.4])}, {"south": ["DEV", "EXP"]}
        ),
        lambda: plot_magnitudes(np.array([18.0, 19.0, 20.0]), np.array([5.0, 9.0]), np.array([2.0, 2.0])),
    ]
    for draw in drawings:
        assert _open(draw()).size[0] > 400
        assert draw() == draw()
