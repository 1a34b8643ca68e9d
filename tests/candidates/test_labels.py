"""Who is a lens, near one, ambiguous, or nothing of the kind."""

import numpy as np
import pyarrow as pa
import pytest

from lenscore.candidates.labels import VOTED, accepted_systems, find_votes, label_objects, vetting_sheet
from lenscore.survey.matching import FOUND, PAIRS


def pairs(*rows: tuple[int, str, float, bool]) -> pa.Table:
    """Crossmatch pairs from (row, system, separation, nearest)."""
    return pa.Table.from_pylist(
        [
            {
                "row": row,
                "ls_id": 100 + row,
                "ra": 1.0,
                "dec": 2.0,
                "system_id": system,
                "names": [system.upper()],
                "grades": ["B"],
                "lens_ra": 1.0,
                "lens_dec": 2.0,
                "separation_arcsec": apart,
                "nearest": nearest,
            }
            for row, system, apart, nearest in rows
        ],
        schema=PAIRS,
    )


def found(*rows: tuple[int, int, float]) -> pa.Table:
    """Pairs with graded positions, from (row, position, separation)."""
    return pa.Table.from_pylist(
        [
            {"row": row, "ls_id": 100 + row, "ra": 1.0, "dec": 2.0, "target": target, "separation_arcsec": apart}
            for row, target, apart in rows
        ],
        schema=FOUND,
    )


def votes(**kept: bool) -> pa.Table:
    return pa.table([[int(name[1:]) for name in kept], list(kept.values())], schema=VOTED)


def labelled(table: pa.Table) -> dict[int, str]:
    return dict(zip(table["row"].to_pylist(), table["label"].to_pylist(), strict=True))


NO_VOTES, NOTHING_KEPT = VOTED.empty_table(), FOUND.empty_table()


def test_grades_of_lists():
    flags = accepted_systems([["B"], ["probable", "Confident"], [], ["C"]], ("B", "confident"), True)
    assert flags.tolist() == [True, True, True, False]
    assert accepted_systems([[]], (), False).tolist() == [False]


def test_without_votes_the_lists_decide():
    table = pairs((1, "a", 0.5, True), (2, "a", 9.0, False), (3, "b", 1.0, True))
    labels = label_objects(table, np.array([True, True, False]), NO_VOTES, NOTHING_KEPT)
    assert labelled(labels) == {1: "lens", 2: "near", 3: "ambiguous"}
    assert labels["system_id"].to_pylist() == ["a", "a", "b"]
    assert labels["separation_arcsec"].to_pylist() == [0.5, 9.0, 1.0]


def test_votes_come_before_lists():
    table = pairs((1, "a", 0.5, True), (3, "b", 1.0, True))
    around = found((3, 0, 0.0), (4, 0, 20.0))
    labels = label_objects(table, np.array([True, False]), votes(r1=False, r3=True), around)
    assert labelled(labels) == {1: "ambiguous", 3: "lens", 4: "near"}
    assert labels["system_id"].to_pylist()[1] == "b"


def test_the_strongest_pair_decides():
    table = pairs((1, "a", 20.0, False), (1, "b", 1.0, True), (2, "b", 3.0, False), (2, "c", 2.0, True))
    labels = label_objects(table, np.array([True, True, True, False]), NO_VOTES, NOTHING_KEPT)
    assert labelled(labels) == {1: "lens", 2: "ambiguous"}
    assert labels["system_id"].to_pylist() == ["b", "c"]


def test_a_discovery_is_a_lens_and_its_neighbours_are_near():
    labels = label_objects(pairs(), np.array([], bool), votes(r5=True), found((5, 0, 0.1), (6, 0, 12.0)))
    assert labelled(labels) == {5: "lens", 6: "near"}
    assert set(labels["system_id"].to_pylist()) == {"J001.00000+02.00000"}


def test_a_refused_object_that_no_list_has_stays_a_nonlens():
    assert label_objects(pairs(), np.array([], bool), votes(r5=False), NOTHING_KEPT).num_rows == 0


def test_a_vote_goes_to_the_nearest_object_and_the_last_counts():
    table = found((1, 0, 0.3), (2, 0, 0.2), (3, 1, 5.0), (2, 2, 0.0))
    voted = find_votes(table, np.array([True, True, False]), 1.0)
    assert voted.to_pylist() == [{"row": 2, "kept": False}]


@pytest.mark.parametrize("accepted", [True, False])
def test_vetting_sheet_lists_open_cases(accepted):
    table = pairs((1, "a", 0.5, True), (2, "a", 9.0, False), (3, "b", 1.0, True))
    voted = votes(r3=False)
    labels = label_objects(table, np.array([accepted, accepted, True]), voted, NOTHING_KEPT)
    sheet = vetting_sheet(labels, table, voted).to_pylist()
    assert [(row["row"], row["names"], row["grades"], row["grade"]) for row in sheet] == [(1, ["A"], ["B"], "")]


def test_nothing_to_vet():
    assert (
        vetting_sheet(label_objects(pairs(), np.array([], bool), NO_VOTES, NOTHING_KEPT), pairs(), NO_VOTES).num_rows
        == 0
    )
