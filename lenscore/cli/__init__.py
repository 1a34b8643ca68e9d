"""The command line: the top layer. Every command imports what it needs when it runs, so that --help answers at once."""

import os
import sys
import traceback


def main() -> None:
    """Run a command; expected failures become one line and an exit code (see `lenscore.errors.EXIT_CODES`)."""
    from lenscore.cli.app import app
    from lenscore.errors import LensError

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
        first = str(error).partition("\n")[0]
        _leave(f"error: unexpected {type(error).__name__}: {first}; run again with --debug for the trace", 1)


def _debug() -> bool:
    return bool(os.environ.get("LENSCORE_DEBUG"))


def _leave(message: str, code: int) -> None:
    if message:
        print(message, file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    # Background readers of the store may still be waiting for an answer; they must not delay or clutter the exit.
    os._exit(code)
