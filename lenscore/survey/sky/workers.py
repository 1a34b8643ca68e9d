"""Rendering in several processes, one thread each; rows come back in order."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from itertools import repeat
from multiprocessing import get_context

from lenscore.errors import LensError
from lenscore.survey.sky.config import SkyConfig
from lenscore.survey.sky.render import Rendered, render_rows

BATCH_ROWS = 32


def render_unit(config: SkyConfig, number: int, rows: range, workers: int) -> Iterator[Rendered]:
    """Render rows of a block.

    Args:
        config: settings.
        number: the block.
        rows: rows within it.
        workers: processes; 1 renders in this one. The result is the same.

    Yields:
        Cutouts of consecutive rows, BATCH_ROWS or fewer at a time. All of a unit may wait in memory (280 MB for
        1024 rows).

    Raises:
        LensError: a worker died.
    """
    pieces = [range(start, min(start + BATCH_ROWS, rows.stop)) for start in range(rows.start, rows.stop, BATCH_ROWS)]
    if workers <= 1:
        yield from (render_rows(config, number, piece) for piece in pieces)
        return
    try:
        yield from _pool(workers).map(render_rows, repeat(config), repeat(number), pieces)
    except BrokenProcessPool as error:
        _pool.cache_clear()
        raise LensError("a rendering process died", "run again, with fewer workers if memory is short") from error


@lru_cache(maxsize=1)
def _pool(workers: int) -> ProcessPoolExecutor:
    """Processes that live as long as this one, for starting them costs as much as rendering 200 objects."""
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_start)


def _start() -> None:
    import galsim

    galsim.set_omp_threads(1)
