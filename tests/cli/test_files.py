"""One-step commands on a person's own files."""

import csv
from pathlib import Path

import pytest

from jobs.embed import EmbedConfig
from jobs.fit_pca import FitPcaConfig
from jobs.index import IndexConfig
from lenscore.artifacts import Artifact, Store, find_name, take_name
from lenscore.errors import InputError, NotFoundError
from lenscore.models.config import EncoderConfig
from tests.cli.runner import failure, run
from tests.support.artifacts import run_job
from tests.support.cutouts import small_cutouts

ROWS = 96


def test_crossmatch_of_the_real_lists(real_data: Path, tmp_path: Path) -> None:
    words = (
        "crossmatch",
        real_data / "training_lenses.tsv",
        real_data / "lenscat.csv",
        "--out",
        tmp_path / "pairs.csv",
    )
    assert run(*words, "--json").json == {
        "pairs": 1668, "objects_with_lens": 1615, "nearest": 1611, "near_only": 4,
    }  # fmt: skip
    with (tmp_path / "pairs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 1668
    assert len({row["object_row"] for row in rows}) == 1615
    assert max(float(row["separation_arcsec"]) for row in rows) <= 25.15


def test_crossmatch_of_small_tables(tmp_path: Path) -> None:
    (tmp_path / "objects.csv").write_text("name,x,y\na,10,0\nb,359.9999,-5\nc,400,0\n")
    (tmp_path / "lenses.csv").write_text("ra,dec\n10.001,0\n0.0001,-5\n")
    words = ("crossmatch", tmp_path / "objects.csv", tmp_path / "lenses.csv", "--out", tmp_path / "pairs.parquet")
    error = failure(*words)
    assert isinstance(error, InputError)
    assert "x, y" in str(error)
    ended = run(*words, "--objects-ra", "x", "--objects-dec", "y", "--radius-arcsec", "5", "--json")
    assert ended.json["pairs"] == 2
    assert (tmp_path / "pairs.parquet").is_file()
    assert "ra = 400" in (tmp_path / "pairs.parquet.rejected.csv").read_text()
    assert run(*words, "--radius-arcsec", "-1").code == 2


def test_catalogue_summary(tmp_path: Path) -> None:
    lines = ["ra,dec,mag_z,z_phot,type,region,grade"]
    lines += ["10,0,18.5,0.4,DEV,south,A", "20,5,20.5,0.7,SER,south,B", "30,50,19.0,0.5,DEV,north,A"]
    (tmp_path / "mine.csv").write_text("\n".join(lines) + "\n")
    rows = run("catalogue", "summary", tmp_path / "mine.csv", "--json").json
    counts = {(row["grade"], row["survey"]): row["candidates"] for row in rows}
    assert counts[("A", "All")] == 2
    assert counts[("B", "South mag_z > 20")] == 1
    assert counts[("Total", "")] == 3
    run("catalogue", "summary", tmp_path / "mine.csv", "--out", tmp_path / "figures")
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"sky.png", "figure10-distributions.png"}


def test_catalogue_summary_names_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("ra,dec\n1,2\n")
    error = failure("catalogue", "summary", tmp_path / "mine.csv")
    assert "mag_z" in error.what
    assert "ra, dec" in error.remedy


def test_ingest_of_a_real_cutout(real_data: Path, tmp_path: Path) -> None:
    source = tmp_path / "mine"
    source.mkdir()
    for name in ("cutout_59.1067_-30.4848.fits", "example_incomplete.fits"):
        (source / name).write_bytes((real_data / name).read_bytes())
    words = ("ingest", source, "--release", "dr9-south", "--store", tmp_path / "store", "--workers", 1, "--threads", 1)
    made = run(*words, "--json").json
    assert (made["release"], made["version"]) == ("dr9-south", "v1")
    assert (made["rows"], made["rejected"]) == (1, 1)
    store = Store.open(str(tmp_path / "store"))
    assert str(find_name(store, "cutouts", "dr9-south").reference) == made["artifact"]
    text = run(*words).out
    assert "1 rows set aside" in text
    assert "1 x " in text


def test_ingest_of_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    error = failure("ingest", tmp_path / "empty", "--release", "dr9-south", "--store", tmp_path / "store")
    assert "empty" in error.what


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A release with embeddings and an index."""
    store = Store.open(str(tmp_path_factory.mktemp("store")))
    cutouts = small_cutouts(store, ROWS)
    model = run_job(store, "fit_pca", FitPcaConfig(encoder=EncoderConfig(input_px=32)), {"cutouts": [cutouts]})
    embeddings = run_job(store, "embed", EmbedConfig(), {"cutouts": [cutouts], "model": [model]})
    config = IndexConfig(coding="flat", lists=2, effort=2, queries=3, recall_k=(5,))
    index = run_job(store, "index", config, {"embeddings": [embeddings], "cutouts": [cutouts]})
    for artifact in (cutouts, embeddings, index):
        take_name(store, "demo-dr1", artifact.reference)
    return store


def _objects(store: Store) -> list[dict]:
    name = find_name(store, "cutouts", "demo-dr1")
    return Artifact.open(store, name.kind, name.id).table("catalogue").read(["ls_id", "ra", "dec"]).to_pylist()


def test_query_by_id_and_position(searched: Store, tmp_path: Path) -> None:
    first, second, *_ = _objects(searched)
    words = ("query", "demo-dr1", "-k", 5, "--store", searched.url)
    rows = run(*words, "--id", first["ls_id"], "--json").json
    assert len(rows) == 5
    assert all(isinstance(row["ls_id"], str) and int(row["ls_id"]) > 2**53 for row in rows)
    assert str(first["ls_id"]) not in {row["ls_id"] for row in rows}
    here = run(*words, "--position", first["ra"], first["dec"], "--json").json
    assert [row["ls_id"] for row in here] == [row["ls_id"] for row in rows]
    both = run(*words, "--id", first["ls_id"], "--id", second["ls_id"], "--out", tmp_path / "found.csv", "--json").json
    assert not {str(first["ls_id"]), str(second["ls_id"])} & {row["ls_id"] for row in both}
    with (tmp_path / "found.csv").open() as file:
        assert [row["ls_id"] for row in csv.DictReader(file)] == [row["ls_id"] for row in both]


def test_query_by_a_cutout_from_outside(searched: Store, real_data: Path) -> None:
    image = real_data / "cutout_59.1067_-30.4848.fits"
    ended = run("query", "demo-dr1", "--image", image, "-k", 3, "--store", searched.url, "--json")
    assert len(ended.json) == 3
    assert image.name in ended.err


def test_query_of_what_is_not_there(searched: Store, real_data: Path) -> None:
    words = ("query", "demo-dr1", "--store", searched.url)
    assert isinstance(failure(*words, "--id", 17), NotFoundError)
    assert isinstance(failure(*words, "--position", 200.0, 80.0), NotFoundError)
    assert isinstance(failure(*words, "--position", 200.0, 95.0), InputError)
    assert "example_incomplete.fits" in failure(*words, "--image", real_data / "example_incomplete.fits").what
