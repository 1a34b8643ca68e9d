"""RESULTS.md is what the benchmarks' own code writes."""

from pathlib import Path

import pytest

from benchmarks.__main__ import HERE, NAMES, RESULTS, page, run, section, sections
from benchmarks.harness import Figure

ONE = Figure("speed", 2.0, 1.0, "m / s", "a snail", "2x", 2.0, True, "uphill")


def test_sections_come_back_in_the_order_of_names() -> None:
    found = {name: section([ONE], 1.0, 90.0) for name in reversed(NAMES)}
    text = page(found)
    assert sections(text) == found
    assert list(sections(text)) == list(NAMES)
    assert "| speed | 2 m / s | 1 m / s: a snail | 2.00 | 2x | yes | uphill |" in text
    assert page({"gone": "x"}) == page({})


def test_a_benchmark_that_fails_keeps_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, kept = tmp_path / "RESULTS.md", section([ONE], 1.0, 1.0)
    out.write_text(page({NAMES[0]: kept}))
    assert not run("no_such_benchmark", 1.0, out)
    assert sections(out.read_text())[NAMES[0]] == kept
    assert "Did not finish: ModuleNotFoundError" in capsys.readouterr().out


def test_the_page_at_hand_is_of_these_benchmarks() -> None:
    for path in HERE.glob(RESULTS.name):
        text = path.read_text()
        assert set(sections(text)) == set(NAMES), "run `make bench`"
        assert page(sections(text)) == text
