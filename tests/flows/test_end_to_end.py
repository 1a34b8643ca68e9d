"""The whole story, as small as it can be: discover, rescore, publish, on a simulated sky and with Prefect's own server."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.io.votable import parse_single_table
from prefect.client.orchestration import get_client
from prefect.testing.utilities import prefect_test_harness

from flows.discover import discover
from flows.launchers import LocalLauncher, Request
from flows.publish import publish
from flows.rescore import rescore
from flows.steps import parse_reference
from lenscore.artifacts import Artifact, Reference, Store, find_name, list_names
from lenscore.artifacts.lifecycle import list_artifacts, unreachable, verify
from lenscore.candidates import compare

TINY = Path(__file__).with_name("tiny.toml")
SERVER_SECONDS = 120
CAUSES = {compare.NEW, compare.VANISHED, compare.CUT, compare.LIST, compare.IMAGING, compare.MODEL}
CAUSES |= {compare.CROWDED_OUT, compare.NO_LONGER_CROWDED, compare.BECAME_KNOWN, compare.NO_LONGER_KNOWN}

pytestmark = pytest.mark.timeout(1800)


class NoLauncher:
    """Refuses: for runs that must find everything done."""

    def run(self, request: Request, *_: object) -> Reference:
        raise AssertionError(f"job {request.job} was run again")


@dataclass(frozen=True)
class Story:
    """What the flows returned, and what the Prefect server knows of them."""

    store: Store
    discovered: dict[str, str]
    rescored: dict[str, str]
    published: dict[str, str]
    grades: Path
    task_runs: list[str]
    shown: list[tuple[str, str]]

    def open(self, text: str) -> Artifact:
        reference = parse_reference(text)
        return Artifact.open(self.store, reference.kind, reference.id)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("story")
    store, launcher = Store.open(str(folder / "store")), LocalLauncher(workers=1, threads=1, memory_gib=2, device="cpu")
    with prefect_test_harness(server_startup_timeout=SERVER_SECONDS):
        discovered = discover(TINY, store.url, launcher, parallel=1)
        rescored = rescore(TINY, "demo-dr2", store.url, launcher, parallel=1)
        grades = _grade(store, rescored["candidates"], folder / "grades.csv")
        published = publish(TINY, "tiny", [grades], store.url, launcher)
        with get_client(sync_client=True) as client:
            task_runs = [run.name for run in client.read_task_runs(limit=200)]
            shown = [(str(item.key), str(item.type)) for item in client.read_artifacts(limit=200)]
        yield Story(store, discovered, rescored, published, grades, task_runs, shown)


def _grade(store: Store, candidates: str, path: Path) -> Path:
    """One grader's grades of the best three candidates."""
    reference = parse_reference(candidates)
    table = Artifact.open(store, reference.kind, reference.id).table("candidates").read(["ls_id"], stop=3)
    with path.open("w", newline="") as file:
        rows = zip(table["ls_id"].to_pylist(), "ABX", strict=True)
        csv.writer(file).writerows([("ls_id", "grade", "grader"), *((id, grade, "ann") for id, grade in rows)])
    return path


def test_everything_has_a_name(story: Story) -> None:
    names = {
        "demo-dr1": (
            "sky",
            "cutouts",
            "labels",
            "embeddings",
            "neighbours",
            "index",
            "candidates",
            "catalogue_release",
        ),
        "demo-dr2": (
            "sky",
            "cutouts",
            "labels",
            "embeddings",
            "neighbours",
            "index",
            "candidates",
            "catalogue_release",
        ),
        "demo-dr1-linear": ("scores",),
        "demo-dr1-finetuned": ("scores",),
        "tiny": ("lens_list", "candidates", "catalogue_release", "sheets", "grades"),
    }
    for subject, kinds in names.items():
        for kind in kinds:
            assert find_name(story.store, kind, subject)
    for subject in ("tiny", "tiny-linear", "tiny-finetuned"):
        assert find_name(story.store, "model", subject)
    assert [name.label for name in list_names(story.store, "candidates", "tiny")] == ["v1", "v2"]
    assert [name.label for name in list_names(story.store, "catalogue_release", "tiny")] == ["v1", "v2", "v3"]


def test_every_artifact_is_whole_and_none_is_lost(story: Story) -> None:
    artifacts = list(list_artifacts(story.store))
    assert len(artifacts) >= 30
    assert [fault for artifact in artifacts for fault in verify(artifact)] == []
    # What no name reaches is what only the comparison of releases made.
    assert {item.kind for item in unreachable(story.store, 0)} <= {"comparison", "evaluation"}
    assert list(story.store.list("work")) == []


@pytest.mark.parametrize("which", ["discovered", "rescored", "published"])
def test_the_catalogue_is_readable_in_four_formats(story: Story, which: str) -> None:
    made = getattr(story, which)
    catalogue = story.open(made["catalogue"])
    ids = catalogue.table("catalogue").read(["ls_id"])["ls_id"].to_pylist()
    assert 0 < len(ids) <= 30
    assert pq.read_table(io.BytesIO(catalogue.read_bytes("catalogue.parquet")))["ls_id"].to_pylist() == ids
    assert pyarrow.csv.read_csv(io.BytesIO(catalogue.read_bytes("catalogue.csv")))["ls_id"].to_pylist() == ids
    with fits.open(io.BytesIO(catalogue.read_bytes("catalogue.fits"))) as hdus:
        assert hdus[1].data["ls_id"].tolist() == ids
    votable = parse_single_table(io.BytesIO(catalogue.read_bytes("catalogue.vot")))
    assert votable.array["ls_id"].tolist() == ids
    assert len([path for path in catalogue.files if path.endswith(".png")]) >= 5
    assert made["candidates"].partition("/")[2] in catalogue.read_bytes("README.md").decode()


def test_candidates_carry_their_evidence_and_no_known_lens(story: Story) -> None:
    rows = story.open(story.discovered["candidates"]).table("candidates").read().to_pylist()
    assert [row["rank"] for row in rows] == list(range(1, len(rows) + 1))
    assert not any(row["known"] for row in rows)
    assert all(row["rank_linear"] or row["rank_finetuned"] for row in rows)
    assert all(row["release_name"] == "demo-dr1" for row in rows)


def test_each_difference_has_a_cause(story: Story) -> None:
    comparison = story.open(story.rescored["comparison"])
    inputs = comparison.manifest.inputs
    assert [str(item) for item in inputs["before"]] == [story.discovered["candidates"]]
    assert [str(item) for item in inputs["after"]] == [story.rescored["candidates"]]
    causes = comparison.table("differences").read(["cause"])["cause"].to_pylist()
    assert len(causes) > 0
    assert set(causes) <= CAUSES
    assert compare.MODEL not in causes


def test_grades_are_in_the_published_catalogue(story: Story) -> None:
    with story.grades.open() as file:
        given = {int(row["ls_id"]): row["grade"] for row in csv.DictReader(file)}
    rows = story.open(story.published["catalogue"]).table("catalogue").read(["ls_id", "grade"]).to_pylist()
    found = {row["ls_id"]: row["grade"] for row in rows if row["ls_id"] in given}
    assert found == {ls_id: grade for ls_id, grade in given.items() if grade != "X"}


def test_the_models_of_discover_are_used_again(story: Story) -> None:
    lineage = story.open(story.rescored["catalogue"]).manifest.inputs["models"]
    assert {str(item) for item in lineage} == {story.discovered[name] for name in ("encoder", "linear", "finetuned")}


def test_the_evaluation_holds_what_was_found_against_the_truth(story: Story) -> None:
    evaluation = story.open(story.discovered["evaluation"])
    assert evaluation.read_json("evaluation.json")
    assert evaluation.manifest.inputs["sky"] == (find_name(story.store, "sky", "demo-dr1").reference,)


def test_tasks_have_names_that_people_can_read(story: Story) -> None:
    assert {
        "simulate demo-dr1",
        "ingest demo-dr1",
        "crossmatch demo-dr1",
        "label demo-dr1",
        "fit_augmentations",
        "pretrain",
        "embed demo-dr1",
        "classify demo-dr1 by linear model",
        "classify demo-dr2 by fine-tuned network",
        "rank",
        "publish",
        "compare",
        "take version names",
        "report the best candidates",
    } <= set(story.task_runs)


def test_progress_tables_and_pictures_are_shown(story: Story) -> None:
    shown = set(story.shown)
    assert {("progress-pretrain", "progress"), ("progress-embed", "progress")} <= shown
    assert {("candidates", "table"), ("drift", "table"), ("changes", "markdown")} <= shown
    assert ("artifacts", "markdown") in shown
    assert any(key.startswith("picture-") and kind == "image" for key, kind in shown)


def test_a_finished_flow_does_nothing(story: Story) -> None:
    before = {(item.reference, item.manifest.created) for item in list_artifacts(story.store)}
    names = [info.key for info in story.store.list("names")]
    nothing = NoLauncher()
    assert discover(TINY, story.store.url, nothing, parallel=1) == story.discovered
    assert rescore(TINY, "demo-dr2", story.store.url, nothing, parallel=1) == story.rescored
    assert publish(TINY, "tiny", [story.grades], story.store.url, nothing) == story.published
    assert {(item.reference, item.manifest.created) for item in list_artifacts(story.store)} == before
    assert [info.key for info in story.store.list("names")] == names
