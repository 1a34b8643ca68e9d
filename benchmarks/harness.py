"""What a benchmark reports: a ratio measured side by side in one run."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One row of RESULTS.md.

    Args:
        what: was measured.
        ours: our value.
        theirs: the baseline's value.
        unit: of both.
        against: the baseline.
        reach: what is to be reached.
        ratio: how many times better we are.
        passed: whether it is reached, and the results agree.
        note: sizes, conditions.
    """

    what: str
    ours: float
    theirs: float
    unit: str
    against: str
    reach: str
    ratio: float
    passed: bool
    note: str = ""
