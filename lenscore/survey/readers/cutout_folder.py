"""A folder of FITS cutouts, one file an object, with a table or without."""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from lenscore.errors import DamagedError, InputError
from lenscore.survey.columns import find_column, listed
from lenscore.survey.readers.base import Images, Objects, Reader, rejected_table
from lenscore.survey.readers.fits_images import centre, read_cutout
from lenscore.survey.readers.rows import NAME_NAMES, make_rows
from lenscore.survey.readers.sources import Source, SourceFile
from lenscore.survey.release import Release
from lenscore.survey.tables import table_batches

FILE_NAMES = ("file", "filename", "file_name", "path", "image", "cutout", "fits")
IMAGE_ENDINGS = (".fits", ".fits.fz", ".fits.gz", ".fit")
TABLE_ENDINGS = (".csv", ".tsv", ".parquet", ".vot", ".xml", ".txt")
BATCH_FILES = 4096


class CutoutFolderReader(Reader):
    """Reads single-object FITS cutouts.

    Args:
        release: bands, pixel scale and size.
        source: the folder.
        table: path of the table in it; None for the only CSV, TSV, Parquet or VOTable there, or no table at all.
    """

    def __init__(self, release: Release, source: Source, table: str | None = None) -> None:
        super().__init__(release)
        self.source = source
        self.table = table or self._find_table()

    def objects(self) -> Iterator[Objects]:
        """A row a table row whose file is there; without a table, a row a file, at the file's central pixel."""
        files = self._files()
        if not files:
            raise InputError(f"no FITS file in {self.source.address}", "give a folder of FITS cutouts")
        yield from self._listed(self.table, files) if self.table else self._unlisted(files)

    def images(self, rows: pa.Table) -> Images:
        """Each row's file."""
        found = Images.empty(rows.num_rows, self.release)
        for row, item in enumerate(rows.select(["file", "ra", "dec"]).to_pylist()):
            try:
                found.put(
                    row,
                    read_cutout(self.source.local(item["file"]), self.release, item["ra"], item["dec"]),
                    self.release.bands,
                )
            except (InputError, DamagedError) as error:
                found.fail(row, error.what)
        return found

    def listing(self) -> list[SourceFile]:
        """The table and the FITS files."""
        paths = [self.table, *self._files()] if self.table else self._files()
        return [self.source.stat(path) for path in paths]

    def _find_table(self) -> str | None:
        tables = [path for path in self.source.files() if path.endswith(TABLE_ENDINGS) and "/" not in path]
        if len(tables) > 1:
            raise InputError(f"{self.source.address} holds several tables: {listed(tables)}", "name the one to use")
        return tables[0] if tables else None

    def _files(self) -> list[str]:
        return [path for path in self.source.files() if path.endswith(IMAGE_ENDINGS) and path != self.table]

    def _listed(self, table: str, files: list[str]) -> Iterator[Objects]:
        by_name = (
            {PurePosixPath(path).name: path for path in files}
            | {_stem(path): path for path in files}
            | {path: path for path in files}
        )
        start, used = 0, set()
        for piece in table_batches(self.source.local(table)):
            column = find_column(piece.schema.names, (*FILE_NAMES, *NAME_NAMES))
            if column is None:
                raise InputError(
                    f"{table} has no column that names each row's file; found {listed(piece.schema.names)}",
                    "add a column file",
                )
            paths = [by_name.get(str(item).strip(), "") for item in piece.column(column).to_pylist()]
            found = make_rows(piece, self.release, self.facts, table, start)
            yield _with_files(found, paths, start)
            used |= set(paths)
            start += piece.num_rows
        loose = [
            (-1, -1, float("nan"), float("nan"), path, f"no row of {table} names this file")
            for path in files
            if path not in used
        ]
        yield Objects(found.rows.slice(0, 0), rejected_table(loose))

    def _unlisted(self, files: list[str]) -> Iterator[Objects]:
        for start in range(0, len(files), BATCH_FILES):
            good: list[dict[str, Any]] = []
            bad = []
            for path in files[start : start + BATCH_FILES]:
                try:
                    ra, dec = centre(self.source.local(path))
                    good.append({"name": path, "ra": ra, "dec": dec})
                except (InputError, DamagedError) as error:
                    bad.append((-1, -1, float("nan"), float("nan"), path, error.what))
            schema = pa.schema([("name", pa.string()), ("ra", pa.float64()), ("dec", pa.float64())])
            found = make_rows(pa.Table.from_pylist(good, schema=schema), self.release, self.facts, "files", start)
            paths = [item["name"] for item in good]
            located = _with_files(found, paths, start)
            yield Objects(located.rows, pa.concat_tables([located.rejected, rejected_table(bad)]))


def _with_files(found: Objects, paths: list[str], start: int) -> Objects:
    """Put each row's file into `file`, and set aside the rows that have none."""
    mine = [paths[row - start] for row in found.rows.column("position").to_pylist()]
    index = found.rows.schema.get_field_index("file")
    rows = found.rows.set_column(index, "file", pa.array(mine, pa.string()))
    lost = [
        (-1, item["ls_id"], item["ra"], item["dec"], f"row {item['position']}", "its FITS file is not in the folder")
        for item, path in zip(found.rows.select(["ls_id", "ra", "dec", "position"]).to_pylist(), mine, strict=True)
        if not path
    ]
    keep = pa.array([bool(path) for path in mine], pa.bool_())
    return Objects(rows.filter(keep), pa.concat_tables([found.rejected, rejected_table(lost)]))


def _stem(path: str) -> str:
    name = PurePosixPath(path).name
    return next(
        (name[: -len(ending)] for ending in sorted(IMAGE_ENDINGS, key=len, reverse=True) if name.endswith(ending)), name
    )
