"""One small set of cutouts for all tests of this folder."""

import numpy as np
import pytest
from numpy.typing import NDArray

from lenscore.artifacts import Artifact, Store
from lenscore.survey.release import Release
from tests.support.cutouts import small_catalogue, small_cutouts, small_images

TINY = Release(name="demo-dr1", stored_px=24, network_px=16)
ROWS = 1100
INVALID = (3, 700, 1050)


@pytest.fixture(scope="session")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """1100 images of 24 px: one whole shard and a short one; three are not valid."""
    return small_cutouts(Store.open(str(tmp_path_factory.mktemp("store"))), ROWS, 1, TINY, invalid=INVALID)


@pytest.fixture(scope="session")
def truth() -> NDArray[np.float32]:
    """The images that went in; NaN and all in those that are not valid."""
    return small_images(small_catalogue(ROWS, 1, TINY), range(ROWS), 1, TINY, INVALID)
