"""One-step use on a person's own files: crossmatch, ingest, query, and the summary of any catalogue."""

from pathlib import Path
from typing import Annotated, Any

import typer

from lenscore.cli.output import (
    DEFAULT_STORE,
    JsonOption,
    StoreOption,
    default_scratch,
    open_store,
    print_json,
    print_rows,
)

MOST_NOTES = 20

catalogue_app = typer.Typer(no_args_is_help=True, help="Summaries of any catalogue.")


def crossmatch(
    objects: Annotated[Path, typer.Argument(help="Table of objects: CSV, TSV, FITS, VOTable or Parquet.")],
    lenses: Annotated[Path, typer.Argument(help="Table of known lenses.")],
    out: Annotated[Path, typer.Option(help="Where the pairs go; its ending tells the format.")],
    radius_arcsec: Annotated[float, typer.Option(min=0.0, help="Largest separation, in arcsec.")] = 25.15,
    objects_ra: Annotated[str | None, typer.Option(help="Column of right ascension; found if not given.")] = None,
    objects_dec: Annotated[str | None, typer.Option(help="Column of declination.")] = None,
    lenses_ra: Annotated[str | None, typer.Option(help="Column of right ascension.")] = None,
    lenses_dec: Annotated[str | None, typer.Option(help="Column of declination.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Find the objects near known lenses, in any two tables. For each lens the nearest object is the lens.

    Example: lenscore crossmatch objects.fits lenscat.csv --out pairs.csv
    """
    from lenscore.survey.crossmatch import match_files

    summary = match_files(
        objects,
        lenses,
        radius_arcsec,
        out,
        objects_ra=objects_ra,
        objects_dec=objects_dec,
        lenses_ra=lenses_ra,
        lenses_dec=lenses_dec,
    )
    counts = {
        "pairs": summary.pairs,
        "objects_with_lens": summary.objects_with_lens,
        "nearest": summary.nearest,
        "near_only": summary.near_only,
    }
    if as_json:
        print_json(counts)
    else:
        print_rows(("what", "count"), counts.items())
        typer.echo(f"pairs in {out}")


def ingest(
    source: Annotated[str, typer.Argument(help="Folder, file, s3://, https:// or hf:// address of survey files.")],
    release: Annotated[str, typer.Option(help="Release that they belong to, such as dr9-south.")],
    config: Annotated[
        Path | None, typer.Option(help="TOML file with a section [ingest], for selection and layout.")
    ] = None,
    first: Annotated[int | None, typer.Option(min=1, help="Take the first so many objects only.")] = None,
    store: StoreOption = DEFAULT_STORE,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
    threads: Annotated[int, typer.Option(min=1, help="Threads.")] = 2,
    as_json: JsonOption = False,
) -> None:
    """Read survey files into a catalogue and images, and name them after the release.

    Example: lenscore ingest /data/dr9/south --release dr9-south --first 10000
    """
    from jobs.launch import choose_runtime, parse_config, read_sections
    from jobs.runner import make_task, run_task
    from lenscore.artifacts import take_name

    section: dict[str, Any] = read_sections(config).get("ingest", {}) if config else {}
    section = {"release": release, **section, "source": source} | ({"first": first} if first else {})
    opened = open_store(store)
    task = make_task("ingest", parse_config("ingest", section), {})
    artifact = run_task(opened, task, choose_runtime("cpu", workers, threads, 4.0, None, default_scratch()))
    name = take_name(opened, release, artifact.reference)
    manifest = artifact.manifest
    rejected = artifact.table("rejected").num_rows if artifact.has_table("rejected") else 0
    if as_json:
        print_json(
            {
                "artifact": str(artifact.reference),
                "release": release,
                "version": name.label,
                "rows": manifest.rows,
                "rejected": rejected,
                "bytes": manifest.bytes,
                "metrics": manifest.metrics,
            }
        )
        return
    typer.echo(f"{artifact.reference}")
    typer.echo(
        f"{release} {name.label}: {manifest.rows} objects, {manifest.bytes / 1e6:.1f} MB, {rejected} rows set aside"
    )
    if rejected:
        reasons = artifact.table("rejected").read(["reason"])["reason"].value_counts().to_pylist()
        for item in sorted(reasons, key=lambda item: -item["counts"])[:10]:
            typer.echo(f"  {item['counts']} x {item['values']}")


def query(
    release: Annotated[str, typer.Argument(help="Release whose objects are searched.")],
    ids: Annotated[list[int] | None, typer.Option("--id", help="ls_id of a query; repeat to combine several.")] = None,
    position: Annotated[
        tuple[float, float] | None, typer.Option(help="Right ascension and declination, in degrees.")
    ] = None,
    image: Annotated[Path | None, typer.Option(help="A FITS cutout from outside, embedded on the spot.")] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Objects to return.")] = 100,
    store: StoreOption = DEFAULT_STORE,
    out: Annotated[Path | None, typer.Option(help="Also write the table here.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Find the objects most similar to one or several queries.

    Example: lenscore query demo-dr1 --position 12.5 -3.25 -k 20
    """
    from lenscore.similarity.release import find_similar

    answer = find_similar(
        open_store(store),
        release,
        ids=tuple(ids or ()),
        positions=(position,) if position else (),
        images=(image,) if image else (),
        k=k,
    )
    for note in answer.notes:
        typer.echo(note, err=True)
    if out is not None:
        from lenscore.candidates.formats import write_catalogue

        write_catalogue(answer.table, out)
    # ls_id exceeds what a JSON number holds exactly, and JSON knows no NaN.
    rows = ({**row, "ls_id": str(row["ls_id"])} for row in answer.table.to_pylist())
    columns = answer.table.column_names
    print_rows(columns, ([None if row[name] != row[name] else row[name] for name in columns] for row in rows), as_json)


@catalogue_app.command("summary")
def summary(
    catalogue: Annotated[
        Path, typer.Argument(help="CSV, TSV, FITS, VOTable or Parquet with ra, dec, mag_z; region, grade.")
    ],
    out: Annotated[Path | None, typer.Option(help="Folder for the sky map and the distributions.")] = None,
    mag_split: Annotated[float, typer.Option(help="Split of the south in mag_z.")] = 20.0,
    as_json: JsonOption = False,
) -> None:
    """Table 1, sky map and distributions of any catalogue with grades and regions.

    Example: lenscore catalogue summary candidates.csv --out figures
    """
    from lenscore.candidates.summary import check_catalogue, table_one
    from lenscore.figures.summary import summary_figures
    from lenscore.survey.tables import read_table

    table = read_table(catalogue)
    drawable, notes = check_catalogue(table, catalogue)
    for note in notes[:MOST_NOTES]:
        typer.echo(note, err=True)
    if len(notes) > MOST_NOTES:
        typer.echo(f"and {len(notes) - MOST_NOTES} more", err=True)
    counts = table_one(table, mag_split)
    print_rows(counts.column_names, (row.values() for row in counts.to_pylist()), as_json)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        for name, data in summary_figures(drawable):
            (out / name).write_bytes(data)
            if not as_json:
                typer.echo(str(out / name))
