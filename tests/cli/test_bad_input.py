"""Whatever a user gets wrong ends in one line that names it and says what to do, and in the documented exit code."""

from __future__ import annotations

import errno
import os
import pickle
import re
import shutil
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from command_line import facever
from PIL import Image

from facever.weights.file import load_weights, save_weights
from facever.weights.shipped import find_weights

pytestmark = pytest.mark.slow

try:
    IS_ROOT = os.geteuid() == 0
except AttributeError:  # Windows, where permissions are another matter
    IS_ROOT = True


def one_bit_png(side: int) -> bytes:
    """A black picture that is small as a file and large as an array."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    packer = zlib.compressobj()
    row = bytes(1 + (side + 7) // 8)
    body = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, portrait: Path) -> Path:
    """A folder of things that are good or bad in every way that the table names."""
    place = tmp_path_factory.mktemp("place")
    face = Image.open(portrait).resize((171, 200))
    face.save(place / "face.jpg")
    for folder in ("empty_folder", "photographs", "locked_folder", "lfw/A", "lfw/B", "strange_lfw/A", "people/walls"):
        (place / folder).mkdir(parents=True)
    face.save(place / "photographs" / "face.png")
    (place / "photographs" / "notes.txt").write_text("no photograph")

    (place / "empty.jpg").touch()
    (place / "cut.jpg").write_bytes((place / "face.jpg").read_bytes()[:3000])
    (place / "text.jpg").write_text("This is no picture.")
    Image.new("RGB", (1, 1)).save(place / "dot.png")
    (place / "huge.png").write_bytes(one_bit_png(20_000))
    Image.new("RGB", (220, 200), "teal").save(place / "wall.png")
    Image.new("RGB", (220, 200), "teal").save(place / "people" / "walls" / "wall.png")
    for locked in ("locked.jpg", "locked.txt", "locked.safetensors"):
        (place / locked).write_bytes(b"secret")
        (place / locked).chmod(0)
    (place / "locked_folder").chmod(0)

    (place / "text.safetensors").write_text("These are no weights.")
    (place / "cut.safetensors").write_bytes(find_weights("default").read_bytes()[:100_000])
    header = b'{"__metadata__":{"format":"pt"}}'
    (place / "foreign.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)

    for person in "AB":
        for number in (1, 2):
            face.save(place / "lfw" / person / f"{person}_{number:04d}.jpg")
    (place / "strange_lfw" / "A" / "A_0001.jpg").write_text("This is no picture.")
    (place / "strange_lfw" / "A" / "A_0002.jpg").write_text("Nor is this.")
    (place / "lfw" / "pairs.txt").write_text(GOOD_PAIRS)
    (place / "broken_line.txt").write_text(GOOD_PAIRS.replace("B\t1\t2", "B\t1"))
    (place / "no_number.txt").write_text(GOOD_PAIRS.replace("B\t1\t2", "B\t1\ttwo"))
    (place / "absent.txt").write_text(GOOD_PAIRS.replace("B\t1\t2", "B\t1\t3"))
    (place / "one_fold.txt").write_text("1\nA\t1\t2\nA\t1\tB\t1\n")
    (place / "bad_pictures.txt").write_text("2\t1\n" + "A\t1\t2\nA\t1\tB\t1\n" * 2)
    (place / "empty.txt").touch()
    pairs = ["A/A_0001.jpg,lfw/A/A_0002.jpg", "A/A_0001.jpg,lfw/B/B_0001.jpg"]
    pairs += ["B/B_0001.jpg,lfw/B/B_0002.jpg", "A/A_0002.jpg,lfw/B/B_0002.jpg"]
    for name, column, ends in (
        ("table", "same", ["1", "0", "1", "0"]),
        ("maybe", "same", ["1", "maybe", "1", "0"]),
        ("genuine", "same", ["1", "1", "1", "1"]),
        ("columns", "alike", ["1", "0", "1", "0"]),
        ("fold", "same,fold", ["1,1", "0,1", "1,1", "0,1"]),
        ("one_kind", "same,fold", ["1,1", "0,1", "1,2", "0,1"]),
        ("header", "same", []),
    ):
        rows = [f"path_a,path_b,{column}", *(f"lfw/{pair},{end}" for pair, end in zip(pairs, ends, strict=False))]
        (place / f"{name}.csv").write_text("\n".join(rows) + "\n")
    (place / "text.bin").write_text("This is no set.")
    good, cut = (place / "face.jpg").read_bytes(), (place / "cut.jpg").read_bytes()
    (place / "cut.bin").write_bytes(pickle.dumps(([good] * 5 + [cut, good, cut], [True, False, True, False])))
    (place / "binary.txt").write_bytes(bytes(range(256)))
    (place / "strange_lfw" / "B").mkdir()
    face.save(place / "strange_lfw" / "B" / "B_0001.jpg")
    return place


# Two folds of a genuine and an impostor pair; the lines are numbered from 1.
GOOD_PAIRS = "2\t1\nA\t1\t2\nA\t1\tB\t1\nB\t1\t2\nB\t2\tA\t2\n"

# Command line (@ stands for the place), exit code, what the message must name, its remedy.
CASES = [
    ("verify @face.jpg @gone.jpg", 2, "@gone.jpg", "check the path"),
    ("verify @gone.jpg @face.jpg", 2, "@gone.jpg", "check the path"),
    ("verify @face.jpg @face.jpg/below.jpg", 2, "@face.jpg/below.jpg", "check the path"),
    ("verify @face.jpg @photographs", 2, "@photographs", "name a photograph in it"),
    ("verify @face.jpg @empty.jpg", 2, "@empty.jpg", "copy or download it again"),
    ("verify @face.jpg @cut.jpg", 2, "@cut.jpg", "copy or export it again"),
    ("verify @face.jpg @text.jpg", 2, "@text.jpg", "convert it to JPEG or PNG"),
    ("verify @face.jpg @huge.png", 2, "@huge.png", "scale it down"),
    ("verify @face.jpg @locked.jpg", 2, "@locked.jpg", "access rights"),
    ("verify @face.jpg @dot.png", 3, "@dot.png", "use a photograph of a face that is larger"),
    ("verify @wall.png @face.jpg", 3, "@wall.png", "use a photograph of a face that is larger"),
    ("verify @face.jpg @face.jpg --device quantum", 2, "quantum", "use auto, cpu, cuda or mps"),
    ("verify @face.jpg @face.jpg --device xpu", 2, "xpu", "use auto, cpu, cuda or mps"),
    ("verify @face.jpg @face.jpg --threshold 2", 2, "--threshold", "in [-1, 1]"),
    ("verify @face.jpg @face.jpg --threshold nan", 2, "--threshold", "in [-1, 1]"),
    ("verify @face.jpg @face.jpg --far 0.5", 2, "FAR 0.5", "give --threshold"),
    ("verify @face.jpg @face.jpg --faces both", 2, "--faces", "largest, center, all"),
    ("verify @face.jpg @face.jpg -w nobodys", 2, "nobodys", "shipped are default"),
    ("verify @face.jpg @face.jpg -w @text.safetensors", 2, "@text.safetensors", "copy it again"),
    ("verify @face.jpg @face.jpg -w @cut.safetensors", 2, "@cut.safetensors", "copy it again"),
    ("verify @face.jpg @face.jpg -w @foreign.safetensors", 2, "@foreign.safetensors", "train or convert one"),
    ("verify @face.jpg @face.jpg -w @photographs", 2, "@photographs", "name a weights file"),
    ("verify @face.jpg @face.jpg -w @locked.safetensors", 2, "@locked.safetensors", "copy it again"),
    ("embed @gone -o @o.parquet", 2, "@gone", "check the path"),
    ("embed @text.jpg -o @o.jsonl --prune", 2, "--prune", "a single file is written anew"),
    ("embed @empty_folder -o @o.parquet", 2, "@empty_folder", "name a folder that holds some"),
    ("embed @empty_folder -o @new/folder/o.parquet", 2, "@empty_folder", "name a folder that holds some"),
    ("embed @locked_folder -o @o.parquet", 2, "@locked_folder", "access rights"),
    ("embed @photographs -o @photographs", 2, "@photographs", "name a new folder"),
    ("embed @photographs -o @face.jpg/o.parquet", 2, "@face.jpg/o.parquet", "choose another place"),
    ("embed @photographs -o @locked_folder/o.parquet", 2, "@locked_folder/o.parquet", "choose another place"),
    (f"embed @photographs -o @{300 * 'o'}", 2, 300 * "o", "choose another place"),
    ("embed @photographs -o @new/o.parquet -w nobodys", 2, "nobodys", "shipped are default"),
    ("embed @photographs -o @o.parquet --device quantum", 2, "quantum", "use auto, cpu, cuda or mps"),
    ("embed @photographs -o @o.parquet --faces both", 2, "--faces", "largest, center, all"),
    ("eval-lfw @gone", 2, "@gone", "name the one that holds NAME/NAME_0001.jpg"),
    (f"eval-lfw @{300 * 'x'}", 2, 300 * "x", "check its name"),
    ("eval-lfw @face.jpg", 2, "@face.jpg", "name the one that holds NAME/NAME_0001.jpg"),
    ("eval-lfw @gone --pairs @lfw/pairs.txt", 2, "@gone", "give the one that holds NAME/NAME_0001.jpg"),
    ("eval-lfw @empty_folder", 2, "@empty_folder", "--pairs"),
    ("eval-lfw @lfw --pairs @gone.txt", 2, "@gone.txt", "give the path of a pair list"),
    ("eval-lfw @lfw --pairs @lfw", 2, "@lfw", "give the path of a pair list"),
    ("eval-lfw @lfw --pairs @empty.txt", 2, "@empty.txt", "give a pair list in LFW's format"),
    ("eval-lfw @lfw --pairs @binary.txt", 2, "@binary.txt", "give a pair list in LFW's format"),
    ("eval-lfw @lfw --pairs @locked.txt", 2, "@locked.txt", "give a pair list that can"),
    ("eval-lfw @lfw --pairs @broken_line.txt", 2, "@broken_line.txt, line 4", "correct the line"),
    ("eval-lfw @lfw --pairs @no_number.txt", 2, "@no_number.txt, line 4", "write 1, 2, 3"),
    ("eval-lfw @lfw --pairs @absent.txt", 2, "@absent.txt, line 4", "B_0003.jpg"),
    ("eval-lfw @lfw --pairs @one_fold.txt", 2, "@one_fold.txt", "use a longer list"),
    ("eval-lfw @strange_lfw --pairs @bad_pictures.txt", 2, "@strange_lfw/A/A_0001.jpg", "repair or restore"),
    ("eval-lfw @lfw --scores @photographs", 2, "@photographs", "name a file"),
    ("eval-lfw @lfw --scores @face.jpg/s.csv", 2, "@face.jpg/s.csv", "choose another place"),
    ("eval-lfw @lfw --faces all", 2, "--faces", "center, largest"),
    ("eval-lfw @lfw --device quantum", 2, "quantum", "use auto, cpu, cuda or mps"),
    ("eval-lfw @lfw --precision fp8", 2, "fp8", "one of auto, bf16, fp32"),
    ("eval-lfw @lfw --weights nobodys", 2, "nobodys", "shipped are default"),
    ("eval-pairs @gone.csv", 2, "@gone.csv", "give a table with path_a, path_b, same"),
    ("eval-pairs @lfw", 2, "@lfw", "give the path of a pair list"),
    ("eval-pairs @empty.txt", 2, "@empty.txt", "give a pair list"),
    ("eval-pairs @binary.txt", 2, "@binary.txt", "give a pair list"),
    ("eval-pairs @columns.csv", 2, "@columns.csv", "a pair list has path_a, path_b and same"),
    ("eval-pairs @header.csv", 2, "@header.csv", ""),
    ("eval-pairs @genuine.csv", 2, "@genuine.csv", "list pairs of the same and of different people"),
    ("eval-pairs @fold.csv", 2, "@fold.csv", "use a longer list"),
    ("eval-pairs @maybe.csv", 2, "@maybe.csv, line 3", "write 1 or 0, true or false"),
    ("eval-pairs @table.csv --root @gone", 2, "@table.csv, line 2", "name their folder with --root"),
    ("eval-pairs @table.csv --embeddings @gone.npy", 2, "@gone.npy", "give a .npy with a .txt of names"),
    ("eval-pairs @table.csv --embeddings @text.jpg", 2, "@text.jpg", "give a .npy with a .txt of names"),
    ("eval-pairs @table.csv --scores @photographs", 2, "@photographs", "name a file"),
    ("eval-pairs @table.csv --faces all", 2, "--faces", "center, largest"),
    ("eval-pairs @table.csv --weights nobodys", 2, "nobodys", "shipped are default"),
    ("eval-pairs @text.bin", 2, "@text.bin", "save it again"),
    ("eval-all @gone", 2, "@gone", "name a folder that holds one folder"),
    ("eval-all @face.jpg", 2, "@face.jpg", "name a folder that holds one folder"),
    ("eval-all @empty_folder", 2, "@empty_folder", "one folder per person"),
    ("eval-pairs @one_kind.csv", 2, "different people are in fold 1", "spread them over the folds"),
    ("eval-pairs @cut.bin", 2, "2 photographs can't be read, the first: cut.bin[5]", "repair or restore them"),
    ("eval-all @lfw --thresholds @gone.json", 2, "@gone.json", "give what facever calibrate wrote"),
    ("eval-all @lfw --report @face.jpg", 2, "@face.jpg", "choose another place"),
    ("eval-lfw @lfw --download", 2, "--download", "drop the folder"),
    ("eval-all @lfw --only x*", 2, "'x*'", "one folder per person"),
    ("eval-all @lfw --weights nobodys", 2, "nobodys", "shipped are default"),
    ("eval-all @lfw --embeddings @gone.npy", 2, "@gone.npy", "give a .npy with a .txt of names"),
    ("inspect @gone.jpg -o @o.png", 2, "@gone.jpg", "check the path"),
    ("inspect @text.jpg -o @o.png", 2, "@text.jpg", "convert it to JPEG or PNG"),
    ("inspect @huge.png -o @o.png", 2, "@huge.png", "scale it down"),
    ("inspect @face.jpg -o @photographs", 2, "@photographs", "name a file"),
    ("inspect @face.jpg -o @face.jpg/o.png", 2, "@face.jpg/o.png", "choose another place"),
    ("inspect @face.jpg -o @o.png -w nobodys", 2, "nobodys", "shipped are default"),
    ("calibrate default @gone -o @new/o.safetensors", 2, "@gone", "name a folder that holds one folder"),
    ("calibrate default @face.jpg -o @o.safetensors", 2, "@face.jpg", "give a pair list"),
    ("calibrate default @lfw", 2, "nothing to write", "--out"),
    ("calibrate default @lfw --thresholds @o.json --far 2", 2, "FAR 2", "give a share between 0 and 1"),
    ("calibrate default @table.csv --thresholds @o.json --only x", 2, "--only", "drop them"),
    ("calibrate default @lfw --thresholds @lfw", 2, "@lfw", "name another file"),
    ("verify @face.jpg @face.jpg --thresholds @gone.json", 2, "@gone.json", "give what facever calibrate wrote"),
    ("verify @face.jpg @face.jpg --thresholds @face.jpg", 2, "@face.jpg", "give what facever calibrate wrote"),
    ("verify @face.jpg @face.jpg --prior 1", 2, "--prior", "between 0 and 1"),
    ("verify @face.jpg @face.jpg --far 0", 2, "FAR 0", "give a share between 0 and 1"),
    ("calibrate default @empty_folder -o @o.safetensors", 2, "@empty_folder", "one folder per person"),
    ("calibrate default @people -o @o.safetensors --only x*", 2, "'x*'", "one folder per person"),
    ("calibrate default @people -o @o.safetensors", 2, "@people", "add people and photographs"),
    ("calibrate default @lfw -o @o.safetensors", 2, "@lfw", "add people and photographs"),
    ("calibrate default @people -o @photographs", 2, "@photographs", "name a file"),
    ("calibrate nobodys @people -o @o.safetensors", 2, "nobodys", "shipped are default"),
    ("calibrate default @people -o @o.safetensors --device quantum", 2, "quantum", "use auto, cpu, cuda or mps"),
    ("info nobodys", 2, "nobodys", "shipped are default"),
    ("info @photographs", 2, "@photographs", "name a weights file"),
    ("info @text.safetensors", 2, "@text.safetensors", "copy it again"),
    ("info @cut.safetensors", 2, "@cut.safetensors", "copy it again"),
    ("info @empty.jpg", 2, "@empty.jpg", "copy it again"),
    ("import @gone.dat -o @o.safetensors", 2, "@gone.dat", "name dlib's .dat file"),
    ("import @photographs -o @o.safetensors", 2, "@photographs", "name dlib's .dat file"),
    ("import @face.jpg -o @o.safetensors", 2, "@face.jpg", "dlib_face_recognition_resnet_model_v1.dat"),
    ("import @empty.jpg -o @o.safetensors", 2, "@empty.jpg", "dlib_face_recognition_resnet_model_v1.dat"),
    ("train @gone -o @run --cache @cache", 2, "@gone", "name a folder that holds one folder"),
    ("train @face.jpg -o @run --cache @cache", 2, "@face.jpg", "name a folder that holds one folder"),
    ("train @empty_folder -o @run --cache @cache", 2, "@empty_folder", "one folder per person"),
    ("train @lfw -o @face.jpg --cache @cache", 2, "@face.jpg", "choose another place"),
    ("train @lfw -o @run --cache @cache --device quantum", 2, "quantum", "use auto, cpu, cuda or mps"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("line", "code", "thing", "remedy"), CASES, ids=[case[0][:60] for case in CASES])
def test_bad_input_is_named_with_a_remedy_and_leaves_nothing(
    line: str, code: int, thing: str, remedy: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if IS_ROOT and "@locked" in line:
        pytest.skip("nothing is locked for the superuser")
    monkeypatch.chdir(place)
    before = set(place.rglob("*"))
    outcome = facever(*line.replace("@", f"{place}/").split())
    assert outcome.code == code, outcome
    assert outcome.out == ""
    assert outcome.err.startswith("facever: ")
    assert outcome.err.count("\n") == 1 + ("add people" in remedy), "one line; rarer rates in a second one"
    assert thing.replace("@", f"{place}/") in outcome.err
    assert remedy in outcome.err
    assert set(place.rglob("*")) == before


@pytest.mark.slow
@pytest.mark.parametrize("option", ["--json", "--faces=all"])
def test_bad_input_leaves_stdout_empty_whatever_was_asked_for(option: str, place: Path) -> None:
    outcome = facever("verify", place / "face.jpg", place / "text.jpg", option)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("facever: ")


# ---- file names ----------------------------------------------------------------------------------

NAMES = {
    "spaces": b"two  words.jpg",
    "umlauts": "Mädchen ß.jpg".encode(),
    "brackets": b"[bold]x[red].jpg",
    "line break": b"one\ntwo.jpg",
    "escape sequence": b"\x1b[31mred.jpg",
    "no text": b"caf\xe9.jpg",
}


def named(folder: Path, name: bytes, content: bytes) -> Path:
    path = folder / os.fsdecode(name)
    try:
        path.write_bytes(content)
    except OSError:
        pytest.skip("this file system refuses such a name")
    return path


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_verify_takes_any_file_name(name: bytes, place: Path, tmp_path: Path) -> None:
    path = named(tmp_path, name, (place / "face.jpg").read_bytes())
    outcome = facever("verify", path, path)
    assert (outcome.code, outcome.err) == (0, "")
    assert len(outcome.out.splitlines()) == 6  # a line break in a name is shown as \n
    missing = facever("verify", path, tmp_path / "gone" / path.name)
    assert missing.code == 2
    assert missing.err.startswith(f"facever: {tmp_path}/gone/")
    assert missing.err.count("\n") == 1
    assert "\x1b" not in missing.err + outcome.out


@pytest.mark.slow
def test_embed_takes_any_file_name(place: Path, tmp_path: Path) -> None:
    folder = tmp_path / "[red]a b\n"
    folder.mkdir()
    content = {b"wall ": "wall.png", b"": "face.jpg", b"text ": "text.jpg"}
    for prefix, source in content.items():
        for name in NAMES.values():
            named(folder, prefix + name, (place / source).read_bytes())
    out = named(tmp_path, b"[red]\n caf\xe9.parquet", b"")
    outcome = facever("embed", folder, "-o", out, "--json", "--one-file")
    assert outcome.code == 0
    counts = {key: outcome.json[key] for key in ("with_face", "without_face", "unreadable")}
    assert counts == dict.fromkeys(counts, len(NAMES))
    assert outcome.json["file"] == str(out)
    with out.open("rb") as file:
        rows = pq.read_table(file).to_pylist()
    expected = {
        os.fsdecode(prefix + name).encode("utf-8", "backslashreplace").decode()
        for prefix in content
        for name in NAMES.values()
    }
    assert {row["path"] for row in rows} == expected
    assert len(rows) == 3 * len(NAMES)


@pytest.mark.slow
def test_every_file_name_reaches_the_scores_of_eval_lfw(place: Path, tmp_path: Path) -> None:
    folder = tmp_path / "[red] ü\n"
    for person in "AB":
        (folder / person).mkdir(parents=True)
        for number in (1, 2):
            (folder / person / f"{person}_{number:04d}.jpg").write_bytes((place / "face.jpg").read_bytes())
    out = named(tmp_path, b"caf\xe9.csv", b"")
    outcome = facever("eval-lfw", folder, "--pairs", place / "lfw" / "pairs.txt", "--scores", out)
    assert outcome.code == 0
    # The same photograph twice; the last digit is rounding.
    assert re.search(r"^A/A_0001\.jpg,A/A_0002\.jpg,1,0,(1\.0|0\.99999)", out.read_text(encoding="utf-8"), re.MULTILINE)


# ---- full disks, interruptions -------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "written"),
    [
        ("embed @photographs -o @new.parquet --one-file", "@new.parquet"),
        ("eval-lfw @lfw --scores @new.csv", "@new.csv"),
        ("inspect @face.jpg -o @new.png", "@new.png"),
    ],
)
def test_a_full_disk_is_told_with_the_file_and_leaves_nothing(
    line: str, written: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    before = set(place.iterdir())
    outcome = facever(*line.replace("@", f"{place}/").split())
    assert (outcome.code, outcome.out) == (2, "")
    name = written.replace("@", f"{place}/")
    assert outcome.err == f"facever: {name}: can't be written (No space left on device); choose another place\n"
    assert set(place.iterdir()) == before


@pytest.mark.parametrize(
    ("line", "where"),
    [
        ("verify @face.jpg @face.jpg", "facever.verifier.Verifier.verify"),
        ("embed @photographs -o @o.parquet", "facever.verifier.Verifier.load"),
        ("eval-lfw @lfw", "facever.verifier.Verifier.load"),
        ("calibrate default @lfw -o @o.safetensors", "facever.verifier.Verifier.load"),
        ("info", "facever.weights.file.load_weights"),
        ("eval-all @lfw", "facever.verifier.Verifier.load"),
        ("eval-pairs @table.csv", "facever.verifier.Verifier.load"),
        ("inspect @face.jpg -o @o.png", "facever.verifier.Verifier.load"),
        ("import @face.jpg -o @o.safetensors", "facever.weights.dlib.read_network"),
        ("train @lfw -o @run --cache @cache", "facever.training.train"),
    ],
)
def test_an_interruption_exits_with_130_without_a_traceback(
    line: str, where: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(where, interrupted)
    outcome = facever(*line.replace("@", f"{place}/").split())
    assert (outcome.code, outcome.out, outcome.err) == (130, "", "facever: interrupted\n")


def test_an_error_of_the_system_that_nobody_foresaw_is_a_line_too(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_many(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), "some.file")

    monkeypatch.setattr("facever.verifier.Verifier.verify", too_many)
    outcome = facever("verify", place / "face.jpg", place / "face.jpg")
    assert outcome.code == 2
    assert outcome.err.startswith("facever: some.file: Too many open files; ")


@pytest.mark.parametrize(
    "arguments",
    [
        ["inspect", "face.jpg", "-o", "face.jpg"],
        ["calibrate", "w.safetensors", "people", "-o", "w.safetensors"],
        ["eval-pairs", "pairs.csv", "--scores", "pairs.csv"],
        ["import", "w.safetensors", "-o", "w.safetensors"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_no_command_writes_onto_what_it_reads(
    arguments: list[str], place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("face.jpg", "other.jpg"):
        shutil.copyfile(place / "face.jpg", name)
    shutil.copyfile(find_weights("dlib"), "w.safetensors")
    Path("people").mkdir()
    Path("pairs.csv").write_text("path_a,path_b,same\nface.jpg,other.jpg,1\n")
    before = {path: path.read_bytes() for path in Path().iterdir() if path.is_file()}
    for force in ([], ["--force"]):
        outcome = facever(*arguments, *force)
        assert (outcome.code, outcome.out) == (2, "")
        assert outcome.err.endswith("is what is read here; name another file to write\n")
    assert before == {path: path.read_bytes() for path in Path().iterdir() if path.is_file()}


def test_a_file_of_another_kind_is_overwritten_by_force_only(place: Path, tmp_path: Path) -> None:
    for target, arguments in {
        "notes.parquet": ["embed", place / "photographs", "--one-file"],
        "table.png": ["inspect", place / "face.jpg"],
    }.items():
        (tmp_path / target).write_text("a user's")
        outcome = facever(*arguments, "-o", tmp_path / target)
        assert outcome.code == 2
        assert f"{target} is there, and is not a " in outcome.err and "--force" in outcome.err
        assert (tmp_path / target).read_text() == "a user's"
        assert facever(*arguments, "-o", tmp_path / target, "--force").code == 0
        assert facever(*arguments, "-o", tmp_path / target).code == 0  # of its own kind now


def test_no_escape_sequence_of_a_file_or_its_name_reaches_stdout(place: Path, tmp_path: Path) -> None:
    info, network = load_weights("scratch")
    path = tmp_path / "w.safetensors"
    save_weights(path, replace(info, name="\x1b[31mred", license="a\rb"), network)
    assert "\x1b" not in (told := facever("info", path).out) and r"\x1b[31mred" in told and r"a\rb" in told
    told = facever("embed", place / "photographs", "-o", tmp_path / "\x1b[2Jout.parquet").out
    assert r"\x1b[2Jout.parquet" in told and "\x1b" not in told


def test_two_names_that_are_no_text_stay_two_in_parquet(place: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photographs"
    folder.mkdir()
    for name in (b"bad\xff\xfe.jpg", b"bad\xfe\xff.jpg"):
        shutil.copyfile(place / "face.jpg", folder / os.fsdecode(name))
    assert facever("embed", folder, "-o", tmp_path / "out.parquet").code == 0
    paths = pq.read_table(tmp_path / "out.parquet")["path"].to_pylist()
    assert sorted(paths) == [r"bad\udcfe\udcff.jpg", r"bad\udcff\udcfe.jpg"]
