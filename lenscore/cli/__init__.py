"""The command line: the top layer. Every command imports what it needs when it runs, so that --help answers at once."""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lenscore.errors import LensError


def main() -> None:
    """Run a command; expected failures become one line and an exit code (see `lenscore.errors.EXIT_CODES`)."""
    from lenscore.cli.app import app
    from lenscore.errors import LensError

    _end_when_told()
    try:
        app()
    except LensError as error:
        if _debug():
            traceback.print_exc()
        _leave(f"error: {error}", error.exit_code)
    except KeyboardInterrupt:
        _leave("interrupted; run the same command again to go on", 130)
    except BrokenPipeError:
        _leave("", 0)
    except Exception as error:
        if _debug():
            traceback.print_exc()
        expected = _disk_error(error)
        if expected is not None:
            _leave(f"error: {expected}", expected.exit_code)
        first = str(error).partition("\n")[0]
        _leave(f"error: unexpected {type(error).__name__}: {first}; run again with --debug for the trace", 1)


def _end_when_told() -> None:
    """The first process of a container ignores SIGTERM unless it says what it does then."""
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, lambda *_: _leave("ended by SIGTERM", 143))


def _disk_error(error: Exception) -> LensError | None:
    """What the file system said of a person's own files, such as --out: full, or refused."""
    from lenscore.errors import InputError, StoreError

    if not isinstance(error, OSError):
        return None
    what = f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}".partition("\n")[0]
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError(what, "free some space and run again")
    return InputError(what, "check the path and its permissions") if error.filename else None


def _debug() -> bool:
    return bool(os.environ.get("LENSCORE_DEBUG"))


def _leave(message: str, code: int) -> None:
    if message:
        print(message, file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    # Background readers of the store may still be waiting for an answer; they must not delay or clutter the exit.
    os._exit(code)
