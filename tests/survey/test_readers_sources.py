"""Files from folders, web servers and the hub: politely, continued after a break, checked."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from lenscore.errors import DamagedError, InputError, NotFoundError, StoreError
from lenscore.survey.readers.cache import Cache
from lenscore.survey.readers.hdf5 import Hdf5Reader
from lenscore.survey.readers.layouts import find_layout, open_files
from lenscore.survey.readers.sources import (
    FolderSource,
    StoreSource,
    of_region,
    open_source,
    parse_checksums,
    sampled_sha256,
)
from lenscore.survey.readers.web import WebSource
from lenscore.survey.settings import Transfer
from tests.survey.layouts import RELEASE, images_of, object_columns, write_multimodal_parquet, write_original
from tests.survey.test_readers import read_all
from tests.survey.web_server import serve

DATA = bytes(np.random.default_rng(0).integers(0, 256, 300_000, dtype=np.uint8))


@pytest.fixture
def transfer(tmp_path: Path) -> Transfer:
    """Quick, with a cache of its own."""
    return Transfer(requests_per_second=1000, first_wait_s=0.0, retries=4, cache=str(tmp_path / "cache"))


def _site(tmp_path: Path, checksum: str | None = None) -> Path:
    site = tmp_path / "site"
    (site / "sweep").mkdir(parents=True)
    (site / "sweep" / "a file.fits").write_bytes(DATA)
    if checksum is not None:
        (site / "sweep" / "survey_sweep.sha256sum").write_text(f"{checksum} *sweep/a file.fits\n")
    return site


def test_web_files_are_listed_fetched_once_and_kept(tmp_path: Path, transfer: Transfer) -> None:
    site = _site(tmp_path, hashlib.sha256(DATA).hexdigest())
    with serve(site) as (address, faults):
        source = open_source(address, transfer)
        assert source.files() == ["sweep/a file.fits", "sweep/survey_sweep.sha256sum"]
        assert source.local("sweep/a file.fits").read_bytes() == DATA
        assert source.stat("sweep/a file.fits").checksum == f"sha256:{hashlib.sha256(DATA).hexdigest()}"
        again = open_source(address, transfer)
        assert again.local("sweep/a file.fits").read_bytes() == DATA
        assert faults.seen["GET /sweep/a%20file.fits"] == 1
        with pytest.raises(NotFoundError, match="HTTP 404"):
            source.local("sweep/none.fits")
        assert not source.exists("none")


@pytest.mark.parametrize("ranges", [True, False])
def test_cut_connection_is_continued(tmp_path: Path, transfer: Transfer, ranges: bool) -> None:
    with serve(_site(tmp_path, hashlib.sha256(DATA).hexdigest())) as (address, faults):
        faults.cut["/sweep/a%20file.fits"], faults.ranges = [100_000, 50_000, 0], ranges
        assert open_source(address, transfer).local("sweep/a file.fits").read_bytes() == DATA
        assert faults.seen["GET /sweep/a%20file.fits"] == 4
        if ranges:  # nothing is fetched twice
            starts = [
                int(text.removeprefix("bytes=").rstrip("-")) for _, text in faults.range_headers if text.endswith("-")
            ]
            assert starts == [100_000, 150_000, 150_000]


def test_part_of_a_killed_process_is_continued(tmp_path: Path, transfer: Transfer) -> None:
    with serve(_site(tmp_path)) as (address, faults):
        source = open_source(address, transfer)
        whole = source.local("sweep/a file.fits")
        part = whole.with_name(f"{whole.name}.part")
        whole.rename(part)
        part.write_bytes(DATA[:123_456])
        assert source.local("sweep/a file.fits").read_bytes() == DATA
        assert faults.range_headers == [("/sweep/a%20file.fits", "bytes=123456-")]


def test_wrong_checksum_is_fetched_again_then_said(tmp_path: Path, transfer: Transfer) -> None:
    with serve(_site(tmp_path, "0" * 64)) as (address, faults):
        source = open_source(address, transfer)
        with pytest.raises(DamagedError, match=r"sweep/a file\.fits has sha256 .* published is 0000"):
            source.local("sweep/a file.fits")
        assert faults.seen["GET /sweep/a%20file.fits"] == 2
        assert not list((tmp_path / "cache").rglob("*.fits"))
    with pytest.raises(DamagedError, match="published is 0000"):
        FolderSource(tmp_path / "site").local("sweep/a file.fits")


def test_busy_server_is_asked_again_and_a_dead_one_is_said(tmp_path: Path, transfer: Transfer) -> None:
    with serve(_site(tmp_path)) as (address, faults):
        faults.status["/sweep/a%20file.fits"] = [503, 429, 500]
        assert open_source(address, transfer).local("sweep/a file.fits").read_bytes() == DATA
        faults.status["/sweep/secret"] = [403]
        with pytest.raises(StoreError, match=r"refuses \(HTTP 403\)"):
            open_source(address, transfer).local("sweep/secret")
        faults.status["/sweep/busy"] = [503] * 10
        with pytest.raises(StoreError, match="failed 5 times: HTTP 503; run again later"):
            open_source(address, transfer).local("sweep/busy")
    with pytest.raises(StoreError, match="failed 5 times"):
        open_source(address, transfer).local("sweep/a file.fits")


def test_requests_keep_their_distance(tmp_path: Path, transfer: Transfer) -> None:
    with serve(_site(tmp_path)) as (address, faults):
        source = open_source(address, transfer.model_copy(update={"requests_per_second": 20.0}))
        for number in range(5):
            source.exists(f"file {number}")
        gaps = np.diff(faults.times)
        assert gaps.min() > 0.03  # 0.05 between sending; arrival may jitter


def test_ranges_of_a_large_file(tmp_path: Path, transfer: Transfer) -> None:
    write_original(tmp_path / "site", 0, object_columns(600), images_of(600))
    with serve(tmp_path / "site") as (address, _):
        reader = Hdf5Reader(RELEASE, open_source(address, transfer))
        rows, _, _ = read_all(reader)
        found = reader.images(rows.slice(100, 5))
        np.testing.assert_array_equal(found.images_bchw, images_of(600)[100:105])
        assert not list((tmp_path / "cache").rglob("*.h5"))  # never fetched whole


def test_hub_by_name(tmp_path: Path, transfer: Transfer) -> None:
    images = images_of(10)
    write_multimodal_parquet(tmp_path / "hub" / "stein" / "train-00000-of-00002.parquet", images[:6])
    write_multimodal_parquet(tmp_path / "hub" / "stein" / "train-00001-of-00002.parquet", images[6:], first=6)
    with serve(tmp_path / "hub") as (address, faults):
        settings = transfer.model_copy(update={"hub": address})
        source = open_source("hf://datasets/MultimodalUniverse/ssl_legacysurvey", settings)
        assert find_layout(source) == "multimodal"
        reader = open_files("auto", RELEASE, source)
        rows, _, found = read_all(reader)
        np.testing.assert_array_equal(found.images_bchw, images)
        assert rows["ls_id"].to_pylist() == list(range(10))
        assert [item.checksum.partition(":")[0] for item in reader.listing()] == ["git", "git"]
        assert all("/resolve/main/" in name for name in faults.seen if "parquet" in name)
        some = open_source("hf://MultimodalUniverse/ssl_legacysurvey@v1/stein", settings)
        assert some.address.endswith("/resolve/v1/stein")
        with pytest.raises(InputError, match="names no data set"):
            open_source("hf://datasets/MultimodalUniverse", settings)


def test_cache_drops_the_longest_unused(tmp_path: Path) -> None:
    cache = Cache(tmp_path, 2500)
    for number in range(4):
        path = cache.fetch(f"folder/{number}", lambda start: iter([b"x" * 1000]), lambda: 1000)
        assert path.stat().st_size == 1000
    assert sorted(file.name for file in tmp_path.rglob("*") if file.suffix != ".lock" and file.is_file()) == ["2", "3"]
    with pytest.raises(StoreError, match="short ended after 3 of 1000 bytes"):
        cache.fetch("folder/short", lambda start: iter([b"abc"]), lambda: 1000)


def test_checksums_and_regions(tmp_path: Path) -> None:
    text = f"{'a' * 64}  coadd/000/x.fits\n{'B' * 64} *y.fits\nnot a line\n"
    assert parse_checksums(text) == {"x.fits": "a" * 64, "y.fits": "b" * 64}
    assert of_region(["north/a", "south/a", "x/b"], "south") == ["south/a", "x/b"]
    large = bytes(5 << 20)
    assert sampled_sha256(len(large), lambda start, length: large[start : start + length]).startswith("sampled:")
    changed = bytearray(large)
    changed[-1] = 1
    reads = [
        sampled_sha256(len(data), lambda start, length, data=data: bytes(data[start : start + length]))
        for data in (large, changed)
    ]
    assert reads[0] != reads[1]
    assert sampled_sha256(0, lambda start, length: b"") == "empty"


def test_store_source_of_a_prefix(tmp_path: Path, transfer: Transfer) -> None:
    with pytest.raises(InputError, match="names a bucket only"):
        open_source("s3://bucket", transfer)
    # the code for S3 runs on any store: here on a folder
    write_original(tmp_path / "bucket" / "release", 0, object_columns(5), images_of(5))
    source = StoreSource.__new__(StoreSource)
    StoreSource.__init__(source, f"file://localhost{tmp_path}/bucket/release", Cache(tmp_path / "cache", 10**9))
    assert source.files() == ["south/images_npix152_000000000_000000005.h5"]
    assert source.exists(source.files()[0])
    assert not source.exists("south/none.h5")
    np.testing.assert_array_equal(read_all(Hdf5Reader(RELEASE, source))[2].images_bchw, images_of(5))
    assert (
        source.local(source.files()[0]).read_bytes()
        == (tmp_path / "bucket" / "release" / source.files()[0]).read_bytes()
    )
    assert source.stat(source.files()[0]).checksum.startswith("sha256:")


def test_index_pages_do_not_lead_elsewhere(tmp_path: Path, transfer: Transfer) -> None:
    site = tmp_path / "site"
    (site / "data").mkdir(parents=True)
    (site / "data" / "index.html").write_text(
        '<a href="../">up</a> <a href="?C=N;O=D">sort</a> <a href="http://else.where/x.fits">x</a> <a href=\'a.fits\'>a</a>'
    )
    (site / "data" / "a.fits").write_bytes(b"1")
    with serve(site) as (address, _):
        source = open_source(f"{address}/data", transfer)
        assert isinstance(source, WebSource)
        assert source.files() == ["a.fits"]
