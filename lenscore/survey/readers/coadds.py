"""Brick coadds with sweep, Tractor or HATS tables: each object is cut out at its position.

An image is never resampled. The pixel that holds the object becomes pixel S // 2 of the cutout, so the object lies
within half a pixel of that pixel's centre, in all bands alike. Pixels beyond a brick's edge are taken from the brick
that owns that part of the sky: the neighbour's pixel nearest to each missing one, which is exact where the bricks
share a grid and off by half a pixel at most where they do not. What neither holds makes the image invalid.
"""

import itertools
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lenscore.errors import DamagedError, InputError, NotFoundError
from lenscore.survey.bricks import brick_at, brick_name
from lenscore.survey.columns import find_column, find_position_columns
from lenscore.survey.readers.base import Images, Objects, Reader, wrong_scale
from lenscore.survey.readers.fits_images import celestial, nearest_pixel, read_units, scale_arcsec, sky_to_pixel
from lenscore.survey.readers.rows import Z_PHOT_NAMES, Names, make_rows, sort_by_brick
from lenscore.survey.readers.sources import Source, SourceFile, of_region
from lenscore.survey.release import Release
from lenscore.survey.tables import table_batches

TABLE_ROWS = 262_144
OPEN_BRICKS = 4
"""Bricks kept in memory, as many as meet at a corner: 0.2 GB each for three bands of 3600 x 3600 px."""

FOLDERS = ("coadd/{pre}/{brick}/", "{pre}/{brick}/", "{brick}/", "")
ENDINGS = (".fits.fz", ".fits")
TABLE_ENDINGS = (".fits", ".fits.gz", ".parquet", ".csv", ".tsv", ".vot", ".xml")
TABLE_FOLDERS = ("sweep", "tractor")
TABLE_NAME = re.compile(r"(sweep-\d{3}[pm]\d{3}-\d{3}[pm]\d{3}|tractor-\d{4}[pm]\d{3})\.fits(\.gz)?$")


@dataclass(frozen=True)
class Brick:
    """A brick's images: fluxes (C, H, W), where they were exposed (C, H, W), and the WCS that they share."""

    images_chw: NDArray[np.float32]
    exposed_chw: NDArray[np.bool_]
    wcs: Any


class CoaddReader(Reader):
    """Reads brick coadds.

    Args:
        release: bands, pixel scale and region.
        source: where the coadds lie, as the survey lays them out or all in one folder.
        tables: where the tables lie; None for the same source.
        table_paths: the tables; () for all of sweep/ (or tractor/), else every table there is.
        damaged: what to do when a fetched image fails its published checksum.
        max_unexposed: largest fraction of a band's pixels, in the central field, that may be without exposure.
    """

    needs_type = True

    def __init__(
        self,
        release: Release,
        source: Source,
        tables: Source | None = None,
        table_paths: Sequence[str] = (),
        damaged: Literal["stop", "set aside"] = "stop",
        max_unexposed: float = 0.5,
    ) -> None:
        super().__init__(release)
        self.source, self.tables = source, tables or source
        self.damaged, self.max_unexposed = damaged, max_unexposed
        self._table_paths = tuple(table_paths)
        self._folder: str | None = None
        self._open: OrderedDict[str, Brick | str] = OrderedDict()

    def table_paths(self) -> list[str]:
        """The tables that list the objects."""
        if self._table_paths:
            return list(self._table_paths)
        found: list[str] = []
        for folder in (*TABLE_FOLDERS, *(f"{self.release.region}/{folder}" for folder in TABLE_FOLDERS)):
            found = found or _newest(path for path in self.tables.files(folder) if TABLE_NAME.search(path))
        found = found or [path for path in self.tables.files() if _is_table(path)]
        if not found:
            raise InputError(
                f"no table of objects in {self.tables.address}", "put sweep, Tractor or HATS tables there, or name them"
            )
        return of_region(found, self.release.region)

    def objects(self) -> Iterator[Objects]:
        """Rows of the tables, ordered by brick within each piece of a table."""
        for path in self.table_paths():
            start = 0
            for piece, brick_column in self._pieces(path):
                found = make_rows(piece, self.release, self.facts, path, start)
                yield Objects(sort_by_brick(_with_brick(found.rows, piece, brick_column, start)), found.rejected)
                start += piece.num_rows

    def _pieces(self, path: str) -> Iterator[tuple[pa.Table, str | None]]:
        """Pieces of a table with the columns that are needed, and its column of brick names."""
        table = self.tables.local(path)
        found_names = next(table_batches(table, 1)).schema.names
        find_position_columns(found_names, where=path)
        names = Names.find(found_names, self.release)
        brick_column = find_column(found_names, ("brickname",))
        columns = [*names.used, *([brick_column] if brick_column else [])]
        pieces = table_batches(table, TABLE_ROWS, columns)
        redshifts = self._redshifts(path) if names.columns["z_phot"] is None else None
        if redshifts is None:
            yield from ((piece, brick_column) for piece in pieces)
            return
        for piece, z_phot in itertools.zip_longest(pieces, redshifts):
            if piece is None or z_phot is None or piece.num_rows != z_phot.num_rows:
                raise InputError(f"{path} and its table of redshifts differ in length", "fetch both again")
            yield piece.append_column("z_phot", z_phot.column(0)), brick_column

    def _redshift_path(self, path: str) -> str | None:
        folder, _, name = path.rpartition("/")
        beside = f"{folder}-photo-z/{name.removesuffix('.fits')}-pz.fits"
        return beside if name.startswith("sweep-") and self.tables.exists(beside) else None

    def _redshifts(self, path: str) -> Iterator[pa.Table] | None:
        """Photometric redshifts of a sweep file, row for row: sweep/9.0-photo-z/sweep-...-pz.fits."""
        beside = self._redshift_path(path)
        if beside is None:
            return None
        file = self.tables.local(beside)
        column = find_column(next(table_batches(file, 1)).schema.names, Z_PHOT_NAMES)
        return table_batches(file, TABLE_ROWS, [column]) if column else None

    def images(self, rows: pa.Table) -> Images:
        """Cutouts of the rows; a brick is opened once for all of its rows."""
        found = Images.empty(rows.num_rows, self.release)
        bricks = np.array(rows.column("file").to_pylist(), dtype=object)
        ra, dec = rows.column("ra").to_numpy(), rows.column("dec").to_numpy()
        for name in dict.fromkeys(bricks):
            chosen = np.flatnonzero(bricks == name)
            brick = self._brick(name)
            if isinstance(brick, str):
                for row in chosen:
                    found.fail(int(row), brick)
                continue
            x, y = sky_to_pixel(brick.wcs, ra[chosen], dec[chosen])
            for row, column, line in zip(chosen, nearest_pixel(x), nearest_pixel(y), strict=True):
                self._cut(found, int(row), name, brick, int(column), int(line))
        return found

    def listing(self) -> list[SourceFile]:
        """The tables, and the images: by the survey's checksum files where it has them, else each image."""
        tables = [self.tables.stat(path) for path in self.table_paths()]
        redshifts = [self._redshift_path(path) for path in self.table_paths()]
        tables += [self.tables.stat(path) for path in redshifts if path]
        if self.source.published:
            return tables  # a published release does not change; each image is checked when it is read
        files = self.source.files()
        sums = [path for path in files if "brick-" in path and path.endswith(".sha256sum")]
        images = sums or [path for path in files if "legacysurvey-" in path and path.endswith(ENDINGS)]
        return tables + [self.source.stat(path) for path in of_region(images, self.release.region)]

    def _cut(self, found: Images, row: int, name: str, brick: Brick, column: int, line: int) -> None:
        size = self.release.stored_px
        x0, y0 = column - size // 2, line - size // 2
        height, width = brick.images_chw.shape[1:]
        if not (-size < x0 < width and -size < y0 < height):
            found.fail(row, f"its position is outside the images of brick {name}")
            return
        image, exposed, missing = _window(brick, x0, y0, size)
        if missing.any():
            self._complete(name, brick, image, exposed, missing, x0, y0)
        if missing.any():
            found.fail(
                row,
                f"{int(missing.sum())} of {size * size} pixels lie beyond brick {name}, whose neighbour there is missing",
            )
            return
        reason = self._unexposed(exposed)
        if reason:
            found.fail(row, reason)
            return
        found.put(row, image, self.release.bands)

    def _complete(
        self,
        name: str,
        brick: Brick,
        image: NDArray[Any],
        exposed: NDArray[Any],
        missing: NDArray[np.bool_],
        x0: int,
        y0: int,
    ) -> None:
        """Fill missing pixels from the bricks that own them; `missing` keeps what none has."""
        lines, columns = np.nonzero(missing)
        ra, dec = brick.wcs.wcs_pix2world(columns + x0, lines + y0, 0)
        owners = np.array([brick_name(int(number)) for number in brick_at(ra, dec)], dtype=object)
        for owner in sorted(set(owners) - {name}):
            neighbour = self._brick(owner)
            if isinstance(neighbour, str):
                continue
            chosen = owners == owner
            x, y = (nearest_pixel(axis) for axis in sky_to_pixel(neighbour.wcs, ra[chosen], dec[chosen]))
            inside = (x >= 0) & (y >= 0) & (y < neighbour.images_chw.shape[1]) & (x < neighbour.images_chw.shape[2])
            to = lines[chosen][inside], columns[chosen][inside]
            image[:, to[0], to[1]] = neighbour.images_chw[:, y[inside], x[inside]]
            exposed[:, to[0], to[1]] = neighbour.exposed_chw[:, y[inside], x[inside]]
            missing[to] = False

    def _unexposed(self, exposed: NDArray[np.bool_]) -> str:
        size, field = self.release.stored_px, self.release.network_px
        edge = size // 2 - field // 2
        part = 1.0 - exposed[:, edge : edge + field, edge : edge + field].mean(axis=(1, 2))
        worst = int(np.argmax(part))
        if part[worst] <= self.max_unexposed:
            return ""
        return f"band {self.release.bands[worst]}: {part[worst]:.0%} of the field was never exposed (inverse variance is 0)"

    def _brick(self, name: str) -> Brick | str:
        """A brick's images, or why they cannot be used."""
        if name not in self._open:
            while len(self._open) >= OPEN_BRICKS:
                self._open.popitem(last=False)
            self._open[name] = self._read_brick(name)
        self._open.move_to_end(name)
        return self._open[name]

    def _read_brick(self, name: str) -> Brick | str:
        images: list[NDArray[np.float32]] = []
        exposed: list[NDArray[np.bool_]] = []
        wcs = None
        for band in self.release.bands:
            try:
                path = self._path(name, "image", band)
                if path is None:
                    return f"band {band} of brick {name} is missing"
                unit = read_units(self.source.local(path))[0]
                weights = self._path(name, "invvar", band)
                weight = (
                    read_units(self.source.local(weights))[0].pixels_hw if weights else np.ones_like(unit.pixels_hw)
                )
            except (InputError, NotFoundError) as error:
                return f"brick {name}, band {band}: {error.what}"
            except DamagedError as error:
                if self.damaged == "stop":
                    raise
                return f"brick {name}, band {band}: {error.what}"
            problem = _brick_problem(unit, weight.shape, images, self.release)
            if problem:
                return f"brick {name}, band {band}: {problem}"
            images.append(unit.pixels_hw)
            exposed.append(weight > 0)
            wcs = wcs or celestial(unit.header)
        return Brick(np.stack(images), np.stack(exposed), wcs)

    def _path(self, brick: str, what: str, band: str) -> str | None:
        """Where an image lies: the folder that held the last one is tried first."""
        folders = [f"{region}{folder}" for region in ("", f"{self.release.region}/") for folder in FOLDERS]
        if self._folder is not None:
            # an archive keeps one layout, and each guess would be a request
            others = () if self.source.published else (folder for folder in folders if folder != self._folder)
            folders = [self._folder, *others]
        for folder in folders:
            for ending in ENDINGS:
                path = f"{folder.format(pre=brick[:3], brick=brick)}legacysurvey-{brick}-{what}-{band}{ending}"
                if self.source.exists(path):
                    self._folder = folder
                    return path
        return None


def _window(
    brick: Brick, x0: int, y0: int, size: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]:
    """Cut a square out of a brick: image (C, S, S), exposure (C, S, S), and the pixels that lie beyond it (S, S)."""
    bands, height, width = brick.images_chw.shape
    image = np.zeros((bands, size, size), dtype=np.float32)
    exposed = np.zeros((bands, size, size), dtype=bool)
    missing = np.ones((size, size), dtype=bool)
    low_x, low_y, high_x, high_y = max(x0, 0), max(y0, 0), min(x0 + size, width), min(y0 + size, height)
    to = slice(low_y - y0, high_y - y0), slice(low_x - x0, high_x - x0)
    image[:, *to] = brick.images_chw[:, low_y:high_y, low_x:high_x]
    exposed[:, *to] = brick.exposed_chw[:, low_y:high_y, low_x:high_x]
    missing[to] = False
    return image, exposed, missing


def _newest(paths: Iterable[str]) -> list[str]:
    """Of tables that occur in several versions (sweep/9.0, sweep/9.1) the last."""
    return sorted({path.rpartition("/")[2]: path for path in sorted(paths)}.values())


def _is_table(path: str) -> bool:
    name = path.rpartition("/")[2]
    return path.endswith(TABLE_ENDINGS) and not name.startswith(("legacysurvey-", "_", "."))


def _with_brick(rows: pa.Table, piece: pa.Table, column: str | None, start: int) -> pa.Table:
    """Put each object's brick into `file`: the table's BRICKNAME, else of its BRICKID, else of its position."""
    position = rows.column("position").to_numpy()
    if column:
        given = piece.column(column).to_pylist()
        names = [str(given[row - start]).strip() for row in position]
    else:
        known, at = (
            rows.column("brickid").to_numpy(),
            brick_at(rows.column("ra").to_numpy(), rows.column("dec").to_numpy()),
        )
        survey = rows.column("release").to_numpy() > 0
        names = [brick_name(int(number)) for number in np.where(survey & (known > 0), known, at)]
    return rows.set_column(rows.schema.get_field_index("file"), "file", pa.array(names, pa.string()))


def _brick_problem(unit: Any, weight_shape: tuple[int, ...], images: Sequence[Any], release: Release) -> str:
    if celestial(unit.header) is None:
        return "the image has no WCS"
    shape = unit.pixels_hw.shape
    if weight_shape != shape or (images and images[0].shape != shape):
        return f"its shape {shape} differs from that of its inverse variance or of another band"
    return wrong_scale(scale_arcsec(unit.header), release)
