"""Exact windowed neighbours against faiss's flat search, both in memory, in one thread, alternating, in CPU seconds.

Over everything: faiss compares each object with all others, the windowed search with those within 0.5 mag; it has to be
as much faster as the windows are smaller. On one window (all magnitudes the same) it has to be no slower than faiss.
Both begin with the same float16 vectors in memory and turn them into float32 vectors of length one. Both results are
compared, object by object, in the same run. The queries are a run of consecutive objects by magnitude, a quarter of the
unit of work of the job. Keeping and sorting 999 neighbours costs the same for a small window as for a large one: a
survey's windows hold millions, these as many as the time allows.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import Figure

K = 999
QUERIES = 4096
WINDOW_MAG = 0.5
REPEATS = 2
# log10 of the number of galaxies a magnitude.
SLOPE = 0.35
BRIGHT, FAINT = 16.0, 21.0
# What timing noise can hide.
NOISE = 0.97


def main(size: float = 1.0) -> list[Figure]:
    """Run all cases.

    Args:
        size: of the run; 1 takes about two minutes.

    Returns:
        For each case how much faster than faiss, against the reach.
    """
    cases = (
        ("windows, 2048 components", int(65536 * size), 2048, False),
        ("windows, 128 components", int(393216 * size), 128, False),
        ("one window, 2048 components", int(32768 * size), 2048, True),
        ("one window, 128 components", int(131072 * size), 128, True),
    )
    return [_case(*case) for case in cases]


def _case(what: str, rows: int, dimension: int, one_window: bool) -> Figure:
    """Measure in a process of its own: the number of BLAS threads is read when numpy is loaded."""
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
    command = [sys.executable, "-m", "benchmarks.bench_neighbours", str(rows), str(dimension), str(int(one_window))]
    done = subprocess.run(command, env={**os.environ, **threads}, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    speedup, smaller = found["theirs_s"] / found["ours_s"], found["smaller"]
    pairs = rows * found["queries"]
    return Figure(
        what=f"exact neighbours, {what}",
        ours=pairs / found["ours_s"] / 1e6,
        theirs=pairs / found["theirs_s"] / 1e6,
        unit="million pairs of objects / s",
        against="faiss flat over everything",
        reach=f"{smaller:.2f}x: windows are that much smaller" if smaller > 1 else "1x: no slower",
        ratio=speedup,
        passed=speedup >= NOISE * smaller and found["wrong"] == 0,
        note=f"{int(found['queries'])} of {rows} objects, k = {K}, one thread; {int(found['wrong'])} differ",
    )


def measure(rows: int, dimension: int, one_window: bool) -> dict[str, float]:
    """One case: seconds of both, how much smaller the windows are, and how many objects differ."""
    from lenscore.similarity.blas import import_faiss
    from lenscore.similarity.windows import Sorted, search, windows

    faiss = import_faiss()
    faiss.omp_set_num_threads(1)
    vectors, mag = _objects(rows, dimension, one_window)
    data = Sorted(mag, np.arange(rows, dtype=np.uint32), vectors.astype(np.float16), rows)
    units = data.unit_vectors(0, rows)
    start = max(0, (rows - QUERIES) // 2)
    run = slice(start, min(start + QUERIES, rows))
    low, high = windows(data, run.start, run.stop, WINDOW_MAG)
    ours, theirs = [], []
    for _ in range(REPEATS):
        seconds, flat = _time(lambda: _flat(faiss, data, run))
        theirs.append(seconds)
        seconds, found = _time(lambda: search(data, run.start, run.stop, K, WINDOW_MAG))
        ours.append(seconds)
    smaller = rows / float((high - low).mean())
    wrong = _wrong(found[0], flat, units, np.arange(run.start, run.stop), low, high)
    return {"ours_s": min(ours), "theirs_s": min(theirs), "smaller": smaller, "wrong": wrong, "queries": len(low)}


def _objects(rows: int, dimension: int, one_window: bool) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((rows, dimension), dtype=np.float32)
    bright, faint = 10 ** (SLOPE * BRIGHT), 10 ** (SLOPE * FAINT)
    mag = np.log10(bright + rng.random(rows) * (faint - bright)) / SLOPE
    return vectors, np.sort(np.full(rows, 18.0) if one_window else mag).astype(np.float32)


def _flat(faiss: Any, data: Any, run: slice) -> Any:
    """What faiss finds for the run among all: similarities and positions, the object itself among them."""
    units = data.unit_vectors(0, data.ranked)
    return faiss.knn(units[run], units, min(K + 1, data.ranked), metric=faiss.METRIC_INNER_PRODUCT)


def _time(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.process_time()
    result = work()
    return time.process_time() - started, result


def _wrong(
    found: NDArray[np.float32],
    flat: tuple[NDArray[np.float32], NDArray[np.int64]],
    units: NDArray[np.float32],
    own: NDArray[np.int64],
    low: NDArray[np.int64],
    high: NDArray[np.int64],
) -> int:
    """Number of objects whose similarities are not those of faiss that lie in their window, to 1e-5.

    faiss's best of everything may hold fewer than K of the window: every tenth object is therefore compared with the
    products of its whole window.
    """
    wrong = 0
    for query, row in enumerate(own):
        names = flat[1][query]
        expected = flat[0][query][(names >= low[query]) & (names < high[query]) & (names != row)][:K]
        if query % 10 == 0:
            products = np.delete(units[low[query] : high[query]] @ units[row], row - low[query])
            expected = -np.sort(-products)[:K]
        wrong += not np.allclose(found[query][: len(expected)], expected, atol=1e-5, rtol=0)
    return wrong


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "1")))
