"""Processes that a test started, and all that these started."""

import os
import time
from pathlib import Path

SETTLE_SECONDS = 10


def processes(scratch: Path) -> dict[int, str]:
    """Running processes whose environment names a folder of the test: pid and command line."""
    found: dict[int, str] = {}
    for folder in Path("/proc").iterdir():
        try:
            if not folder.name.isdigit() or os.fsencode(scratch) not in (folder / "environ").read_bytes():
                continue
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if line:  # one that has ended and was not waited for has none
            found[int(folder.name)] = line
    return found


def left_over(scratch: Path) -> list[str]:
    """Those that still run after some time to end."""
    end = time.monotonic() + SETTLE_SECONDS
    while (left := processes(scratch)) and time.monotonic() < end:
        time.sleep(0.1)
    return list(left.values())
