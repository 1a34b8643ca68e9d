"""lenscore config: what can be set, in which unit, and where each value comes from."""

from typing import Annotated

import typer

from lenscore.cli.output import JsonOption, print_rows

app = typer.Typer(no_args_is_help=True, help="Explain the configuration.")


@app.command("explain")
def explain(
    jobs: Annotated[list[str] | None, typer.Argument(help="Jobs; all if none is given.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Print every setting with its default, unit and source.

    Example: lenscore config explain pretrain
    """
    from jobs.specs import JOBS, find_job
    from lenscore.config import explain as explain_model

    specs = [find_job(name) for name in jobs] if jobs else JOBS
    rows = [row for spec in specs for row in explain_model(spec.config_class(), f"{spec.name}.")]
    print_rows(("setting", "default", "unit", "source", "meaning"), rows, as_json)
