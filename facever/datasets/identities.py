"""Identity folders: one folder per person, photographs inside."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from facever.errors import DataError, reading
from facever.faces.folders import HIDDEN, OTHER_SUFFIX, ignored_note, is_photograph, is_undecodable, passed_over_note

OUTSIDE, WITHIN = "photographs outside a person's folder", "folders within a person's"
# Families in the Wild: F is the family, MID the member. Relatives look similar, so a split keeps them together.
_FAMILY = re.compile(r"^(?P<family>.*F\d+)_MID\d+$")


@dataclass(frozen=True, slots=True)
class IdentityFolder:
    """The photographs of a data set, `paths[i]` showing `identities[i]`, sorted by identity and name.

    `singletons` counts identities left out because they had fewer photographs than were asked for; `passed_over` lists
    photographs in a format that can't be decoded here, `ignored` counts what else is there, by reason.
    """

    root: Path
    paths: list[Path]
    identities: list[str]
    singletons: int = 0
    passed_over: list[Path] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter, compare=False)

    def notes(self) -> list[str]:
        """Sentences on what else is in the folder."""
        return [note for note in (passed_over_note(self.passed_over), ignored_note(self.ignored)) if note]


def read_identities(root: Path, least: int = 1, only: str = "*", dropped: Collection[str] = ()) -> IdentityFolder:
    """The photographs of every identity folder in `root`.

    Parameters
    ----------
    least : int
        Identities with fewer photographs are left out and counted.
    only : str
        A shell pattern that an identity's name must match.
    dropped : collection of str
        Identities ("kin_F0001_MID1") and photographs ("kin_F0001_MID1/001.jpg") to leave out.

    Raises
    ------
    DataError
        If there is no such folder, or no photographs in folders below it.
    """
    if not root.exists():
        raise DataError(f"{root}: no such folder; name a folder that holds one folder of photographs per person")
    if not root.is_dir():
        raise DataError(f"{root}: a file; name a folder that holds one folder of photographs per person")
    root = _unnested(root)
    paths: list[Path] = []
    identities: list[str] = []
    passed_over: list[Path] = []
    singletons = 0
    try:
        entries = list(root.iterdir())
        folders = sorted(entry for entry in entries if entry.is_dir() and not entry.name.startswith("."))
        ignored = Counter({OUTSIDE: sum(is_photograph(entry) and entry.is_file() for entry in entries)})
        for folder in folders:
            if not fnmatchcase(folder.name, only) or folder.name in dropped:
                continue
            files = [p for p in folder.iterdir() if f"{folder.name}/{p.name}" not in dropped]
            own = sorted(p for p in files if is_photograph(p) and p.is_file())
            passed_over += [p for p in files if is_undecodable(p)]
            others = [p for p in files if not is_photograph(p) and not is_undecodable(p)]
            ignored[HIDDEN] += sum(p.name.startswith(".") for p in others)
            ignored[WITHIN] += sum(p.is_dir() and not p.name.startswith(".") for p in others)
            ignored[OTHER_SUFFIX] += sum(not p.is_dir() and not p.name.startswith(".") for p in others)
            if own and len(own) < least:
                singletons += 1
                continue
            paths += own
            identities += [folder.name] * len(own)
    except OSError as error:
        raise DataError(f"{error.filename or root}: can't be read ({error.strerror}); check its permissions") from error
    if not paths:
        wanted = f" that match {only!r}" if only != "*" else ""
        note = passed_over_note(passed_over)
        note = f" ({note})" if note else ""
        detail = f" ({singletons} with fewer than {least} photographs were left out)" if singletons else ""
        raise DataError(
            f"{root}: no folders of photographs{wanted} in it{detail}; it needs one folder per person{note}"
        )
    return IdentityFolder(root, paths, identities, singletons, sorted(passed_over), +ignored)


def _unnested(root: Path) -> Path:
    """The folder within where an archive was unpacked into one of its name: lfw-deepfunneled/lfw-deepfunneled."""
    within = root / root.resolve().name
    with contextlib.suppress(OSError):
        shown = [entry for entry in root.iterdir() if not entry.name.startswith(".")]
        if shown == [within] and any(entry.is_dir() for entry in within.iterdir()):
            return within
    return root


def read_dropped(file: Path) -> list[str]:
    """The identities and photographs in a list, one per line; "#" starts a comment.

    Raises
    ------
    DataError
        If it can't be read.
    """
    with reading(file, "use UTF-8", what="can't be read as a list of names, one per line"):
        lines = file.read_text(encoding="utf-8").splitlines()
    names = (line.partition("#")[0].strip().rstrip("/") for line in lines)
    return sorted({name for name in names if name})


def group_of(identity: str) -> str:
    """What a split keeps together: the family, where the name gives it, else the identity.

    Examples
    --------
    >>> group_of("fiw_F0012_MID3"), group_of("George_W_Bush")
    ('fiw_F0012', 'George_W_Bush')
    """
    match = _FAMILY.match(identity)
    return match["family"] if match else identity


def split_identities(identities: Iterable[str], share: float, seed: int = 0) -> tuple[list[str], list[str]]:
    """(training, held out): whole groups of identities, by a hash of their names.

    Whether a group is held out does not depend on the others, so adding people moves nobody. Of four groups or more,
    at least two are held out: impostor pairs need two.

    Parameters
    ----------
    share : float in [0, 1)
        Approximate fraction of the groups to hold out; 0 holds out none.

    Examples
    --------
    >>> split_identities([f"person_{i}" for i in range(6)], share=0.3)
    (['person_0', 'person_3', 'person_4', 'person_5'], ['person_1', 'person_2'])
    """
    if not 0 <= share < 1:
        raise ValueError(f"the fraction held out is in [0, 1), not {share}")
    names = sorted(set(identities))
    fractions = {group: _fraction(f"{seed}:{group}") for group in map(group_of, names)}
    held_out = {group for group, fraction in fractions.items() if fraction < share}
    if share and len(held_out) < 2 and len(fractions) >= 4:
        held_out = set(sorted(fractions, key=fractions.__getitem__)[:2])
    training = [name for name in names if group_of(name) not in held_out]
    return training, [name for name in names if group_of(name) in held_out]


def _fraction(text: str) -> float:
    """A number in [0, 1) that depends on the text only, on every machine."""
    return int.from_bytes(hashlib.sha256(os.fsencode(text)).digest()[:8], "big") / 2**64


def matching(identities: Iterable[str], pattern: str) -> list[str]:
    """The names that match a shell pattern, each once, sorted.

    Examples
    --------
    >>> matching(["celeba_2", "fiw_1", "celeba_1"], "celeba_*")
    ['celeba_1', 'celeba_2']
    """
    return sorted(name for name in set(identities) if fnmatchcase(name, pattern))


def labels_of(identities: Sequence[str]) -> tuple[list[int], list[str]]:
    """(label of each identity, name of each label); labels are in the order of the names.

    Examples
    --------
    >>> labels_of(["Eve", "Ann", "Eve"])
    ([1, 0, 1], ['Ann', 'Eve'])
    """
    names = sorted(set(identities))
    index = {name: i for i, name in enumerate(names)}
    return [index[name] for name in identities], names
