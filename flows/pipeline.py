"""The order of the jobs: what discover and rescore have in common."""

from dataclasses import dataclass, field

from flows.steps import Given, Made, Steps

LINEAR = "linear"
FINETUNED = "finetuned"


@dataclass
class Searched:
    """A release on its way through the search: its artifacts, as they are made."""

    name: str
    cutouts: Made
    labels: Made
    sky: Made | None = None
    embeddings: Made | None = None
    neighbours: Made | None = None
    index: Made | None = None
    scores: dict[str, Made] = field(default_factory=dict)


@dataclass
class Models:
    """The models of a run. What it did not train, it took by name."""

    encoder: Given
    linear: Given
    finetuned: Given | None = None


def ingest_release(steps: Steps, name: str) -> tuple[Made, Made | None]:
    """Simulate a release where the run says so, and read it in: (cutouts, sky)."""
    sky = steps.make("simulate", release=name) if steps.settings.run.simulated else None
    return steps.make("ingest", release=name, sky=sky), sky


def find_known(steps: Steps, name: str, cutouts: Made, lens_list: Given) -> Made:
    """Tell a release's known lenses, objects near them and nonlenses apart: its labels."""
    matches = steps.make("crossmatch", release=name, cutouts=cutouts, lens_list=lens_list)
    return steps.make("label", release=name, cutouts=cutouts, matches=matches)


def pretrain(steps: Steps, release: Searched) -> tuple[Made, Made, Made]:
    """Learn the representation on a release: (encoder, training sample, augmentation fits)."""
    fits = steps.make("fit_augmentations", cutouts=release.cutouts)
    sample = steps.make("sample", cutouts=release.cutouts)
    encoder = steps.make(
        "pretrain", cutouts=sample, augmentation_fits=fits, probe_cutouts=release.cutouts, probe_labels=release.labels
    )
    return encoder, sample, fits


def embed(steps: Steps, release: Searched, encoder: Given) -> None:
    """Turn a release's images into vectors."""
    release.embeddings = steps.make("embed", release=release.name, cutouts=release.cutouts, model=encoder)


def find_similar(steps: Steps, release: Searched) -> None:
    """Find each object's neighbours and build the index, where the run says so."""
    if steps.settings.run.similar:
        release.neighbours = steps.make(
            "similar", release=release.name, embeddings=release.embeddings, cutouts=release.cutouts
        )
        release.index = steps.make(
            "index", release=release.name, embeddings=release.embeddings, cutouts=release.cutouts
        )


def fit_classifiers(steps: Steps, release: Searched, encoder: Made, fits: Made) -> Models:
    """Fit the linear classifier, and fine-tune the network where the run says so."""
    linear = steps.make("fit_linear", embeddings=[release.embeddings], cutouts=release.cutouts, labels=release.labels)
    finetuned = None
    if steps.settings.run.finetune:
        finetuned = steps.make(
            "finetune", cutouts=release.cutouts, labels=release.labels, model=encoder, augmentation_fits=fits
        )
    return Models(encoder, linear, finetuned)


def classify(steps: Steps, release: Searched, models: Models) -> None:
    """Score every object of a release by every model."""
    release.scores[LINEAR] = steps.make(
        "classify",
        release=release.name,
        label=f"classify {release.name} by linear model",
        model=models.linear,
        embeddings=[release.embeddings],
        cutouts=release.cutouts,
    )
    if models.finetuned is not None:
        release.scores[FINETUNED] = steps.make(
            "classify",
            release=release.name,
            label=f"classify {release.name} by fine-tuned network",
            model=models.finetuned,
            cutouts=release.cutouts,
        )


def rank(steps: Steps, releases: list[Searched]) -> Made:
    """Merge the best of all releases and methods into one list."""
    neighbours = [release.neighbours for release in releases if release.neighbours is not None]
    return steps.make(
        "rank",
        cutouts=[release.cutouts for release in releases],
        scores=[scores for release in releases for scores in release.scores.values()],
        labels=[release.labels for release in releases],
        similarity=neighbours or None,
    )


def publish(
    steps: Steps, releases: list[Searched], candidates: Made, models: Models, sample: Made | None = None
) -> tuple[Made, Made]:
    """Make the sheets for people and the catalogue: (sheets, catalogue release)."""
    cutouts = [release.cutouts for release in releases]
    sheets = steps.make("inspect", candidates=candidates, cutouts=cutouts)
    catalogue = steps.make(
        "publish",
        candidates=candidates,
        cutouts=cutouts,
        labels=[release.labels for release in releases],
        models=[model for model in (models.encoder, models.linear, models.finetuned) if model is not None],
        scores=[scores for release in releases for scores in release.scores.values()],
        sample=sample,
        neighbours=[release.neighbours for release in releases if release.neighbours is not None] or None,
    )
    return sheets, catalogue
