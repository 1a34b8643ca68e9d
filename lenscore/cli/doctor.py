"""lenscore doctor: checks what the program needs, and says what to do."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import typer

from lenscore.cli.output import DEFAULT_STORE, JsonOption, StoreOption, open_store, print_rows

PACKAGES = (
    "torch",
    "torchvision",
    "zarr",
    "obstore",
    "s3fs",
    "dask",
    "prefect",
    "numpy",
    "scipy",
    "astropy",
    "pyarrow",
)


@dataclass(frozen=True)
class Finding:
    """One check: what, whether it is well, and what was found or is to be done."""

    what: str
    well: bool
    says: str


def doctor(store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """Check versions, store and GPU; exit code 1 if something needs doing.

    Example: lenscore doctor --store s3://bucket/prefix
    """
    findings = [
        *_versions(),
        _guarded("store", lambda: _store(store)),
        _guarded("gpu", _gpu),
        _guarded("faiss", _faiss),
    ]
    print_rows(
        ("check", "well", "says"), ((item.what, "yes" if item.well else "NO", item.says) for item in findings), as_json
    )
    if not all(item.well for item in findings):
        raise typer.Exit(1)


def _versions() -> Iterator[Finding]:
    found = sys.version.split()[0]
    yield Finding("python", sys.version_info >= (3, 11), found)
    for name in PACKAGES:
        try:
            yield Finding(name, True, version(name))
        except PackageNotFoundError:
            yield Finding(name, False, "missing: run `make .venv/.installed`, or install the package lenscore")


def _store(address: str) -> Finding:
    from lenscore.artifacts.names import all_names

    opened = open_store(address)
    opened.put("work/doctor/probe", b"lenscore")
    first = opened.put("work/doctor/only", b"1", create_only=True)
    second = opened.put("work/doctor/only", b"2", create_only=True)
    for key in ("work/doctor/probe", "work/doctor/only"):
        opened.delete(key)
    if second or not first:
        return Finding(
            "store",
            False,
            f"{opened.url} ignores create-only puts: two writers could damage each other; use another server",
        )
    return Finding("store", True, f"{opened.url}, {len(all_names(opened))} names")


def _gpu() -> Finding:
    import torch

    if not torch.cuda.is_available():
        return Finding("gpu", True, "none: jobs run on the CPU")
    return Finding("gpu", True, f"{torch.cuda.device_count()} x {torch.cuda.get_device_name(0)}")


def _faiss() -> Finding:
    import faiss

    return Finding("faiss", True, f"{faiss.__version__}, {faiss.get_num_gpus()} GPUs")


def _guarded(what: str, check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except Exception as error:
        return Finding(what, False, str(error).partition("\n")[0])
