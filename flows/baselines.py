"""What every result is held against: an untrained network, and principal components of the pixels."""

from collections.abc import Iterator

from flows.pipeline import Searched
from flows.steps import Made, Steps

UNTRAINED = "untrained"
PCA = "pca"


def embed_baselines(steps: Steps, release: Searched, sample: Made) -> Iterator[Made]:
    """Embeddings of a release by the untrained network and by principal components, in this order."""
    models = {
        UNTRAINED: steps.make("pretrain", label="untrained network", changes={"steps": 0}, cutouts=sample),
        PCA: steps.make("fit_pca", cutouts=sample),
    }
    for name, model in models.items():
        label = f"embed {release.name} by {name}"
        # The plain baseline is embedded plainly: the mean over turns would take orientation out of its pixels.
        changes = {"average_views": False} if name == PCA else None
        yield steps.make(
            "embed", release=release.name, label=label, changes=changes, cutouts=release.cutouts, model=model
        )
