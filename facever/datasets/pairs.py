"""Pairs of photographs, and the anomalies in a list of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from facever.faces.sources import Source


@dataclass(frozen=True, slots=True)
class Pair:
    """Two photographs, whether they show the same person, and the fold (from 0) that the pair belongs to.

    `identity_a` and `identity_b` name the people, if the list does; `group` is a label for figures by group.
    """

    path_a: Source
    path_b: Source
    same: bool
    fold: int
    identity_a: str | None = None
    identity_b: str | None = None
    group: str | None = None


def photographs(pairs: Iterable[Pair]) -> list[Source]:
    """Return the photographs of some pairs, each once, in the order of their first use.

    Parameters
    ----------
    pairs : iterable of Pair

    Returns
    -------
    list of Path or ImageBytes
    """
    return list(dict.fromkeys(path for pair in pairs for path in (pair.path_a, pair.path_b)))


@dataclass(frozen=True, slots=True)
class PairList:
    """Pairs, notes on anomalies of the list, a sentence each, and the list's file."""

    pairs: list[Pair]
    notes: list[str] = field(default_factory=list)
    source: str = "the list"


def noted(pairs: list[Pair], source: str | Path = "the list") -> PairList:
    """The list with a note on each kind of anomaly: how often it occurs, and the first case. All pairs stay."""
    found = {
        "pairs are listed more than once": _repeated(pairs),
        "pairs are listed as the same and as different people": _contradictory(pairs),
        "pairs are of a photograph with itself": [_name(p) for p in pairs if p.path_a == p.path_b],
        "pairs contradict the names of their people": [
            _name(p) for p in pairs if p.identity_a and p.identity_b and p.same != (p.identity_a == p.identity_b)
        ],
        "people are in more than one fold, so thresholds are chosen on people they are tested on": _leaking(pairs),
        "folds hold pairs of one kind only": _of_one_kind(pairs),
        "pairs have no group and count for none": _without_group(pairs),
    }
    return PairList(
        pairs, [f"{len(each)} {what}; the first: {each[0]}" for what, each in found.items() if each], str(source)
    )


def with_people_of_genuine_pairs(pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs with the people that genuine pairs connect: photographs of one person, over any number of pairs.

    A photograph without a genuine pair is a person of its own.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    row = {path: i for i, path in enumerate(photographs(pairs))}
    ends = [(row[pair.path_a], row[pair.path_b]) for pair in pairs if pair.same]
    a, b = np.array(ends, np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(ends)), (a, b)), shape=(len(row), len(row)))
    person = connected_components(graph, directed=False)[1]
    return [
        replace(pair, identity_a=f"person {person[row[pair.path_a]]}", identity_b=f"person {person[row[pair.path_b]]}")
        for pair in pairs
    ]


def _name(pair: Pair) -> str:
    return f"{pair.path_a} and {pair.path_b}"


def _repeated(pairs: Sequence[Pair]) -> list[str]:
    seen: set[frozenset[Source]] = set()
    repeated = []
    for pair in pairs:
        key = frozenset((pair.path_a, pair.path_b))
        if key in seen:
            repeated.append(_name(pair))
        seen.add(key)
    return repeated


def _contradictory(pairs: Sequence[Pair]) -> list[str]:
    """Each pair that is listed as both kinds, once."""
    answers: dict[frozenset[Source], bool] = {}
    contradictory: dict[frozenset[Source], str] = {}
    for pair in pairs:
        key = frozenset((pair.path_a, pair.path_b))
        if answers.setdefault(key, pair.same) != pair.same:
            contradictory.setdefault(key, _name(pair))
    return list(contradictory.values())


def _leaking(pairs: Sequence[Pair]) -> list[str]:
    folds: dict[str, set[int]] = {}
    for pair in pairs:
        for person in (pair.identity_a, pair.identity_b):
            if person:
                folds.setdefault(person, set()).add(pair.fold)
    return [person for person, found in folds.items() if len(found) > 1]


def _of_one_kind(pairs: Sequence[Pair]) -> list[str]:
    kinds: dict[int, set[bool]] = {}
    for pair in pairs:
        kinds.setdefault(pair.fold, set()).add(pair.same)
    words = {True: "the same person", False: "different people"}
    return [f"fold {fold}, of {words[next(iter(of))]}" for fold, of in sorted(kinds.items()) if len(of) == 1]


def _without_group(pairs: Sequence[Pair]) -> list[str]:
    """Where others have one."""
    without = [_name(pair) for pair in pairs if not pair.group]
    return without if len(without) < len(pairs) else []
