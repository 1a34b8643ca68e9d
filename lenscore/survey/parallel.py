"""Runs one function over many parts of a table, in Dask."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from lenscore.errors import StoreError

Part = TypeVar("Part")
Result = TypeVar("Result")

PARTS_AT_ONCE = 8
"""Parts handed over together, for each thread: enough to keep all busy, few enough to show progress."""


def map_parts(
    function: Callable[..., Result],
    parts: Sequence[Part],
    shared: Any,
    *,
    scheduler: str | None = None,
    threads: int = 1,
    done: Callable[[int, int], None] | None = None,
) -> list[Result]:
    """Apply a function to each part.

    Args:
        function: called as function(part, shared).
        parts: small descriptions of the work, such as ranges of rows.
        shared: what all calls need; sent once to each worker.
        scheduler: address of a Dask scheduler; threads of this process where None.
        threads: number of threads, where there is no scheduler.
        done: called with (parts done, parts) now and then.

    Returns:
        The results, in the order of the parts.
    """
    import dask

    results: list[Result] = []
    with _workers(scheduler, threads) as (options, width):
        common = dask.delayed(shared, pure=False, traverse=False)
        step = PARTS_AT_ONCE * width
        for first in range(0, len(parts), step):
            tasks = [dask.delayed(function, pure=False)(part, common) for part in parts[first : first + step]]
            results.extend(dask.compute(*tasks, **options))
            if done:
                done(len(results), len(parts))
    return results


@contextmanager
def _workers(address: str | None, threads: int) -> Iterator[tuple[dict[str, Any], int]]:
    """Options for dask.compute, and how many tasks run at a time."""
    if address is None:
        yield {"scheduler": "threads", "num_workers": max(threads, 1)}, max(threads, 1)
        return
    from distributed import Client

    try:
        client = Client(address, set_as_default=False, timeout="30s")
    except (OSError, ValueError) as error:
        raise StoreError(f"no Dask scheduler answers at {address}", "start it, or leave the address out") from error
    with client:
        yield {"scheduler": client}, max(sum(client.nthreads().values()), 1)
