"""Listed lenses are shown to people, and their votes come back into the labels."""

import pyarrow as pa
import pytest

from jobs.crossmatch import CrossmatchConfig
from jobs.grade import GradeConfig
from jobs.inspect import InspectConfig
from jobs.label import LabelConfig
from lenscore.errors import InputError
from lenscore.survey.lens_lists import Entry, merge_entries
from tests.support.artifacts import run_job
from tests.support.candidates import put_artifact
from tests.support.cutouts import small_cutouts

ROWS = (3, 11)


@pytest.fixture
def labelled(file_store):
    """Cutouts of which two rows are listed lenses, and their labels."""
    cutouts = small_cutouts(file_store, rows=20)
    catalogue = cutouts.table("catalogue").read(["ls_id", "ra", "dec"]).take(list(ROWS)).to_pylist()
    entries = [
        Entry(item["ra"], item["dec"], (f"lens {row}",), ("C",), (), (), "t")
        for row, item in zip(ROWS, catalogue, strict=True)
    ]
    lenses = put_artifact(file_store, "lens_list", tables={"lenses": merge_entries(entries, 3.0)})
    matches = run_job(file_store, "crossmatch", CrossmatchConfig(), {"cutouts": [cutouts], "lens_list": [lenses]})
    inputs = {"cutouts": [cutouts], "matches": [matches]}
    return inputs, run_job(file_store, "label", LabelConfig(), inputs), [item["ls_id"] for item in catalogue]


def test_from_the_sheet_to_the_labels(file_store, labelled, tmp_path):
    inputs, labels, ids = labelled
    sheets = run_job(file_store, "inspect", InspectConfig(), {"labels": [labels], "cutouts": inputs["cutouts"]})
    assert sheets.table("sheets").read(["number", "ls_id"]).to_pylist() == [
        {"number": 1, "ls_id": ids[0]},
        {"number": 2, "ls_id": ids[1]},
    ]
    page = sheets.read_bytes("index.html").decode()
    assert "Listed lenses to vet" in page
    assert "lens 3 · listed C" in page
    votes = tmp_path / "votes.csv"
    votes.write_text(f"ls_id,grade\n{ids[0]},A\n{ids[1]},X\n77,A\n")
    grades = run_job(file_store, "grade", GradeConfig(files=(str(votes),)), {"labels": [labels]})
    assert grades.table("rejected").read()["reason"].to_pylist() == [
        "77: none of the labels shown has this ls_id; the vote is kept, but not published"
    ]
    again = run_job(file_store, "label", LabelConfig(), {**inputs, "grades": [grades]}).table("labels").read()
    found = dict(zip(again["row"].to_pylist(), again["label"].to_pylist(), strict=True))
    assert {row: found[row] for row in ROWS} == {3: "lens", 11: "ambiguous"}


def test_other_cutouts_are_refused(file_store, labelled):
    _, labels, _ = labelled
    others = small_cutouts(file_store, rows=20, seed=1)
    with pytest.raises(InputError, match="do not belong to these cutouts"):
        run_job(file_store, "inspect", InspectConfig(), {"labels": [labels], "cutouts": [others]})


def test_one_list_at_a_time(file_store, labelled):
    inputs, labels, _ = labelled
    candidates = put_artifact(file_store, "candidates", tables={"candidates": pa.table({"ls_id": [1]})})
    with pytest.raises(InputError, match="of the inputs candidates and labels 2 are given; hand over exactly one"):
        run_job(
            file_store,
            "inspect",
            InspectConfig(),
            {"candidates": [candidates], "labels": [labels], "cutouts": inputs["cutouts"]},
        )
