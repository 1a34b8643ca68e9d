"""Who trains, who chooses, who is left untouched: splits by sky group, and nested draws of nonlenses."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from lenscore.classify.settings import SplitConfig
from lenscore.errors import InputError

PARTS = ("train", "validation", "test")
Ints = NDArray[np.int64]
Block = tuple[int, Ints, NDArray[np.bool_]]
"""First row, ls_id (n,) and valid (n,) of consecutive objects."""


@dataclass(frozen=True)
class LabelRows:
    """The rows that are not plain nonlenses.

    Args:
        row: row in the catalogue (L,) int64.
        ls_id: identity (L,) int64.
        ra: right ascension [deg] (L,).
        dec: declination [deg] (L,).
        is_lens: lens, rather than near or ambiguous (L,) bool.
        system: number of the system, -1 if none (L,).
    """

    row: Ints
    ls_id: Ints
    ra: NDArray[np.float64]
    dec: NDArray[np.float64]
    is_lens: NDArray[np.bool_]
    system: Ints


@dataclass(frozen=True)
class Part:
    """One part of the labelled data.

    Args:
        lenses: rows of its lenses, rising (L,).
        nonlenses: rows of its nonlenses in the order they are drawn (M,): the first r L of them are the 1:r set.
        groups: sky group of each lens (L,).
    """

    lenses: Ints
    nonlenses: Ints
    groups: Ints

    @property
    def rows(self) -> Ints:
        """All rows, lenses first."""
        return np.concatenate([self.lenses, self.nonlenses])

    @property
    def is_lens(self) -> NDArray[np.bool_]:
        """Class of each of `rows`."""
        return np.arange(len(self.lenses) + len(self.nonlenses)) < len(self.lenses)

    def fits(self, ratio: int) -> bool:
        """Whether there are nonlenses enough for a 1:ratio set."""
        return ratio * len(self.lenses) <= len(self.nonlenses)


@dataclass(frozen=True)
class Splits:
    """The three parts and the size of what they were taken from.

    Args:
        parts: by name: train, validation, test.
        valid_rows: objects with a valid embedding.
        labelled_lenses: lenses among them.
        seed: of the draws.
    """

    parts: dict[str, Part]
    valid_rows: int
    labelled_lenses: int
    seed: int

    @property
    def train(self) -> Part:
        """What the weights are fitted to."""
        return self.parts["train"]

    @property
    def validation(self) -> Part:
        """What settings and iterate are chosen on."""
        return self.parts["validation"]

    @property
    def test(self) -> Part:
        """What nothing is chosen on."""
        return self.parts["test"]


def hashed(ids: Ints, seed: int, purpose: int) -> NDArray[np.uint64]:
    """Random numbers that depend on an identity alone, not on order or number of rows (splitmix64).

    Args:
        ids: identities (N,).
        seed: of the draw.
        purpose: keeps draws for different ends independent.

    Returns:
        (N,) uint64.
    """
    start = np.uint64((seed * 0x9E3779B97F4A7C15 + purpose * 0xD1B54A32D192ED03 + 0x632BE59BD9B4E019) % 2**64)
    mixed = ids.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + start
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))


def sky_groups(
    ra: NDArray[np.float64], dec: NDArray[np.float64], link_arcsec: float, system: Ints | None = None
) -> Ints:
    """Friends of friends on the sphere.

    Args:
        ra: right ascension [deg] (N,).
        dec: declination [deg] (N,).
        link_arcsec: two closer than this are friends.
        system: objects of one system (>= 0) are friends as well (N,).

    Returns:
        Group number of each object (N,).
    """
    if not len(ra):
        return np.zeros(0, np.int64)
    lon, lat = np.radians(ra), np.radians(dec)
    positions = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)
    chord = 2 * np.sin(np.radians(link_arcsec / 3600) / 2)
    pairs = [cKDTree(positions).query_pairs(chord, output_type="ndarray")]
    if system is not None:
        order = np.argsort(system, kind="stable")
        same = (system[order[1:]] == system[order[:-1]]) & (system[order[1:]] >= 0)
        pairs.append(np.stack([order[:-1][same], order[1:][same]], axis=1))
    first, second = np.concatenate(pairs).T
    graph = coo_array((np.ones(len(first)), (first, second)), shape=(len(ra), len(ra)))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def split_groups(group: Ints, ls_id: Ints, config: SplitConfig) -> NDArray[np.int8]:
    """Deal whole groups to the parts until each has its share.

    Args:
        group: group of each lens (N,).
        ls_id: identity of each lens (N,).
        config: shares and seed.

    Returns:
        Number of the part (as in PARTS) of each lens (N,).
    """
    key = np.full(group.max(initial=-1) + 1, np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(key, group, hashed(ls_id, config.seed, 1))
    sizes = np.bincount(group, minlength=len(key))
    order = np.argsort(key, kind="stable")
    middle = np.empty(len(key))
    middle[order] = np.cumsum(sizes[order]) - sizes[order] / 2
    shares = np.cumsum([config.train, config.validation]) * len(group)
    return np.searchsorted(shares, middle, side="right").astype(np.int8)[group]


def draw_splits(labels: LabelRows, objects: Iterable[Block], config: SplitConfig, shared: bool = False) -> Splits:
    """Divide a release's objects; one pass, memory in proportion to what is drawn.

    Nonlenses go to a part, and are drawn within it, by a hash of their identity: so sets are nested, and the draw of
    one object does not depend on which others there are.

    Args:
        labels: rows that are not plain nonlenses.
        objects: blocks (first row, ls_id (n,), valid (n,)) in order.
        config: shares, ratios, seed.
        shared: training and validation both get the lenses of both, for cross-validation; their nonlenses stay apart.

    Returns:
        The parts.

    Raises:
        InputError: a part has no lens or no nonlens.
    """
    lens = np.flatnonzero(labels.is_lens)
    listed = np.sort(labels.row)
    group = sky_groups(labels.ra[lens], labels.dec[lens], config.link_arcsec, labels.system[lens])
    part = split_groups(group, labels.ls_id[lens], config)
    wanted = [max(config.ratios), config.validation_ratio, config.validation_ratio]
    members = [part <= 1, part <= 1, part == 2] if shared else [part == number for number in range(3)]
    draws = [_Smallest(ratio * int(np.sum(member))) for ratio, member in zip(wanted, members, strict=True)]
    edges = (np.cumsum([config.train, config.validation]) * 2.0**64).astype(np.uint64)
    valid_rows, valid_lenses = 0, []
    for start, ls_id, valid in objects:
        rows = start + np.flatnonzero(valid)
        valid_rows += len(rows)
        special = _among(rows, listed)
        valid_lenses.append(rows[special])
        rows, ids = rows[~special], ls_id[rows[~special] - start]
        side = np.searchsorted(edges, hashed(ids, config.seed, 2), side="right")
        for number, draw in enumerate(draws):
            draw.offer(rows[side == number], hashed(ids[side == number], config.seed, 3))
    usable = _among(labels.row[lens], np.sort(np.concatenate([*valid_lenses, np.zeros(0, np.int64)])))
    parts = {}
    for number, name in enumerate(PARTS):
        lenses, groups = _rising(labels.row[lens], group, usable & members[number])
        parts[name] = Part(lenses, draws[number].rows()[: wanted[number] * len(lenses)], groups)
    _check(parts)
    return Splits(parts, valid_rows, int(usable.sum()), config.seed)


def ratios_that_fit(part: Part, ratios: Sequence[int]) -> tuple[list[int], list[int]]:
    """Which nested sets the data allows.

    Args:
        part: the training part.
        ratios: nonlenses for each lens.

    Returns:
        (those that fit, those that do not).

    Raises:
        InputError: none fits.
    """
    fitting = [ratio for ratio in ratios if part.fits(ratio)]
    if not fitting:
        raise InputError(
            f"{len(part.nonlenses)} nonlenses do not make a 1:{min(ratios)} set of {len(part.lenses)} lenses",
            "add objects or ask for smaller ratios",
        )
    return fitting, [ratio for ratio in ratios if not part.fits(ratio)]


@dataclass
class _Smallest:
    """The rows with the smallest keys of all that were offered, in the order of their keys."""

    count: int
    kept: list[tuple[Ints, NDArray[np.uint64]]] = field(default_factory=list)
    waiting: int = 0

    def offer(self, rows: Ints, keys: NDArray[np.uint64]) -> None:
        self.kept.append((rows, keys))
        self.waiting += len(rows)
        if self.waiting > 2 * self.count + 65_536:
            self._prune()

    def rows(self) -> Ints:
        self._prune()
        return self.kept[0][0]

    def _prune(self) -> None:
        rows = np.concatenate([np.zeros(0, np.int64), *(row for row, _ in self.kept)])
        keys = np.concatenate([np.zeros(0, np.uint64), *(key for _, key in self.kept)])
        order = np.lexsort((rows, keys))[: self.count]
        self.kept = [(rows[order], keys[order])]
        self.waiting = len(order)


def deal_folds(groups: Ints, folds: int, seed: int) -> Ints:
    """Deal whole sky groups to folds of about equal numbers of lenses.

    Args:
        groups: sky group of each lens (L,).
        folds: how many.
        seed: of the order.

    Returns:
        Fold of each lens (L,).

    Raises:
        InputError: there are fewer groups than folds.
    """
    names, sizes = np.unique(groups, return_counts=True)
    if len(names) < folds:
        raise InputError(
            f"{len(names)} groups of lenses cannot fill {folds} folds", "label more lenses or ask for fewer folds"
        )
    order = np.random.default_rng([seed, folds]).permutation(len(names))
    fold_of, filled = np.zeros(len(names), np.int64), np.zeros(folds, np.int64)
    for place in order:
        fold_of[place] = filled.argmin()
        filled[fold_of[place]] += sizes[place]
    return fold_of[np.searchsorted(names, groups)]


def _rising(rows: Ints, groups: Ints, keep: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    order = np.argsort(rows[keep], kind="stable")
    return rows[keep][order], groups[keep][order]


def _among(rows: Ints, of_sorted: Ints) -> NDArray[np.bool_]:
    if not len(of_sorted):
        return np.zeros(len(rows), bool)
    place = np.minimum(np.searchsorted(of_sorted, rows), len(of_sorted) - 1)
    return of_sorted[place] == rows


def _check(parts: dict[str, Part]) -> None:
    for name, part in parts.items():
        for what, rows in (("lens", part.lenses), ("nonlens", part.nonlenses)):
            if not len(rows):
                raise InputError(
                    f"the {name} part has no {what}", "label more lenses, or give this part a larger share"
                )
