"""The choice of faiss's matrix kernel."""

import os
import subprocess
import sys

import pytest

from lenscore.similarity.blas import VARIABLE, best_kernel, import_faiss


@pytest.mark.parametrize(
    ("flags", "kernel"),
    [
        ({"avx512f", "avx2"}, "SkylakeX"),
        ({"avx2", "sse4_2"}, "Haswell"),
        ({"asimd"}, ""),
        (set(), ""),
    ],
)
def test_best_kernel(flags: set[str], kernel: str) -> None:
    assert best_kernel(frozenset(flags)) == kernel


def test_environment_is_left_as_it_was() -> None:
    before = os.environ.get(VARIABLE)
    assert import_faiss() is import_faiss()
    assert os.environ.get(VARIABLE) == before


def test_library_imports_without_faiss_and_torch() -> None:
    """Only what needs them loads them."""
    code = "import sys, lenscore.similarity; print('faiss' in sys.modules, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
