"""Errors that say, in one line, what was wrong and what to do."""


class LensError(Exception):
    """An expected failure.

    Args:
        what: what was wrong, with the value.
        remedy: what to do about it.
    """

    exit_code = 1

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what, remedy)
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.what}; {self.remedy}"


class InputError(LensError):
    """Bad data or configuration: running again will not help."""

    exit_code = 3


class NotFoundError(LensError):
    """A named thing does not exist."""

    exit_code = 4


class StoreError(LensError):
    """The store cannot be reached, is full, or refuses us: running again may help."""

    exit_code = 5


class DamagedError(LensError):
    """Stored bytes are not those that were written."""

    exit_code = 6


class ConflictError(LensError):
    """Somebody else holds what was asked for."""

    exit_code = 7


EXIT_CODES = {
    0: "done",
    1: "unexpected error, or killed: run again",
    2: "wrong usage of a command",
    InputError.exit_code: "bad input or configuration: running again will not help",
    NotFoundError.exit_code: "a named artifact, object or file does not exist",
    StoreError.exit_code: "the store is away, full or refuses: run again later",
    DamagedError.exit_code: "stored bytes fail their checksum",
    ConflictError.exit_code: "another process holds the name or the artifact",
}

FINAL_EXIT_CODES = (2, InputError.exit_code, NotFoundError.exit_code, DamagedError.exit_code)
"""Those that come again however often the same is run."""
