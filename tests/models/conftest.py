"""A small sample and a network trained on it for a moment."""

import pytest

from jobs.pretrain import PretrainConfig
from lenscore.artifacts import Artifact, Store
from lenscore.models.config import EncoderConfig
from lenscore.models.settings import MocoConfig
from tests.support.artifacts import run_job
from tests.support.cutouts import small_cutouts

TINY = EncoderConfig(arch="narrow18", input_px=16, transform="rgb")
MOCO = MocoConfig(batch=16, groups=2, queue=32, projection=16, key_momentum=0.9, learning_rate=0.3, min_spread=0)


@pytest.fixture(scope="session")
def session_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store.open(str(tmp_path_factory.mktemp("models")))


@pytest.fixture(scope="session")
def small(session_store: Store) -> Artifact:
    return small_cutouts(session_store, rows=80, seed=3)


@pytest.fixture(scope="session")
def config() -> PretrainConfig:
    return PretrainConfig(encoder=TINY, moco=MOCO, steps=12, checkpoint_seconds=0.01)


@pytest.fixture(scope="session")
def pretrained(session_store: Store, small: Artifact, config: PretrainConfig) -> Artifact:
    return run_job(session_store, "pretrain", config, {"cutouts": [small]})
