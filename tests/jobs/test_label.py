"""The label job: matches, grades, and the sheet for people."""

import pyarrow as pa
import pytest

from jobs.crossmatch import CrossmatchConfig
from jobs.label import LabelConfig
from lenscore.errors import InputError
from lenscore.survey.lens_lists import Entry, merge_entries
from lenscore.survey.tables import read_table
from tests.support.artifacts import run_job
from tests.support.candidates import catalogue_rows, put_artifact, put_cutouts, put_grades

ARCSEC = 1 / 3600


@pytest.fixture
def matched(file_store):
    """Two listed lenses, A (with a neighbour) and C; two objects elsewhere, side by side."""
    ra, dec = [10.0, 10.0, 20.0, 30.0, 30.0], [0.0, 20 * ARCSEC, 0.0, 0.0, 10 * ARCSEC]
    cutouts = put_cutouts(file_store, catalogue_rows(ra, dec))
    entries = [Entry(10.0, 0.0, ("one",), ("A",), (), (), "t"), Entry(20.0, 0.0, ("two",), ("C",), (), (), "t")]
    lenses = put_artifact(file_store, "lens_list", tables={"lenses": merge_entries(entries, 3.0)})
    matches = run_job(file_store, "crossmatch", CrossmatchConfig(), {"cutouts": [cutouts], "lens_list": [lenses]})
    return {"cutouts": [cutouts], "matches": [matches]}


def labelled(made):
    table = made.table("labels").read()
    return dict(zip(table["row"].to_pylist(), table["label"].to_pylist(), strict=True))


def test_from_lists_alone(file_store, matched):
    made = run_job(file_store, "label", LabelConfig(), matched)
    assert labelled(made) == {0: "lens", 1: "near", 2: "ambiguous"}
    assert {name: made.manifest.metrics[name] for name in ("lens", "near", "ambiguous", "nonlens", "to_vet")} == {
        "lens": 1,
        "near": 1,
        "ambiguous": 1,
        "nonlens": 2,
        "to_vet": 2,
    }
    with made.local("vetting.csv") as path:
        sheet = read_table(path)
    assert sheet["names"].to_pylist() == ["one", "two"]
    assert sheet["ls_id"].to_pylist() == made.table("vetting").read()["ls_id"].to_pylist()


def graded(store, matched, grades):
    """Grades by row of the cutouts."""
    ids = matched["cutouts"][0].table("catalogue").read(["ls_id"])["ls_id"].to_pylist()
    return put_grades(store, {ids[row]: grade for row, grade in grades.items()})


def test_people_decide(file_store, matched):
    grades = graded(file_store, matched, {0: "X", 1: "X", 2: "B", 3: "a"})
    made = run_job(file_store, "label", LabelConfig(), {**matched, "grades": [grades]})
    assert labelled(made) == {0: "ambiguous", 1: "near", 2: "lens", 3: "lens", 4: "near"}
    assert made.table("vetting").num_rows == 0


def test_disputed_grades_say_nothing(file_store, matched):
    grades = graded(file_store, matched, {0: "?", 3: ""})
    made = run_job(file_store, "label", LabelConfig(), {**matched, "grades": [grades]})
    assert labelled(made) == {0: "lens", 1: "near", 2: "ambiguous"}


def test_later_grades_win(file_store, matched):
    grades = [graded(file_store, matched, {2: grade}) for grade in ("A", "X")]
    assert labelled(run_job(file_store, "label", LabelConfig(), {**matched, "grades": grades}))[2] == "ambiguous"
    assert labelled(run_job(file_store, "label", LabelConfig(), {**matched, "grades": grades[::-1]}))[2] == "lens"


def test_grades_on_another_release_are_found_by_position(file_store, matched):
    # ls_id 7 is of an older release; 8 was a candidate where this release has nothing; 9 is of nobody knows where.
    table = pa.table({"ls_id": [7, 8], "ra": [30.0, 70.0], "dec": [0.3 * ARCSEC, 0.0]})
    candidates = put_artifact(file_store, "candidates", tables={"candidates": table})
    grades = put_grades(file_store, {7: "A", 8: "A", 9: "A"}, candidates)
    made = run_job(file_store, "label", LabelConfig(), {**matched, "grades": [grades]})
    assert labelled(made) == {0: "lens", 1: "near", 2: "ambiguous", 3: "lens", 4: "near"}
    assert made.table("rejected").read()["ls_id"].to_pylist() == [9]


def test_settings(file_store, matched):
    made = run_job(file_store, "label", LabelConfig(lens_grades=("C",)), matched)
    assert labelled(made) == {0: "ambiguous", 1: "near", 2: "lens"}


def test_matches_of_other_cutouts_are_refused(file_store, matched):
    other = put_cutouts(file_store, catalogue_rows([1.0], [1.0]))
    with pytest.raises(InputError, match="are not of cutouts"):
        run_job(file_store, "label", LabelConfig(), {**matched, "cutouts": [other]})
