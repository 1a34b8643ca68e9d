"""`python -m benchmarks.pictures DEMO`: the README's pictures and docs/demo.md, from what `make demo` wrote."""

import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
PICTURES = {
    "candidates.png": ("gallery-ungraded-south-bright.png", 4 * 98),
    "similar.png": ("figure03-similar-demo-dr1.png", 3 * 102),
}
HEAD = "# The demo\n\nWritten by `make pictures`: what `make demo` printed, word for word. One seed.\n"


def main() -> None:
    """Copy the top rows of the demo's galleries into docs/pictures, and its report into docs/demo.md."""
    demo = Path(sys.argv[1] if len(sys.argv) > 1 else "demo")
    folder = ROOT / "docs" / "pictures"
    folder.mkdir(exist_ok=True)
    for name, (source, height) in PICTURES.items():
        with Image.open(demo / "catalogue" / source) as picture:
            shown = picture.crop((0, 0, picture.width, min(picture.height, height)))
            shown.save(folder / name, optimize=True)
    report = "\n" + (demo / "report.md").read_text()
    (ROOT / "docs" / "demo.md").write_text(HEAD + report.replace("\n# ", "\n## "))


if __name__ == "__main__":
    main()
