"""The lens_list job, on files and skies."""

import numpy as np
import pyarrow as pa
import pytest

from jobs.lens_list import LensFile, LensListConfig, listing
from jobs.runner import make_task
from lenscore.artifacts.manifest import canonical_json
from lenscore.errors import InputError, NotFoundError
from tests.support.artifacts import run_job
from tests.support.candidates import put_artifact

ARCSEC = 1 / 3600


def lists(folder):
    (folder / "one.csv").write_text(
        "name,ra,dec,grade,ref,zlens\nA1,10,0,A,paper 1,0.5\nA2,20,0,B,paper 1,-\nA3,500,0,B,paper 1,-\n"
    )
    (folder / "two.tsv").write_text(f"id\tRAJ2000\tDEJ2000\tquality\nB1\t10\t{2 * ARCSEC}\tconfident\nB2\t30\t0\t\n")
    return LensFile(name="one", path=str(folder / "one.csv")), LensFile(name="two", path=str(folder / "two.tsv"))


def test_two_files_and_a_sky(file_store, tmp_path):
    one, two = lists(tmp_path)
    published = pa.table(
        {
            "name": ["S1"],
            "ra": [30.0],
            "dec": [ARCSEC],
            "grade": ["C"],
            "reference": ["sim"],
            "z_lens": np.float32([0.7]),
        }
    )
    sky = put_artifact(file_store, "sky", tables={"lenses": published})
    made = run_job(file_store, "lens_list", LensListConfig(files=(one, two)), {"sky": [sky]})
    rows = made.table("lenses").read().to_pylist()
    assert [row["names"] for row in rows] == [["A1", "B1"], ["A2"], ["B2", "S1"]]
    assert [row["grades"] for row in rows] == [["A", "confident"], ["B"], ["C"]]
    assert [row["lists"] for row in rows] == [["one", "two"], ["one"], ["published", "two"]]
    assert rows[0]["z_lens"] == pytest.approx(0.5)
    assert rows[2]["z_lens"] == pytest.approx(0.7)
    assert made.table("rejected").read()["source"].to_pylist() == ["one"]
    assert made.manifest.metrics["entries"] == 5


def test_order_of_lists_does_not_matter(file_store, tmp_path):
    one, two = lists(tmp_path)
    made = [run_job(file_store, "lens_list", LensListConfig(files=files)) for files in ((one, two), (two, one))]
    first, second = (str(item.table("lenses").read().to_pylist()) for item in made)
    assert first == second


def test_identity_is_the_content_and_not_the_place(tmp_path):
    one, _ = lists(tmp_path)
    moved = tmp_path / "elsewhere.csv"
    moved.write_bytes((tmp_path / "one.csv").read_bytes())
    first, second = LensListConfig(files=(one,)), LensListConfig(files=(LensFile(name="one", path=str(moved)),))
    assert make_task("lens_list", first, {}).id == make_task("lens_list", second, {}).id
    moved.write_bytes(moved.read_bytes() + b"A4,40,0,B,paper 1,-\n")
    assert make_task("lens_list", first, {}).id != make_task("lens_list", second, {}).id
    canonical_json([list(row) for row in listing(first)])


def test_faults(file_store, tmp_path):
    with pytest.raises(InputError, match="no usable row"):
        run_job(file_store, "lens_list", LensListConfig())
    missing = LensListConfig(files=(LensFile(name="x", path=str(tmp_path / "missing.csv")),))
    with pytest.raises(NotFoundError, match=r"missing\.csv"):
        run_job(file_store, "lens_list", missing)
    odd = tmp_path / "odd.csv"
    odd.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="a, b"):
        run_job(file_store, "lens_list", LensListConfig(files=(LensFile(name="x", path=str(odd)),)))
