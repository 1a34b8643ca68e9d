"""What people see of a run in the Prefect UI: the best candidates, and pictures."""

import base64
from collections.abc import Mapping
from typing import Any

from prefect import task
from prefect.artifacts import create_image_artifact, create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE

from flows.steps import open_made
from lenscore.artifacts import Artifact, Store

TOP = 25
COLUMNS = ("rank", "ls_id", "ra", "dec", "type", "mag_z")
PICTURES = 4
MAX_PICTURE_BYTES = 1_000_000


@task(name="report", task_run_name="report the best candidates", cache_policy=NO_CACHE, persist_result=False)
def show_candidates(store: str, results: Mapping[str, str]) -> None:
    """Show the best candidates as a table, the sheets as pictures, and where everything lies."""
    opened = Store.open(store)
    candidates = open_made(opened, results["candidates"])
    columns = [name for name in COLUMNS if name in candidates.table("candidates").schema.names]
    rows = candidates.table("candidates").read(columns, 0, TOP).to_pylist()
    # ls_id exceeds what a JSON number holds exactly.
    shown: list[dict[str, Any]] = [{**row, "ls_id": str(row["ls_id"])} for row in rows]
    create_table_artifact(table=shown, key="candidates", description=f"Best {len(shown)} candidates")
    for name in ("sheets", "catalogue"):
        if name in results:
            _show_pictures(open_made(opened, results[name]))
    lines = "\n".join(f"- {name}: `{reference}`" for name, reference in sorted(results.items()))
    create_markdown_artifact(key="artifacts", markdown=f"Store `{store}`\n\n{lines}\n", description="What the run made")


@task(name="report drift", task_run_name="drift of {release}", cache_policy=NO_CACHE, persist_result=False)
def show_drift(store: str, release: str, drift: str) -> list[str]:
    """Show how far each quantity of a release is from training: those too far, a line each."""
    artifact = open_made(Store.open(store), drift)
    rows = artifact.table("quantities").read().to_pylist()
    create_table_artifact(table=rows, key="drift", description=f"{release} held against training")
    far: list[str] = artifact.read_json("drift.json")["far"]
    return far


@task(name="report changes", task_run_name="report what changed", cache_policy=NO_CACHE, persist_result=False)
def show_changes(store: str, results: Mapping[str, str]) -> str:
    """Say what changed since the last candidates: the text that is shown."""
    if "comparison" not in results:
        text = "There was nothing to compare with."
    else:
        text = describe_changes(open_made(Store.open(store), results["comparison"]).read_json("summary.json"))
    create_markdown_artifact(key="changes", markdown=text, description="What changed")
    return text


def describe_changes(summary: Mapping[str, Any]) -> str:
    """A comparison's summary in words."""
    before, after, both = (summary[name] for name in ("candidates_before", "candidates_after", "in_both"))
    lines = [f"{before} candidates before, {after} now, {both} in both."]
    for change, causes in summary["changes"].items():
        counted = sorted(causes.items(), key=lambda item: -item[1])
        lines.append(f"- {change}: " + ", ".join(f"{count} {cause}" for cause, count in counted))
    return "\n".join(lines)


def _show_pictures(artifact: Artifact) -> None:
    pictures = [
        info for path, info in artifact.files.items() if path.endswith(".png") and info.size <= MAX_PICTURE_BYTES
    ]
    for info in pictures[:PICTURES]:
        data = base64.b64encode(artifact.read_bytes(info.path)).decode()
        key = "picture-" + "".join(c if c.isalnum() else "-" for c in info.path.lower().removesuffix(".png"))
        create_image_artifact(image_url=f"data:image/png;base64,{data}", key=key, description=info.path)
