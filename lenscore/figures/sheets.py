"""Sheets of numbered pictures for inspection (FACTS: Inspection; paper section 4.3)."""

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

GAP_PX = 2
LABEL_PX = 14
BACKGROUND = (20, 20, 20)
INK = (235, 235, 235)


@dataclass(frozen=True)
class Picture:
    """A picture on a sheet.

    Args:
        number: what people write down, and what links it to its row.
        ls_id: the object.
        caption: a line below the number, in the page.
        pixels: (H, W, 3) uint8.
    """

    number: int
    ls_id: int
    caption: str
    pixels: NDArray[np.uint8]


def draw_sheet(pictures: Sequence[Picture], columns: int) -> bytes:
    """Draw one sheet.

    Args:
        pictures: all of one size, in reading order.
        columns: pictures side by side.

    Returns:
        A PNG.
    """
    side = pictures[0].pixels.shape[0]
    rows = -(-len(pictures) // columns)
    size = (columns * (side + GAP_PX) + GAP_PX, rows * (side + LABEL_PX + GAP_PX) + GAP_PX)
    sheet = Image.new("RGB", size, BACKGROUND)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for i, picture in enumerate(pictures):
        left = GAP_PX + i % columns * (side + GAP_PX)
        top = GAP_PX + i // columns * (side + LABEL_PX + GAP_PX)
        draw.text((left + 1, top), str(picture.number), INK, font)
        sheet.paste(Image.fromarray(picture.pixels), (left, top + LABEL_PX))
    return png(sheet)


def png(image: Image.Image) -> bytes:
    """A picture as PNG; the same pixels give the same bytes."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=False, compress_level=6)
    return buffer.getvalue()


def page(title: str, pictures: Sequence[Picture]) -> str:
    """One self-contained page on which people grade: keys A, B, X, and a button that saves the grades.

    Args:
        title: of the page.
        pictures: all that are to be graded.

    Returns:
        HTML that needs nothing else, not even a server.
    """
    cells = "\n".join(_cell(picture) for picture in pictures)
    return PAGE.replace("{title}", html.escape(title)).replace("{cells}", cells)


def _cell(picture: Picture) -> str:
    data = base64.b64encode(png(Image.fromarray(picture.pixels))).decode()
    caption = html.escape(picture.caption)
    return (
        f'<figure tabindex="0" data-number="{picture.number}" data-id="{picture.ls_id}">'
        f'<img alt="object {picture.ls_id}" src="data:image/png;base64,{data}">'
        f"<figcaption><b>{picture.number}</b> <output></output><br>{caption}</figcaption></figure>"
    )


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body { background: #141414; color: #ebebeb; font: 14px/1.3 sans-serif; margin: 1rem; }
header { position: sticky; top: 0; background: #141414; padding: .5rem 0; }
main { display: flex; flex-wrap: wrap; gap: 4px; }
figure { margin: 0; padding: 3px; border: 2px solid transparent; width: 150px; }
figure:focus { border-color: #6cf; outline: none; }
figure[data-grade=A] { background: #1d4d1d; } figure[data-grade=B] { background: #4d431d; }
figure[data-grade=X] { opacity: .45; }
img { width: 100%; image-rendering: pixelated; } figcaption { font-size: 11px; overflow-wrap: anywhere; }
input, button { font: inherit; }
</style></head><body>
<header><h1>{title}</h1>
<p>Arrow keys move; <kbd>A</kbd> sure, <kbd>B</kbd> likely, <kbd>X</kbd> no lens, <kbd>U</kbd> undo.
<label>Grader <input id="grader" value=""></label> <button id="save">Save grades as CSV</button>
<span id="count" role="status"></span></p></header>
<main>
{cells}
</main>
<script>
const all = [...document.querySelectorAll("figure")];
const key = "grades " + document.title;
const votes = JSON.parse(localStorage.getItem(key) || "{}");
function show() {
  for (const f of all) {
    const vote = votes[f.dataset.id];
    f.dataset.grade = vote ? vote.grade : "";
    f.querySelector("output").textContent = vote ? vote.grade : "";
  }
  document.getElementById("count").textContent = Object.keys(votes).length + " of " + all.length + " graded";
}
addEventListener("keydown", event => {
  const at = all.indexOf(document.activeElement), pressed = event.key.toUpperCase();
  const columns = all.filter(f => f.offsetTop === all[0].offsetTop).length;
  const step = {ARROWRIGHT: 1, ARROWLEFT: -1, ARROWDOWN: columns, ARROWUP: -columns}[pressed];
  if (step) { (all[at + step] || all[Math.max(at, 0)]).focus(); event.preventDefault(); return; }
  if (at < 0) return;
  const id = all[at].dataset.id;
  if ("ABX".includes(pressed) && pressed.length === 1) {
    votes[id] = {grade: pressed, time: new Date().toISOString()};
    (all[at + 1] || all[at]).focus();
  } else if (pressed === "U") delete votes[id]; else return;
  localStorage.setItem(key, JSON.stringify(votes));
  show();
});
document.getElementById("save").addEventListener("click", () => {
  const grader = document.getElementById("grader").value.replace(/[",\\n]/g, " ").trim() || "unknown";
  const rows = Object.entries(votes).map(([id, v]) => [id, v.grade, grader, v.time].join(","));
  const blob = new Blob(["ls_id,grade,grader,time\\n" + rows.join("\\n") + "\\n"], {type: "text/csv"});
  const link = Object.assign(document.createElement("a"), {href: URL.createObjectURL(blob), download: "grades.csv"});
  link.click();
});
show();
all[0]?.focus();
</script></body></html>
"""
