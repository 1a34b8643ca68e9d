"""Writes the parts of the documentation that follow from the code: `python -m docs.generate`.

A page holds hand-written text and blocks between `<!-- generated: NAME -->` and `<!-- end -->`; only the blocks are
written anew. A test fails where a page is not up to date.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

import click
import typer
import yaml

from flows.launchers.cluster import ClusterSettings
from flows.settings import RunConfig
from jobs.specs import JOBS, Input, JobSpec
from lenscore.artifacts.kinds import KINDS
from lenscore.cli.app import app
from lenscore.config import Config
from lenscore.config import explain as explain_fields
from lenscore.errors import EXIT_CODES, FINAL_EXIT_CODES

FOLDER = Path(__file__).resolve().parent
CHART = FOLDER.parent / "charts" / "lenscore"
BLOCK = re.compile(r"(<!-- generated: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
ARITY = {"one": "", "many": ", one or more", "optional": ", optional", "any": ", any number"}


def main() -> None:
    """Write the generated blocks of all pages anew."""
    for path in pages():
        old = path.read_text()
        new = render(old)
        if new != old:
            path.write_text(new)
            print(f"written: {path.relative_to(FOLDER.parent)}")


def pages() -> list[Path]:
    """Pages that have generated blocks."""
    return [path for path in sorted(FOLDER.rglob("*.md")) if BLOCK.search(path.read_text())]


def render(text: str) -> str:
    """A page's text with its generated blocks as they should be."""
    return BLOCK.sub(lambda match: f"{match[1]}\n{BLOCKS[match[2]]()}\n{match[3]}", text)


def jobs_table() -> str:
    """All jobs: what they read, make and do."""
    rows = [
        (f"[{spec.name}](#{spec.name})", spec.does, "; ".join(map(_input, spec.inputs)) or "nothing", spec.output)
        for spec in JOBS
    ]
    return _table(("job", "what it does", "reads", "makes"), rows)


def jobs_details() -> str:
    """A section a job, from its module's docstring."""
    return "\n".join(_job(spec) for spec in JOBS)


def settings() -> str:
    """A section a job: its settings."""
    return "\n".join(f"## [{spec.name}]\n\n{_settings(spec.config_class())}" for spec in JOBS)


def run_settings() -> str:
    """The section [run] of a run's file."""
    return _settings(RunConfig)


def kinds_table() -> str:
    """Kinds of artifact and what each one must hold."""
    makers = {kind: [spec.name for spec in JOBS if spec.output == kind] for kind in KINDS}
    rows = [
        (
            f"`{kind.name}`",
            kind.holds,
            _code([f"{name}/" for name in kind.tables] + list(kind.files)),
            _code(makers[name]),
        )
        for name, kind in KINDS.items()
    ]
    return _table(("kind", "holds", "always with", "made by"), rows)


def exit_codes() -> str:
    """Exit codes of every command."""
    return _table(("code", "meaning"), [(str(code), meaning) for code, meaning in sorted(EXIT_CODES.items())])


def cluster_exit_codes() -> str:
    """What a cluster does after each exit code of a pod."""
    rows = [(str(code), meaning, _after(code)) for code, meaning in sorted(EXIT_CODES.items())]
    rows += [("137, OOMKilled", "it needed more memory than it has", "tries again, then with more memory")]
    return _table(("code", "meaning", "the pod's index"), rows)


def cluster_settings() -> str:
    """Settings of a cluster's file."""
    return _settings(ClusterSettings)


def chart_values() -> str:
    """Values of the chart, from its schema and its defaults."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    return _table(("value", "default", "meaning"), list(_values(schema, defaults)))


def _values(part: dict[str, Any], defaults: Any, prefix: str = "") -> Iterator[tuple[str, str, str]]:
    for name, inner in part["properties"].items():
        if "properties" in inner:
            yield from _values(inner, defaults[name], f"{prefix}{name}.")
        elif name in defaults:
            yield f"`{prefix}{name}`", _default(_shown(defaults[name])), inner["description"]


def _shown(value: Any) -> str:
    return "" if value in ("", [], {}) else value if isinstance(value, str) else json.dumps(value)


def commands() -> str:
    """A section a command."""
    return "\n".join(_command(path, command) for path, command in leaves(typer.main.get_command(app)))


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Commands that do something, with their paths."""
    children: dict[str, click.Command] = getattr(command, "commands", {})
    if not children:
        yield path, command
    for name, child in children.items():
        yield from leaves(child, (*path, name))


BLOCKS: dict[str, Callable[[], str]] = {
    "jobs-table": jobs_table,
    "jobs-details": jobs_details,
    "settings": settings,
    "run-settings": run_settings,
    "kinds": kinds_table,
    "exit-codes": exit_codes,
    "cluster-exit-codes": cluster_exit_codes,
    "cluster-settings": cluster_settings,
    "chart-values": chart_values,
    "commands": commands,
}


def _after(code: int) -> str:
    if code == 0:
        return "is done"
    return "fails at once" if code in FINAL_EXIT_CODES else "tries again, up to `retries` times"


def _input(item: Input) -> str:
    return f"{item.name} ({' or '.join(item.kinds)}{ARITY[item.arity]})"


def _job(spec: JobSpec) -> str:
    need, unit = spec.resources, f"{spec.unit_rows:,} rows" if spec.unit_rows else "not sharded"
    machine = f"{need.cpus:g} cores, {need.memory_gib:g} GiB" + (f", {need.gpus} GPU" if need.gpus else "")
    about = (spec.module().__doc__ or "").strip()
    facts = f"Unit of work: {unit}. On a cluster by default: {machine}. [Settings](configuration.md#{spec.name})."
    return f"## {spec.name}\n\n{about}\n\n{facts}\n"


def _settings(model: type[Config]) -> str:
    rows = [
        (f"`{name}`", _default(default), unit, source, says)
        for name, default, unit, source, says in explain_fields(model)
    ]
    text = _table(("setting", "default", "unit", "source", "meaning"), rows)
    for path, inner in _alternatives(model):
        text += f"\nA table of `{path}`, where one is given: {_first_line(inner)}\n\n{_settings(inner)}"
    return text


def _alternatives(model: type[Config], prefix: str = "") -> Iterator[tuple[str, type[Config]]]:
    """Models that a field may hold beside plain values, or several of."""
    for name, info in model.model_fields.items():
        if _is_config(info.annotation):
            yield from _alternatives(info.annotation, f"{prefix}{name}.")  # type: ignore[arg-type]
            continue
        for inner in filter(_is_config, get_args(info.annotation)):
            yield f"{prefix}{name}", inner


def _is_config(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Config)


def _default(text: str) -> str:
    if text == "required":
        return "required"
    return f"`{text}`" if text else "empty"


def _command(path: tuple[str, ...], command: click.Command) -> str:
    says, _, example = (command.help or "").partition("Example: ")
    arguments = [item for item in command.params if item.param_type_name == "argument"]
    options = [item for item in command.params if item.param_type_name == "option" and item.name != "help"]
    usage = " ".join(
        ["lenscore", *path, *(_argument(item) for item in arguments), "[OPTIONS]" if options else ""]
    ).strip()
    rows = [(f"`{_argument(item)}`", "", getattr(item, "help", "") or "") for item in arguments]
    rows += [(_code(item.opts), _option_default(item), getattr(item, "help", "") or "") for item in options]
    return (
        f"## lenscore {' '.join(path)}\n\n{' '.join(says.split())}\n\n"
        f"    {usage}\n\nFor example: `{' '.join(example.split())}`\n\n{_table(('', 'default', 'meaning'), rows)}"
    )


def _argument(item: click.Parameter) -> str:
    name = (item.name or "").upper() + ("..." if item.nargs == -1 else "")
    return name if item.required else f"[{name}]"


def _option_default(item: click.Parameter) -> str:
    if item.required:
        return "required"
    shown = item.default
    if shown is None or shown is False or callable(shown) or shown == ():
        return ""
    return f"`{shown}`"


def _first_line(model: type[Config]) -> str:
    return (model.__doc__ or "").strip().partition("\n")[0]


def _code(words: Sequence[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


if __name__ == "__main__":
    main()
