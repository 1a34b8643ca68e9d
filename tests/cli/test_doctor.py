"""lenscore doctor: says what is there and what to do."""

from pathlib import Path

from tests.cli.runner import run


def test_all_is_well(tmp_path: Path) -> None:
    ended = run("doctor", "--store", tmp_path / "store", "--json")
    rows = {row["check"]: row for row in ended.json}
    assert ended.code == 0
    assert {"python", "torch", "prefect", "store", "gpu", "faiss"} <= set(rows)
    assert all(row["well"] == "yes" for row in rows.values())
    assert "0 names" in rows["store"]["says"]
    assert not list((tmp_path / "store").rglob("probe"))


def test_what_is_not_well_is_said_with_the_rest(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = run("doctor", "--store", tmp_path / "file" / "store", "--json")
    rows = {row["check"]: row for row in ended.json}
    assert ended.code == 1
    assert rows["store"]["well"] == "NO"
    assert "cannot make the store's folder" in rows["store"]["says"]
    assert rows["faiss"]["well"] == "yes"
