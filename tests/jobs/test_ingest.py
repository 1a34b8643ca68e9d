"""The ingest job, through the real runner, on every layout."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.ingest import IngestConfig, listing
from jobs.runner import make_task, plan_task, run_units
from jobs.simulate import SimulateConfig
from lenscore.artifacts import Artifact, Runtime, Store
from lenscore.cutouts import Cutouts
from lenscore.errors import InputError, NotFoundError
from lenscore.survey.bricks import brick_at, brick_centre
from lenscore.survey.settings import Selection, Transfer
from tests.support.artifacts import run_job
from tests.support.s3 import s3_server
from tests.survey.layouts import (
    BRICK_PX,
    RELEASE,
    ids,
    images_of,
    object_columns,
    sky_image,
    sweep_columns,
    write_brick,
    write_cutout,
    write_multimodal_parquet,
    write_original,
    write_sweep,
)
from tests.survey.web_server import serve


def _config(source: object, **options: Any) -> IngestConfig:
    return IngestConfig(**{"release": RELEASE, "source": str(source), "pixels": "float32", **options})


def _files(artifact: Artifact) -> dict[str, str]:
    """Hashes of all that an artifact holds."""
    return {path: info.sha256 for path, info in artifact.files.items()}


def _bricks(folder: Path) -> Path:
    """Three bricks with 60 objects, stars and faint ones among them."""
    rng = np.random.default_rng(1)
    bricks = [int(brick_at(10.125, 0.25 * row)[0]) for row in range(3)]
    for brick in bricks:
        write_brick(folder, brick, {band: sky_image(brick + ord(band), BRICK_PX) for band in "grz"})
    dec = np.array([brick_centre(bricks[row % 3])[1] for row in range(60)]) + rng.uniform(-0.08, 0.08, 60)
    columns = sweep_columns(10.125 + rng.uniform(-0.08, 0.08, 60), dec, np.linspace(17, 21, 60))
    columns["TYPE"] = np.array(["PSF" if row % 5 == 0 else "SER" for row in range(60)])
    write_sweep(folder, columns)
    return folder


def test_bricks_end_to_end(tmp_path: Path, file_store: Store) -> None:
    made = run_job(file_store, "ingest", _config(_bricks(tmp_path / "survey"), selection=Selection(fainter=5)))
    rows = made.table("catalogue").read()
    mags = np.linspace(17, 21, 60)
    bright = [row for row in range(60) if row % 5 and mags[row] < 20]
    next_ones = [row for row in range(60) if row % 5 and mags[row] >= 20][:5]
    assert sorted(rows["objid"].to_pylist()) == sorted(bright + next_ones)
    assert rows["brickid"].to_pylist() == sorted(rows["brickid"].to_pylist())
    images, valid = Cutouts.open(made).read(0, rows.num_rows)
    assert valid.all()
    assert images.shape == (len(bright) + 5, 3, 32, 32)
    sources = made.table("sources").read()
    assert set(sources["file"].to_pylist()) == {"0101p000", "0101p002", "0101p005"}
    metrics = made.manifest.metrics
    assert (metrics["rows_read"], metrics["rows_wrong_type"], metrics["rows_selected"], metrics["rows_invalid"]) == (
        60,
        12,
        len(bright) + 5,
        0,
    )
    found = made.read_json("source.json")
    np.testing.assert_allclose(found["faintest_mag"], mags[next_ones[-1]], atol=1e-5)
    assert found["cannot"] == []


def test_rows_whose_image_fails_keep_their_place(tmp_path: Path, file_store: Store) -> None:
    images = images_of(1100)
    images[7, 1, 2, 3] = np.nan
    images[1050, 2] = 0
    columns = object_columns(1100)
    columns["ra"][3] = 400.0
    write_original(tmp_path / "files", 0, columns, images)
    write_original(tmp_path / "files", 1100, object_columns(30, first=1090), images_of(30, seed=5))  # 10 of them again
    made = run_job(file_store, "ingest", _config(tmp_path / "files"))
    expected = np.delete(ids(columns), 3).tolist() + ids(object_columns(20, first=1100)).tolist()
    assert made.table("catalogue").read()["ls_id"].to_pylist() == expected
    cutouts = Cutouts.open(made)
    stored, valid = cutouts.read(0, cutouts.rows)
    assert np.flatnonzero(~valid).tolist() == [6, 1049]
    np.testing.assert_array_equal(stored[0], images[0])
    np.testing.assert_array_equal(stored[1098], images[1099])
    np.testing.assert_array_equal(stored[1099], images_of(30, seed=5)[10])
    assert not stored[6].any()
    rejected = made.table("rejected").read().to_pylist()
    assert len(rejected) == 13
    by_row = {item["row"]: item for item in rejected if item["row"] >= 0}
    assert by_row[6]["reason"] == "1 pixels are not finite, most in band r"
    assert by_row[1049]["reason"] == "band z is missing (every pixel is 0)"
    assert by_row[1049]["ls_id"] == expected[1049]
    assert sum("occurs again" in item["reason"] for item in rejected) == 10
    assert sum("ra = 400" in item["reason"] for item in rejected) == 1
    assert made.manifest.metrics["rejected"] == 13


def test_where_the_files_lie_does_not_matter_what_they_hold_does(tmp_path: Path, file_store: Store) -> None:
    for place in ("here", "there"):
        write_original(tmp_path / place, 0, object_columns(5), images_of(5))
    tasks = [make_task("ingest", _config(tmp_path / place), {}) for place in ("here", "there")]
    assert tasks[0].id == tasks[1].id
    assert listing(_config(tmp_path / "here")) == listing(_config(tmp_path / "there"))
    changed = images_of(5)
    changed[0, 0, 0, 0] += 1
    write_original(tmp_path / "other", 0, object_columns(5), changed)
    assert make_task("ingest", _config(tmp_path / "other"), {}).id != tasks[0].id
    assert make_task("ingest", _config(tmp_path / "here", first=3), {}).id != tasks[0].id


@pytest.mark.parametrize("order", ["again", "backwards"])
def test_units_in_any_order_and_again_give_the_same_bytes(tmp_path: Path, order: str) -> None:
    survey = tmp_path / "survey"
    write_original(survey, 0, object_columns(1500), images_of(1500))
    config = _config(survey, pixels="int16")
    plain = run_job(Store.open((tmp_path / "a").as_uri()), "ingest", config)
    store = Store.open((tmp_path / "b").as_uri())
    task = make_task("ingest", config, {})
    (tmp_path / "scratch").mkdir()
    runtime = Runtime(workers=1, threads=1, scratch=tmp_path / "scratch")
    assert plan_task(store, task, runtime) == 2
    run_units(store, task, runtime, [1])
    if order == "again":  # a unit that was stored but never recorded, as after a kill
        store.delete(f"{task.work}/units/000001.json")
    assert _files(run_job(store, "ingest", config)) == _files(plain)


def test_set_without_positions(tmp_path: Path, file_store: Store) -> None:
    write_multimodal_parquet(tmp_path / "set" / "train.parquet", images_of(6))
    made = run_job(file_store, "ingest", _config(tmp_path / "set"))
    assert made.manifest.metrics["positions"] is False
    found = made.read_json("source.json")
    assert any("no crossmatch" in text for text in found["cannot"])
    assert {"ra", "dec", "type", "maskbits"} <= set(found["absent_columns"])
    np.testing.assert_array_equal(Cutouts.open(made).read(0, 6)[0], images_of(6))


def test_hub_in_one_command(tmp_path: Path, file_store: Store) -> None:
    write_multimodal_parquet(tmp_path / "hub" / "train.parquet", images_of(6), positions=True)
    with serve(tmp_path / "hub") as (address, _):
        transfer = Transfer(hub=address, requests_per_second=1000, cache=str(tmp_path / "cache"))
        made = run_job(file_store, "ingest", _config("hf://datasets/Some/set", transfer=transfer, first=4))
    assert made.table("catalogue").num_rows == 4
    assert made.manifest.metrics["positions"] is True
    np.testing.assert_array_equal(Cutouts.open(made).read(0, 4)[0], images_of(6)[:4])


def test_survey_on_the_web_equals_the_same_folder(tmp_path: Path, file_store: Store) -> None:
    survey = _bricks(tmp_path / "survey")
    with serve(survey) as (address, faults):
        transfer = Transfer(requests_per_second=1000, first_wait_s=0, cache=str(tmp_path / "cache"))
        made = run_job(file_store, "ingest", _config(address, transfer=transfer))
    folder = run_job(file_store, "ingest", _config(survey))
    np.testing.assert_array_equal(Cutouts.open(made).read(0, 20)[0], Cutouts.open(folder).read(0, 20)[0])
    assert made.table("catalogue").read().to_pandas().equals(folder.table("catalogue").read().to_pandas())
    assert (
        max(count for name, count in faults.seen.items() if name.startswith("GET /coadd") and name.endswith(".fits"))
        == 1
    )


def test_real_cutout_and_a_truncated_one(tmp_path: Path, file_store: Store, real_data: Path) -> None:
    folder = tmp_path / "cutouts"
    folder.mkdir()
    for name in ("cutout_59.1067_-30.4848.fits", "example_incomplete.fits"):
        (folder / name).write_bytes((real_data / name).read_bytes())
    made = run_job(file_store, "ingest", IngestConfig(release="dr9-south", source=str(folder)))
    row = made.table("catalogue").read().to_pylist()[0]
    np.testing.assert_allclose([row["ra"], row["dec"]], [59.1067, -30.4848], atol=1e-4)
    images, valid = Cutouts.open(made).read(0, 1)
    assert valid.all()
    assert images.shape == (1, 3, 152, 152)
    rejected = made.table("rejected").read().to_pylist()
    assert [item["source"] for item in rejected] == ["example_incomplete.fits"]
    assert "is cut off: 1389044 of 2160192 bytes" in rejected[0]["reason"]
    # one file alone
    single = run_job(
        file_store, "ingest", IngestConfig(release="dr9-south", source=str(folder / "cutout_59.1067_-30.4848.fits"))
    )
    np.testing.assert_array_equal(Cutouts.open(single).read(0, 1)[0], images)


def test_simulated_sky(file_store: Store) -> None:
    sky = run_job(file_store, "simulate", SimulateConfig(objects=40, pixels="float32"))
    made = run_job(file_store, "ingest", IngestConfig(pixels="float32"), {"sky": [sky]})
    objects = sky.table("objects").read()
    wanted = [
        row
        for row, item in enumerate(objects.select(["type", "mag_z"]).to_pylist())
        if item["type"] != "PSF" and item["mag_z"] < 20
    ]
    rows = made.table("catalogue").read()
    assert rows["ls_id"].to_pylist() == objects["ls_id"].take(wanted).to_pylist()
    source, valid = Cutouts.open(sky).take(np.array(wanted))
    stored, kept = Cutouts.open(made).read(0, len(wanted))
    np.testing.assert_array_equal(valid, kept)
    np.testing.assert_array_equal(stored, np.where(valid[:, None, None, None], source, 0))
    assert made.manifest.inputs["sky"][0].id == sky.id
    with pytest.raises(InputError, match="release = 'dr9-south', the sky is 'demo-dr1'"):
        run_job(file_store, "ingest", IngestConfig(release="dr9-south"), {"sky": [sky]})


def test_from_an_s3_prefix(tmp_path: Path, file_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    survey = _bricks(tmp_path / "survey")
    with s3_server("versitygw", tmp_path) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        bucket = Store.open("s3://lenscore/releases")
        for path in survey.rglob("*.fits"):
            bucket.put(f"dr9/{path.relative_to(survey)}", path)
        made = run_job(
            file_store,
            "ingest",
            _config("s3://lenscore/releases/dr9", transfer=Transfer(cache=str(tmp_path / "cache"))),
        )
        with pytest.raises(InputError, match="no known layout of images"):
            run_job(file_store, "ingest", _config("s3://lenscore/releases/nothing"))
    folder = run_job(file_store, "ingest", _config(survey))
    np.testing.assert_array_equal(Cutouts.open(made).read(0, 20)[0], Cutouts.open(folder).read(0, 20)[0])
    assert made.id == folder.id  # the same files, wherever they lie


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"source": "/nowhere/at/all"}, NotFoundError, "source folder /nowhere/at/all does not exist"),
        ({"release": "dr99"}, NotFoundError, "unknown release 'dr99'; use one of dr9-south"),
        ({"release": ""}, NotFoundError, "unknown release ''"),
        ({"source": ""}, InputError, "ingest got neither a source nor a sky"),
        (
            {"selection": Selection()},
            InputError,
            "no object passes the selection: 2 read, 0 of an excluded type, 2 too faint",
        ),
    ],
)
def test_bad_settings_give_one_line(
    tmp_path: Path, file_store: Store, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    columns = object_columns(2)
    columns["flux"] = columns["flux"] * 1e-4
    write_original(tmp_path / "files", 0, columns, images_of(2))
    with pytest.raises(error, match=message) as caught:
        run_job(file_store, "ingest", _config(**{"source": tmp_path / "files", **options}))
    assert "\n" not in str(caught.value)


def test_empty_and_unreadable_sources(tmp_path: Path, file_store: Store) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no known layout of images"):
        run_job(file_store, "ingest", _config(tmp_path / "empty"))
    write_original(tmp_path / "no rows", 0, object_columns(0), images_of(0))
    with pytest.raises(InputError, match="no object passes the selection: 0 read"):
        run_job(file_store, "ingest", _config(tmp_path / "no rows"))
    broken = write_original(tmp_path / "broken", 0, object_columns(50), images_of(50))
    broken.write_bytes(broken.read_bytes()[:5000])
    with pytest.raises(InputError, match="cannot read south/images_npix152"):
        run_job(file_store, "ingest", _config(tmp_path / "broken"))


def test_cutouts_with_a_table_through_the_job(tmp_path: Path, file_store: Store) -> None:
    images = images_of(3)
    for number, image in enumerate(images):
        write_cutout(tmp_path / "mine" / f"g{number}.fits", image, 20 + number, 5.0)
    (tmp_path / "mine" / "objects.csv").write_text(
        "file,ra,dec\n" + "".join(f"g{n}.fits,{20 + n},5\n" for n in range(3))
    )
    made = run_job(file_store, "ingest", _config(tmp_path / "mine"))
    np.testing.assert_array_equal(Cutouts.open(made).read(0, 3)[0], images)
    digest = hashlib.sha256((tmp_path / "mine" / "g0.fits").read_bytes()).hexdigest()
    assert ("g0.fits", (tmp_path / "mine" / "g0.fits").stat().st_size, f"sha256:{digest}") in listing(
        _config(tmp_path / "mine")
    )
