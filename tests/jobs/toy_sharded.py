"""A sharded job for tests of the runner: squares of row numbers."""

import numpy as np
import pyarrow as pa

from lenscore.artifacts import ArraySpec, Checkpoints, Inputs, Runtime, Sink
from lenscore.config import Config, field
from lenscore.errors import InputError, StoreError

VERSION = 1
SCHEMA = pa.schema([("row", pa.int64()), ("square", pa.int64())])
calls: list[int] = []
stumbles: dict[int, int] = {}


class ToyConfig(Config):
    """Settings of the toy."""

    rows: int = field(100, unit="", source="test", description="rows")
    bad_unit: int = field(-1, unit="", source="test", description="unit that is refused")
    workers: int = field(1, unit="", source="test", description="cannot change the result", identity=False)


def plan(config: ToyConfig, inputs: Inputs, sink: Sink, runtime: Runtime) -> int:
    sink.declare_array("squares.zarr/square", ArraySpec(config.rows, (), "int64", 8, 16))
    sink.write_json("release.json", {"rows": config.rows})
    sink.reject(pa.table({"row": [-1], "why": ["planned"]}))
    return config.rows


def run(config: ToyConfig, inputs: Inputs, sink: Sink, checkpoints: Checkpoints, runtime: Runtime) -> None:
    calls.append(sink.unit or 0)
    if sink.unit == config.bad_unit:
        raise InputError(f"unit {sink.unit} is bad", "change bad_unit")
    if sink.unit is not None and stumbles.get(sink.unit, 0) > 0:
        stumbles[sink.unit] -= 1
        raise StoreError("the store stumbled", "run again")
    rows = np.array(sink.rows)
    sink.write_rows("squares.zarr/square", sink.rows.start, rows**2)
    sink.write_table("objects", pa.table({"row": rows, "square": rows**2}, schema=SCHEMA))
    sink.reject(pa.table({"row": rows[:1], "why": ["first of the unit"]}))
    sink.metrics(count=len(rows), max_row=int(rows.max()))
    sink.progress(len(rows), len(rows))
