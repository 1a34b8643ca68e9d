"""Fixtures for all tests."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

from lenscore.artifacts import Store  # noqa: E402

settings.register_profile("lenscore", deadline=None)  # a busy machine must not fail a test
settings.load_profile("lenscore")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def file_store(tmp_path: Path) -> Store:
    """An empty store in a folder."""
    return Store.open((tmp_path / "store").as_uri())


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real survey files; where it is missing, tests on it are skipped, but never in CI."""
    folder = Path(os.environ.get("LENSCORE_REAL_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "training_lenses.tsv").is_file():
        message = f"no real survey files in {folder}: set LENSCORE_REAL_DATA to a folder that has training_lenses.tsv"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return folder
