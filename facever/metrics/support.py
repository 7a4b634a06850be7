"""Which rates some people support, and what the others would take."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from facever.errors import DataError
from facever.scoring import impostors_needed


@dataclass(frozen=True, slots=True)
class Unsupported:
    """A false accept rate that the pairs don't support, and what it would take.

    Attributes
    ----------
    far : float
    impostors_needed, impostors : int
        Pairs of different people that it takes, and that there are.
    people_needed, people : int or None
        The same of people with as many photographs each; None for a list of pairs.
    genuine : bool
        Whether there are genuine pairs.
    """

    far: float
    impostors_needed: int
    impostors: int
    people_needed: int | None
    people: int | None
    genuine: bool

    def __str__(self) -> str:
        pairs = f"{self.impostors_needed:,} pairs of different people, and there are {self.impostors:,}"
        text = f"FAR {self.far:g} needs {pairs}"
        if self.people_needed:
            text += f" of {self.people:,} people; {self.people_needed:,} people with as many photographs each would do"
        return text if self.genuine else f"{text}; it needs genuine pairs too, and there are none"


def explained(unsupported: Sequence[Unsupported]) -> list[str]:
    """Up to two lines: the rate of the smallest need in full, the others in short."""
    if not unsupported:
        return []
    first, *others = sorted(unsupported, key=lambda each: -each.far)
    shorts = []
    for each in others:
        people = f" ({each.people_needed:,} people)" if each.people_needed else ""
        shorts.append(f"FAR {each.far:g} needs {each.impostors_needed:,} pairs{people}")
    return [str(first), *([", ".join(shorts)] if shorts else [])]


def refusal(what: object, unsupported: Sequence[Unsupported]) -> DataError:
    """The error for rates that the pairs don't support; its note is the second line."""
    first, *others = explained(unsupported)
    error = DataError(f"{what}: {first}; add people and photographs")
    for line in others:
        error.add_note(line)
    return error


def unsupported_at(far: float, genuine: int, impostors: int, people: int | None) -> Unsupported:
    needed, more = impostors_needed(far), None
    if people and impostors:  # pairs grow with the square of the people
        more = math.ceil(people * math.sqrt(max(1.0, needed / impostors)))
    return Unsupported(far, needed, impostors, more, people, genuine > 0)
