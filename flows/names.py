"""Names for what a run made, so that the next run and people find it."""

from collections.abc import Mapping

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.pipeline import Searched
from flows.settings import RunConfig
from flows.steps import parse_reference
from lenscore.artifacts import Name, Store, find_name, take_name


def take_names(
    store: str, run: RunConfig, releases: Mapping[str, Searched], results: Mapping[str, str]
) -> dict[str, str]:
    """Name the models, the survey's lists and catalogues, and each release's artifacts.

    Returns:
        The version of each, by "kind subject".
    """
    wanted = (
        [(run.model, results["encoder"]), (f"{run.model}-linear", results["linear"])] if "encoder" in results else []
    )
    if "finetuned" in results:
        wanted.append((f"{run.model}-finetuned", results["finetuned"]))
    wanted += [
        (run.survey, results[key]) for key in ("lens_list", "candidates", "catalogue", "sheets") if key in results
    ]
    if "drift" in results:
        wanted += [(name, results["drift"]) for name in releases]
    for release in releases.values():
        made = (release.cutouts, release.labels, release.embeddings, release.neighbours, release.index, release.sky)
        wanted += [(release.name, future.result()) for future in made if future is not None]
        wanted += [(f"{release.name}-{method}", future.result()) for method, future in release.scores.items()]
    if len(releases) == 1:
        release_name = next(iter(releases))
        wanted += [(release_name, results[key]) for key in ("candidates", "catalogue") if key in results]
    unique = list(dict.fromkeys(wanted))
    names = name_artifacts(store, unique)
    return {f"{name.kind} {name.subject}": name.label for name in names}


@task(name="name", task_run_name="take version names", cache_policy=NO_CACHE, persist_result=False)
def name_artifacts(store: str, wanted: list[tuple[str, str]]) -> list[Name]:
    """Give each (subject, kind/id) its next version."""
    opened = Store.open(store)
    return [take_name(opened, subject, parse_reference(text)) for subject, text in wanted]


def newest(store: str, kind: str, subject: str) -> str:
    """kind/id of the newest version of a subject."""
    return str(find_name(Store.open(store), kind, subject).reference)
