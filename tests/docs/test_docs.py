"""Documentation that drifts fails a test: generated parts, links, commands, files, settings."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer

from docs.generate import leaves, pages, render
from flows.settings import Settings
from jobs.launch import parse_config
from lenscore.cli.app import app
from lenscore.errors import EXIT_CODES

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMANDS = dict(leaves(typer.main.get_command(app)))
FOLDERS = ("lenscore", "jobs", "flows", "configs", "docs", "benchmarks", "tests", "requirements")
MADE = {"benchmarks/RESULTS.md", "docs/science.md"}
"""Files that a make target writes."""

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
SPAN = re.compile(r"`([^`\n]+)`")


def blocks(text: str) -> Iterator[str]:
    """Indented blocks of a page, without the indent."""
    lines: list[str] = []
    for line in [*text.splitlines(), "."]:
        if line.startswith("    ") or (lines and not line.strip()):
            lines.append(line[4:])
        elif lines:
            yield "\n".join(lines).strip("\n")
            lines = []


def commands(text: str) -> Iterator[list[str]]:
    """Words of each command line, in blocks and spans."""
    found = [line for block in blocks(text) for line in block.splitlines()]
    for line in [*found, *SPAN.findall(text)]:
        if re.match(r"(\.venv/bin/)?lenscore [a-z-]", line):
            yield shlex.split(line.replace("…", " "), comments=True)[1:]


def anchors(path: Path) -> set[str]:
    """Anchors of a page's headings, as they are made from them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def find_command(words: list[str]) -> tuple[click.Command | None, list[str]]:
    """The command that words begin with, and the rest of them."""
    for length in (2, 1):
        found = COMMANDS.get(tuple(words[:length]))
        if found is not None:
            return found, words[length:]
    return None, words


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.name)
def test_generated_parts_are_up_to_date(path: Path) -> None:
    assert render(path.read_text()) == path.read_text(), "run `python -m docs.generate`"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_pages_are_text_for_people(path: Path) -> None:
    text = path.read_text()
    assert text.startswith("# ")
    assert "```" not in text or text.count("```") % 2 == 0


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for link in LINK.findall(path.read_text()):
        if link.startswith(("http://", "https://")):
            continue
        target, _, anchor = link.partition("#")
        file = (path.parent / target).resolve() if target else path
        assert file.exists(), f"{link} does not exist"
        if anchor:
            assert anchor in anchors(file), f"{link}: no such heading"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_commands_and_options_exist(path: Path) -> None:
    groups = {words[0] for words in COMMANDS if len(words) > 1}
    for words in commands(path.read_text()):
        if words[0].startswith("-") or words[0] == "COMMAND" or (words[0] in groups and len(words) == 1):
            continue
        command, rest = find_command(words)
        assert command is not None, f"lenscore {' '.join(words)}: no such command"
        options = {name for item in command.params for name in (*item.opts, "--help")}
        for word in rest:
            if word.startswith("-") and not re.match(r"-\d", word):
                assert word.partition("=")[0] in options, f"lenscore {' '.join(words)}: no option {word}"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_files_exist(path: Path) -> None:
    text = path.read_text()
    for span in [*SPAN.findall(text), *(word for words in commands(text) for word in words)]:
        if re.fullmatch(rf"({'|'.join(FOLDERS)})/[\w./-]+", span) and span not in MADE:
            assert (ROOT / span).exists(), f"{span} does not exist"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_make_targets_exist(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = path.read_text()
    for line in [*(line for block in blocks(text) for line in block.splitlines()), *SPAN.findall(text)]:
        if line.startswith("make "):
            assert line.split()[1] in targets, line


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_settings_in_examples_are_accepted(path: Path) -> None:
    for block in blocks(path.read_text()):
        if not re.match(r"\[[a-z_.]+\]\n", block):
            continue
        sections = tomllib.loads(block)
        if "run" in sections:
            Settings(sections)
            continue
        for job, section in sections.items():
            parse_config(job, section)


def test_the_top_command_tells_all_exit_codes() -> None:
    epilog = typer.main.get_command(app).epilog or ""
    assert {int(code) for code in re.findall(r"\b(\d) ", epilog)} | {0} == set(EXIT_CODES)


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or page.suffix != ".md" or not page.exists():
            continue
        seen.add(page)
        waiting += [(page.parent / link.partition("#")[0]).resolve() for link in LINK.findall(page.read_text())]
        waiting += [path for link in LINK.findall(page.read_text()) for path in (page.parent / link).glob("*.md")]
    assert {path for path in PAGES if path not in seen} == set()
