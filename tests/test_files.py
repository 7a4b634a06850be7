"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from facever.caches import private_folder
from facever.errors import OutputError
from facever.files import (
    Kind,
    _sweep,
    atomic_write,
    check_output,
    check_output_folder,
    is_url,
    sha256_of,
    write_bytes,
    write_json,
)

resource = pytest.importorskip("resource")  # POSIX

not_as_root = pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    """No file may grow beyond 1000 bytes; the system refuses as it does on a full disk.

    For a few lines only: the limit also holds for the file that pytest may be writing to.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def write(path: Path, text: str) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(text)


def names_in(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_a_file_is_there_when_its_block_ends_and_not_before(tmp_path: Path) -> None:
    path = tmp_path / "new.txt"
    with atomic_write(path) as temporary:
        temporary.write_text("whole")
        assert temporary.parent == path.parent  # else it could not take its place in one step
        assert not path.exists()
    assert path.read_text() == "whole"
    assert names_in(tmp_path) == ["new.txt"]


def test_a_file_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with atomic_write(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert names_in(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_the_old_file_stays_when_the_block_breaks_off(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error), atomic_write(path) as temporary:
        temporary.write_text("half of the ne")
        raise error
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["a.txt"]


def test_no_file_appears_when_the_block_breaks_off(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), atomic_write(tmp_path / "a.txt") as temporary:
        temporary.write_text(str(1 / 0))
    assert names_in(tmp_path) == []


def test_the_folders_of_a_new_file_are_made(tmp_path: Path) -> None:
    path = tmp_path / "results" / "2017" / "a.txt"
    write(path, "a")
    assert path.read_text() == "a"
    assert names_in(path.parent) == ["a.txt"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600), (0o000, 0o666)])
def test_a_file_has_the_rights_that_any_new_file_has(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        write(tmp_path / "a.txt", "a")
        plain = tmp_path / "plain.txt"
        plain.touch()
        assert os.umask(umask) == umask, "the process's own umask was changed"
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == mode == stat.S_IMODE(plain.stat().st_mode)


@pytest.mark.parametrize(
    "refuse", [lambda path: write(path, "a"), lambda path: check_output(path, "text")], ids=["atomic_write", "check"]
)
class TestPlacesWhereNoFileCanBeWritten:
    def test_a_folder(self, tmp_path: Path, refuse: Callable[[Path], None]) -> None:
        (tmp_path / "results").mkdir()
        with pytest.raises(OutputError, match=r"results is a folder; name a file to write"):
            refuse(tmp_path / "results")
        assert names_in(tmp_path) == ["results"] and names_in(tmp_path / "results") == []

    def test_below_a_file(self, tmp_path: Path, refuse: Callable[[Path], None]) -> None:
        (tmp_path / "a.txt").write_text("old")
        with pytest.raises(OutputError, match=r"b\.txt: can't be written .*choose another place"):
            refuse(tmp_path / "a.txt" / "b.txt")
        assert (tmp_path / "a.txt").read_text() == "old"

    def test_a_name_that_is_too_long(self, tmp_path: Path, refuse: Callable[[Path], None]) -> None:
        with pytest.raises(OutputError, match=r"can't be written \(File name too long\)"):
            refuse(tmp_path / (300 * "x"))
        assert names_in(tmp_path) == []

    def test_a_pipe(self, tmp_path: Path, refuse: Callable[[Path], None]) -> None:
        """Nor a device: as root, /dev/null would become a plain file."""
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        with pytest.raises(OutputError, match="pipe"):
            refuse(pipe)
        assert pipe.is_fifo()
        assert names_in(tmp_path) == ["pipe"]

    @not_as_root
    def test_a_folder_without_permission(self, tmp_path: Path, refuse: Callable[[Path], None]) -> None:
        tmp_path.chmod(0o500)
        try:
            with pytest.raises(OutputError, match="Permission denied"):
                refuse(tmp_path / "a.txt")
        finally:
            tmp_path.chmod(0o700)
        assert names_in(tmp_path) == []


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(OutputError, match=r"a\.txt: can't be written \(File too large\)"), full_disk():
        write(path, 5000 * "new")
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["a.txt"]


def test_a_check_leaves_everything_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    check_output(path, "text")
    check_output(tmp_path / "new.txt", "text")
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["a.txt"]


def test_json_is_indented_ascii_with_the_keys_in_their_order(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"zoë": 1, "a": [0.5, None, True]})
    expected = b'{\n  "zo\\u00eb": 1,\n  "a": [\n    0.5,\n    null,\n    true\n  ]\n}\n'
    assert (tmp_path / "a.json").read_bytes() == expected


def test_json_holds_file_names_that_are_no_text(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    write_json(tmp_path / "a.json", [name])
    assert os.fsencode(json.loads((tmp_path / "a.json").read_bytes())[0]) == b"caf\xe9.jpg"


def test_what_is_not_json_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"a": object()})
    assert names_in(tmp_path) == []


def test_the_hash_is_that_of_the_standard(tmp_path: Path) -> None:
    """FIPS 180-2's example, and the hash of nothing."""
    (tmp_path / "abc").write_bytes(b"abc")
    (tmp_path / "empty").touch()
    assert sha256_of(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_of(tmp_path / "empty") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize("umask", [0o022, 0o000])
def test_a_private_file_is_for_its_owner_only(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_bytes(tmp_path / "faces.parquet", b"faces", private=True)
        private_folder(tmp_path / "cache" / "crops")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "faces.parquet").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "cache" / "crops").stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("parquet", b"PAR1 and more"),
        ("safetensors", b"\x10\0\0\0\0\0\0\0{...}"),
        ("json", b' {"a": 1}'),
        ("csv", "path,name\na.jpg,Zoë\n".encode()),
        ("text", b"# A card"),
        ("page", b'<!doctype html><meta name="generator" content="facever">'),
        ("picture", b"\x89PNG..."),
    ],
)
def test_a_file_is_replaced_by_its_own_kind_only(tmp_path: Path, kind: Kind, content: bytes) -> None:
    suffix = {"text": ".md", "page": ".html", "picture": ".png"}.get(kind, f".{kind}")
    own, empty, alien = (tmp_path / f"{name}{suffix}" for name in ("own", "empty", "alien"))
    for other, written in {own: content, empty: b"", alien: b"\0\x01\x02\x03 nothing known"}.items():
        other.write_bytes(written)
    check_output(own, kind)
    check_output(empty, kind)
    with pytest.raises(OutputError, match=r"alien\..* is there, and is not .*; name another file, or --force"):
        check_output(alien, kind)
    check_output(alien, kind, force=True)


def test_text_whose_first_bytes_end_within_a_character_is_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"x" * 4095 + "é".encode() + b"\n")
    check_output(tmp_path / "a.csv", "csv")


@pytest.mark.parametrize("name", ["a.jpg", "link.jpg", "sub/../a.jpg", "hard.jpg"])
def test_what_is_read_is_never_overwritten(tmp_path: Path, name: str) -> None:
    photograph = tmp_path / "a.jpg"
    photograph.write_bytes(b"\xff\xd8\xff")
    (tmp_path / "sub").mkdir()
    (tmp_path / "link.jpg").symlink_to(photograph)
    (tmp_path / "hard.jpg").hardlink_to(photograph)
    for force in (False, True):
        with pytest.raises(OutputError, match="is what is read here"):
            check_output(tmp_path / name, "picture", [photograph], force)


def test_what_a_killed_process_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    kill = "import os; os.kill(os.getpid(), 9)"
    source = f"""
from pathlib import Path
from facever.files import atomic_write
with atomic_write(Path({str(tmp_path / "a.txt")!r})) as temporary:
    temporary.write_text("half")
    {kill}
"""
    assert subprocess.run([sys.executable, "-c", source]).returncode == -signal.SIGKILL
    (left,) = names_in(tmp_path)
    (tmp_path / ".mine.part").write_text("a user's")
    with atomic_write(tmp_path / "b.txt") as temporary:
        temporary.write_text("whole")
        in_use = temporary.name
        _sweep.cache_clear()
        write(tmp_path / "c.txt", "whole")  # as another process that writes there at the same time
        assert in_use in names_in(tmp_path)
    assert names_in(tmp_path) == [".mine.part", "b.txt", "c.txt"]
    assert left.startswith(".a.txt.")


@pytest.mark.parametrize(
    ("kind", "name"),
    [("onnx", "m.csv"), ("csv", "scores.parquet"), ("json", "t.toml"), ("picture", "a.jpg"), ("text", "a")],
)
def test_a_file_of_another_suffix_than_its_kinds_is_refused(kind: Kind, name: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=rf"{name}: an? .* is written here; name one that ends in \."):
        check_output(tmp_path / name, kind)


@pytest.mark.parametrize("name", ["run.safetensors", "report.html", "faces.tsv"])
def test_a_folder_that_is_called_like_a_file_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="a folder is written here; name one without"):
        check_output_folder(tmp_path / name)
    check_output_folder(tmp_path / "v1.2")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["s3://bucket/a.json", "https://example.org/a.json"])
def test_a_url_is_no_place_to_write(url: str) -> None:
    for check in (lambda path: check_output(path, "json"), check_output_folder):
        with pytest.raises(OutputError, match="a URL, and only files on this machine are written"):
            check(Path(url))
    assert is_url(url)
    assert not any(map(is_url, ("a.json", "/s3:/a", "C:/a.json", "file:///a.json", "a b:/c")))
