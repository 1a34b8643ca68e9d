"""What every result is held against: an untrained network, principal components of the pixels, and both together."""

from dataclasses import dataclass

from flows.pipeline import LINEAR, Searched
from flows.steps import Made, Steps


@dataclass
class Baseline:
    """One way to represent images: embeddings side by side, and the scores of a linear classifier on them."""

    name: str
    embeddings: list[Made]
    scores: Made


def fit_baselines(steps: Steps, release: Searched, sample: Made) -> list[Baseline]:
    """Fit the linear classifier on every representation, the pretrained one included.

    Returns:
        pretrained, untrained, pca, and pretrained beside pca.
    """
    if release.embeddings is None:
        return []
    untrained = steps.make("pretrain", label="untrained network", changes={"steps": 0}, cutouts=sample)
    pca = steps.make("fit_pca", cutouts=sample)
    embeddings = {
        name: steps.make(
            "embed", release=release.name, label=f"embed {release.name} by {name}", cutouts=release.cutouts, model=model
        )
        for name, model in (("untrained", untrained), ("pca", pca))
    }
    pretrained = Baseline("pretrained", [release.embeddings], release.scores[LINEAR])
    feature_sets = {
        "untrained": [embeddings["untrained"]],
        "pca": [embeddings["pca"]],
        "pretrained+pca": [release.embeddings, embeddings["pca"]],
    }
    return [pretrained, *(_fit(steps, release, name, vectors) for name, vectors in feature_sets.items())]


def _fit(steps: Steps, release: Searched, name: str, embeddings: list[Made]) -> Baseline:
    model = steps.make(
        "fit_linear",
        label=f"fit_linear on {name}",
        embeddings=embeddings,
        cutouts=release.cutouts,
        labels=release.labels,
    )
    scores = steps.make(
        "classify",
        release=release.name,
        label=f"classify {release.name} by {name}",
        model=model,
        embeddings=embeddings,
        cutouts=release.cutouts,
    )
    return Baseline(name, embeddings, scores)
