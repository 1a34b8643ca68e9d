"""Make data/deflectors.csv, the joint distribution of deflectors, from the paper's table of known lenses.

Run it as `python -m lenscore.survey.sky.tabulate training_lenses.tsv`. Positions are left out: the table says what
deflectors look like, not which ones they are.
"""

import csv
import sys
from pathlib import Path

from lenscore.errors import InputError

TARGET = Path(__file__).parent / "data" / "deflectors.csv"
HEADER = """\
# Deflectors of 1615 known strong lenses in the Legacy Surveys (DR9 south, mag_z < 20): one row a galaxy, no positions.
# Source: Stein et al. 2022, github.com/georgestein/ssl-legacysurvey (MIT), rounded by lenscore/survey/sky/tabulate.py.
# mag_z, g_r, r_z [mag, AB, not corrected for extinction], z_phot, has_spec (1: a spectroscopic redshift), ebv [mag], type
"""
COLUMNS = ("mag_z", "g_r", "r_z", "z_phot", "has_spec", "ebv", "type")


def tabulate(source: Path, target: Path = TARGET) -> int:
    """Write the table.

    Args:
        source: tab-separated table with mag_g, mag_r, mag_z, z_phot_mean, z_spec, ebv and source_type.
        target: file to write.

    Returns:
        Number of rows.

    Raises:
        InputError: the source lacks a column.
    """
    with source.open(newline="") as file:
        rows = [_row(line) for line in csv.DictReader(file, delimiter="\t")]
    rows.sort()
    with target.open("w", newline="") as file:
        file.write(HEADER)
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)
    return len(rows)


def _row(line: dict[str, str]) -> tuple[str, ...]:
    try:
        mag_g, mag_r, mag_z = (float(line[f"mag_{band}"]) for band in "grz")
        has_spec = int(float(line["z_spec"]) > 0)
        ebv, redshift = float(line["ebv"]), float(line["z_phot_mean"])
        kind = line["source_type"]
    except KeyError as missing:
        raise InputError(
            f"no column {missing} among {', '.join(line)}", "give the paper's training_lenses.tsv"
        ) from None
    return (
        f"{mag_z:.2f}",
        f"{mag_g - mag_r:.2f}",
        f"{mag_r - mag_z:.2f}",
        f"{redshift:.2f}",
        str(has_spec),
        f"{ebv:.4f}",
        kind,
    )


if __name__ == "__main__":
    print(tabulate(Path(sys.argv[1])), "rows written to", TARGET)
