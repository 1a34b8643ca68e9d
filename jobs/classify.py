"""Score every object by a linear or a fine-tuned model (paper 4.3).

Sharded: a unit reads its own rows of the embeddings (linear) or of the images (fine-tuned), so memory does not grow with
the release and time grows linearly with its rows. A row that is not valid has score NaN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lenscore.config import Config, field

if TYPE_CHECKING:
    from lenscore.artifacts import Checkpoints, Inputs, Runtime, Sink

VERSION = 1


class ClassifyConfig(Config):
    """Settings of classify."""

    batch_rows: int = field(
        256,
        unit="objects",
        source="assumed",
        description="images in a forward pass (fine-tuned models)",
        ge=1,
        identity=False,
    )


def plan(config: ClassifyConfig, inputs: Inputs, sink: Sink, runtime: Runtime) -> int:
    """Check that model and inputs belong together; one row an object of the cutouts."""
    from lenscore.classify.scoring import check_inputs

    rows = inputs.one("cutouts").table("catalogue").num_rows
    check_inputs(inputs.one("model"), inputs.many("embeddings"), rows)
    return rows


def run(config: ClassifyConfig, inputs: Inputs, sink: Sink, checkpoints: Checkpoints, runtime: Runtime) -> None:
    """Write the unit's rows of table scores."""
    from lenscore.classify.scoring import finetuned_scores, linear_scores, scores_table

    model, cutouts = inputs.one("model"), inputs.one("cutouts")
    start, stop = sink.rows.start, sink.rows.stop
    if model.read_json("model.json")["type"] == "linear":
        scored = linear_scores(model, inputs.many("embeddings"), start, stop)
    else:
        scored = finetuned_scores(model, cutouts, start, stop, config.batch_rows, runtime.device, runtime.threads)
    sink.write_table("scores", scores_table(scored, model, cutouts, start, stop))
