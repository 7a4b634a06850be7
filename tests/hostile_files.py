"""Small valid files of every other format that facever reads, their readers, and damaged copies of them."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import pickle
import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hostile import SPECIAL, Case, damaged
from xmp_samples import DIGIKAM

Read = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of files: which of them are damaged, how they are read, and what gives damaged content its sums again."""

    files: tuple[str, ...]
    read: Callable[[Path], object]
    sealed: Callable[[bytes], bytes] | None = None


def _weights(place: Path) -> None:
    from facever.weights.file import load_weights, read_info

    read_info(place / "w.safetensors")
    load_weights(place / "w.safetensors")


def _thresholds(place: Path) -> None:
    from facever.weights.file import read_info
    from facever.weights.thresholds_json import read_thresholds

    weights = place / "calibrated.safetensors"
    read_thresholds(place / "t.json", weights, read_info(weights))


def _checkpoint(place: Path) -> None:
    import torch

    from facever.training.checkpoint import load_checkpoint

    load_checkpoint(place / "checkpoint.pt", torch.device("cpu"))


def _pairs(name: str) -> Callable[[Path], None]:
    def read(place: Path) -> None:
        from facever.datasets.pair_tables import read_pairs

        read_pairs(place / name, place / "people")

    return read


def _listed(place: Path) -> None:
    from facever.faces.folders import read_list

    read_list(place / "list.parquet")


def _embeddings(name: str) -> Callable[[Path], None]:
    """By an evaluation and by a gallery."""

    def read(place: Path) -> None:
        from facever.datasets.external import ExternalEmbeddings
        from facever.errors import FaceverError

        try:
            ExternalEmbeddings.read(place / name)
        except FaceverError:
            _gallery(place / name)
            raise
        _gallery(place / name)

    return read


def _gallery(path: Path) -> None:
    import numpy as np

    from facever.gallery import Gallery
    from facever.gallery.faces import FaceTable

    faces = FaceTable.open(path)
    gallery = Gallery(faces)
    query = np.eye(1, faces.size, dtype=np.float32)
    gallery.search(query, 2)
    if path.is_dir():
        gallery.search(query, 2, by="person")


def _dataset(place: Path) -> None:
    """As a gallery, and as `embed` and `verify --embeddings` open it."""
    from facever.errors import FaceverError
    from facever.faces.dataset import open_dataset
    from facever.faces.parquet import schema
    from facever.faces.stored import StoredFaces
    from facever.weights.records import WeightsId

    folder = place / "faces.parquet"
    made = json.loads((place / "made.json").read_text())
    errors = []

    def update() -> None:
        with open_dataset(folder, place, schema(8, {}), None, made) as dataset:
            dataset.remove([name for name in ["a/2.jpg"] if name in dataset.entries])

    def stored() -> None:
        StoredFaces(folder, WeightsId(**made["weights"])).of([place / "a/1.jpg"])

    for step in (lambda: _gallery(folder), stored, update):
        try:
            step()
        except FaceverError as error:
            errors.append(error)
    if errors:
        raise errors[0]


def _index(place: Path) -> None:
    import numpy as np

    from facever.gallery import Gallery
    from facever.gallery.faces import FaceTable

    faces = FaceTable.open(place / "indexed.parquet")
    Gallery(faces, index=True).search(np.eye(3, faces.size, dtype=np.float32), 2)


def _recipe(place: Path) -> None:
    from facever.training.recipes import make_settings

    make_settings(str(place / "recipe.toml"))


def _people(place: Path) -> None:
    from facever.gallery.faces import FaceTable
    from facever.gallery.people import names_by_list

    names_by_list(FaceTable.open(place / "faces.parquet"), place / "people.csv")


def _side_car(place: Path) -> None:
    """Read, and edited."""
    from facever.errors import DataError
    from facever.faces.header import Header
    from facever.faces.regions import Area
    from facever.faces.xmp import Packet, Region
    from facever.gallery.sidecars import read_sidecar

    content = read_sidecar(place / "a.jpg.xmp")
    if content is None:
        raise DataError("no side-car")
    edited = Packet(content, "a").with_regions([Region("Ann", Area(0.5, 0.5, 0.1, 0.1))], Header(400, 300))
    assert "Ann" in [region.name for region in Packet(edited, "edited").regions]


def _sources(place: Path) -> None:
    from facever.datasets.sources import read_sources

    read_sources(place, ["a", "b"])


def _digits(place: Path) -> None:
    from facever.studies.idx import read_mnist

    read_mnist(place / "mnist", "test")


def _crops(place: Path) -> None:
    """Every crop that the index lists is there, whatever the index says."""
    store = _crop_store(place / "crops")
    crops = store.crops()
    for entry in store.entries.values():
        if entry["row"] is not None:
            crops[entry["row"]].sum()
    with store.appending():
        store.add("more.png", [1, 1], None, "no face")


def _crop_store(folder: Path) -> Any:
    from facever.training.crops import _Store

    return _Store(folder, {"cutter": 2}, (4, 4, 3))


def _cache(place: Path) -> None:
    """Each row is as it was put, or missing."""
    import numpy as np

    from facever.faces.cache import EmbeddingCache

    cache, rows = EmbeddingCache(place / "cache.sqlite"), _cached()
    for key, row in cache.get(list(rows)).items():
        assert np.array_equal(row.embedding, rows[key].embedding), "another embedding"
        assert (row.norm, row.score, row.found) == (rows[key].norm, rows[key].score, rows[key].found), "another row"
    assert all(cache.crop(key) in (None, rows[key].crop) for key in rows), "another crop"
    assert cache.put(rows), "can't be written again"


def _cached() -> dict[str, Any]:
    import numpy as np

    from facever.faces.cache import PhotoEmbedding

    rng = np.random.default_rng(0)
    return {
        f"{i:064x}": PhotoEmbedding(rng.random(16, np.float32), float(i), 0.9, True, False, rng.bytes(60))
        for i in range(12)
    }


def _onnx(place: Path) -> None:
    from facever.weights.onnx_import import Preparation, read_onnx
    from facever.weights.records import Normalization

    read_onnx(place / "m.onnx", "m", Preparation("face-112x112", Normalization()))


def sealed_weights(content: bytes) -> bytes:
    """A weights file whose digest fits, as a stranger can write it; unchanged where it is none any more."""
    import torch
    from safetensors.torch import load, save

    from facever.weights.file import digest
    from facever.weights.metadata import DIGEST, KEY

    try:
        (length,) = struct.unpack("<Q", content[:8])
        metadata = json.loads(content[8 : 8 + length])["__metadata__"]
        state: dict[str, torch.Tensor] = load(content)
        return bytes(save(state, {**metadata, DIGEST: digest(metadata[KEY], state)}))
    except Exception:
        return content


def sealed_thresholds(content: bytes) -> bytes:
    from facever.weights.thresholds_json import _digest

    try:
        value = json.loads(content)
        del value["sha256"]
        return json.dumps({**value, "sha256": _digest(value)}).encode()
    except Exception:
        return content


def sealed_checkpoint(content: bytes) -> bytes:
    from facever.training.checkpoint import MARK, START

    return MARK + hashlib.sha256(content[START:]).digest() + content[START:]


def kinds() -> dict[str, Kind]:
    """All kinds that can be read here."""
    found = {
        "weights": Kind(("w.safetensors",), _weights, sealed_weights),
        "thresholds": Kind(("t.json",), _thresholds, sealed_thresholds),
        "checkpoint": Kind(("checkpoint.pt",), _checkpoint, sealed_checkpoint),
        "pairs, LFW": Kind(("pairs.txt",), _pairs("pairs.txt")),
        "pairs, CSV": Kind(("pairs.csv",), _pairs("pairs.csv")),
        "pairs, LFW in CSV": Kind(("lfw.csv",), _pairs("lfw.csv")),
        "pairs, Parquet": Kind(("pairs.parquet",), _pairs("pairs.parquet")),
        "pairs, bin": Kind(("pairs.bin",), _pairs("pairs.bin")),
        "list of photographs": Kind(("list.parquet",), _listed),
        "dataset": Kind(("faces.parquet/part-000001.parquet", "faces.parquet/.facever.json"), _dataset),
        "embeddings, Parquet": Kind(("one.parquet",), _embeddings("one.parquet")),
        "embeddings, CSV": Kind(("one.csv",), _embeddings("one.csv")),
        "embeddings, npy": Kind(("e.npy", "e.txt"), _embeddings("e.npy")),
        "recipe": Kind(("recipe.toml",), _recipe),
        "people": Kind(("people.csv",), _people),
        "side-car": Kind(("a.jpg.xmp",), _side_car),
        "sources": Kind(("sources.csv",), _sources),
        "digits": Kind(
            ("mnist/t10k-images-idx3-ubyte", "mnist/t10k-labels-idx1-ubyte.gz"),
            _digits,
        ),
        "crop cache": Kind(("crops/index.jsonl", "crops/crops.bin"), _crops),
        "embedding cache": Kind(("cache.sqlite",), _cache),
    }
    if importlib.util.find_spec("usearch"):
        folder = "indexed.parquet.index/"
        files = ("graph.usearch", "vectors.npy", "keys.npy", "made.json", "checked.json")
        found["index"] = Kind(tuple(folder + each for each in files), _index)
    if importlib.util.find_spec("onnx") and importlib.util.find_spec("onnxruntime"):
        found["ONNX"] = Kind(("m.onnx",), _onnx)
    return found


def prepare_files(folder: Path) -> dict[str, Read]:
    """Write one of each kind; how to read them."""
    make_files(folder)
    return {name: lambda kind=kind: kind.read(folder) for name, kind in kinds().items()}  # type: ignore[misc]


def make_files(folder: Path) -> None:
    """Write the valid files of all kinds."""
    import gzip
    from dataclasses import replace

    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    import torch
    from gallery_samples import dataset, random_faces, table
    from PIL import Image
    from samples import RECORD

    from facever.faces.cache import EmbeddingCache
    from facever.networks import build_network
    from facever.training.checkpoint import save_checkpoint
    from facever.weights.alignment import ALIGNMENTS
    from facever.weights.calibrated import Calibrated
    from facever.weights.file import read_info, save_weights
    from facever.weights.metadata import WeightsInfo
    from facever.weights.records import Likelihood, Normalization
    from facever.weights.thresholds import Threshold
    from facever.weights.thresholds_json import write_thresholds

    torch.manual_seed(0)
    alignment = ALIGNMENTS["tight-64x56"]
    arguments = {"embedding_size": 4, "input_size": [64, 56], "widths": [2], "depths": [0], "stem": 2}
    network = build_network("face_resnet_slim", **arguments).eval()
    info = WeightsInfo(
        name="tiny",
        network="face_resnet_slim",
        network_arguments=arguments,
        alignment=alignment,
        normalization=Normalization(),
        mirrored=True,
        loss={"name": "l2-softmax", "alpha": 16.0},
        training_data=[{"name": "some", "identities": 3, "photographs": 12}],
        license="MIT",
        credit="some",
        versions={"facever": "0.1.0"},
    )
    save_weights(folder / "w.safetensors", info, network)
    save_weights(folder / "calibrated.safetensors", replace(info, name="calibrated"), network)
    threshold = Threshold(1e-3, 0.5, "friends", 123_456, 0.5, (0.45, 0.55), (5e-4, 2e-3))
    line = Likelihood(90.0, -80.0, 0.2, 0.18, "friends", 900, 123_456)
    name = read_info(folder / "calibrated.safetensors").name
    write_thresholds(folder / "t.json", folder / "calibrated.safetensors", name, Calibrated([threshold], line, RECORD))
    state = {"trainer": {"network": network.state_dict(), "step": 3}, "log": [{"loss": 0.5}], "people": ["a", "b"]}
    save_checkpoint(folder / "checkpoint.pt", state)

    for person in "ab":
        (folder / "people" / person).mkdir(parents=True)
        for shot in (1, 2):
            Image.new("RGB", (8, 8), "teal").save(folder / "people" / person / f"{person}_{shot:04d}.jpg")
    (folder / "pairs.txt").write_text("2\t1\na\t1\t2\na\t1\tb\t1\nb\t1\t2\nb\t2\ta\t2\n")
    (folder / "lfw.csv").write_text("name,imagenum1,imagenum2,\na,1,2,\na,1,b,1\nb,1,2,\n")
    rows = [("a/a_0001.jpg", "a/a_0002.jpg", 1), ("a/a_0001.jpg", "b/b_0001.jpg", 0)] * 2
    lines = [f"{a},{b},{same},{fold % 2},x" for fold, (a, b, same) in enumerate(rows)]
    (folder / "pairs.csv").write_text("\n".join(["path_a,path_b,same,fold,group", *lines]) + "\n")
    columns = dict(zip(("path_a", "path_b", "same"), map(list, zip(*rows, strict=True)), strict=True))
    pq.write_table(pa.table(columns), folder / "pairs.parquet")
    jpeg = (folder / "people/a/a_0001.jpg").read_bytes()
    (folder / "pairs.bin").write_bytes(pickle.dumps(([jpeg] * 4, [True, False])))
    pq.write_table(pa.table({"path": ["people/a/a_0001.jpg", "s3://b/c.jpg"]}), folder / "list.parquet")

    names = ["a/1.jpg", "a/2.jpg", "b/1.jpg", "b/2.jpg", "b/none.jpg"]
    seen = {
        "landmarks": [[float(i) for i in range(10)]] * 5,
        "score": [0.9] * 5,
        "sharpness": [9.0] * 5,
        "noise": [1.0] * 5,
    }
    faces = table(names, [*random_faces(4), None], **seen)
    dataset(folder / "faces.parquet", faces)
    (folder / "made.json").write_bytes((folder / "faces.parquet/.facever.json").read_bytes())
    pq.write_table(faces, folder / "one.parquet")
    vectors = random_faces(4)
    lines = [f'{name},"{json.dumps(vector.tolist())}"' for name, vector in zip(names, vectors, strict=False)]
    (folder / "one.csv").write_text("\n".join(["path,embedding", *lines]) + "\n")
    np.save(folder / "e.npy", vectors)
    (folder / "e.txt").write_text("\n".join(names[:4]) + "\n")
    (folder / "people.csv").write_text("path,person\na/1.jpg,Ann\nb/1.jpg,Ben\nb/2.jpg,Ben\n")
    (folder / "a.jpg.xmp").write_text(DIGIKAM, encoding="utf-8")
    (folder / "sources.csv").write_text("identity,source\na,one\nb,two\n")
    (folder / "recipe.toml").write_text(
        'network = "face_resnet_slim"\nepochs = 2\nlearning_rate = 0.05\nbatch_size = 8\nloss = "l2-softmax"\n'
        'dropped = ["x"]\n\n[network_arguments]\nwidths = [4, 8]\ndepths = [0, 0]\nstem = 4\nembedding_size = 6\n'
    )
    (folder / "mnist").mkdir()
    digits = np.zeros((3, 28, 28), np.uint8)
    images = b"\0\0\x08\x03" + struct.pack(">3I", *digits.shape) + digits.tobytes()
    (folder / "mnist/t10k-images-idx3-ubyte").write_bytes(images)
    labels = gzip.compress(b"\0\0\x08\x01" + struct.pack(">I", 3) + bytes([1, 2, 9]), mtime=0)
    (folder / "mnist/t10k-labels-idx1-ubyte.gz").write_bytes(labels)

    store = _crop_store(folder / "crops")
    with store.appending():
        for i in range(4):
            store.add(f"{i}.png", [i, i], np.full((4, 4, 3), i, np.uint8) if i else None, "" if i else "no face")
    assert EmbeddingCache(folder / "cache.sqlite").put(_cached())
    if "index" in kinds():
        dataset(folder / "indexed.parquet", table([f"a/{i}.jpg" for i in range(60)], random_faces(60)))
        _index(folder)
        stamps = {name: [60, 1 << 60, 1 << 60, 7] for name in ("graph.usearch", "vectors.npy", "keys.npy")}
        (folder / "indexed.parquet.index/checked.json").write_text(json.dumps(stamps))
    if "ONNX" in kinds():
        from onnx_models import embedder

        (folder / "m.onnx").write_bytes(embedder().SerializeToString())


def file_cases(count: int, folder: Path, seed: int = 0) -> Iterator[tuple[str, Case]]:
    """Damaged copies of the files in a folder that `make_files` wrote, of all kinds in turn."""
    every = kinds()
    names = list(every)
    for i in range(count):
        rng = random.Random(f"{seed} {i}")
        name = names[i % len(names)]
        file = rng.choice(every[name].files)
        content = (folder / file).read_bytes()
        way, content = damaged(rng, content, [(folder / each).read_bytes() for each in every[name].files])
        sealed = every[name].sealed
        if sealed is not None and rng.random() < 0.6:
            content, way = sealed(content), f"{way}, sums made to fit"
        yield f"{name}: {file} {seed}/{i} ({way})", Case(name, way, file, content)


def special_cases() -> Iterator[tuple[str, Case]]:
    """Each file replaced by a pipe, a socket, a device, a link to itself, a folder, nothing."""
    for name, kind in kinds().items():
        # What a user names; the cache does without its file.
        for file in [each for each in kind.files if "/" not in each and name != "embedding cache"]:
            for way in SPECIAL:
                yield f"{name}: {file} ({way})", Case(name, way, file, b"")


SUMMED = ("weights", "thresholds", "checkpoint", "embedding cache")


def bit_cases(count: int, folder: Path, seed: int = 0) -> Iterator[tuple[str, Case]]:
    """One flipped bit each, in files that hold a digest or checksums."""
    every = kinds()
    for i in range(count):
        rng = random.Random(f"bit {seed} {i}")
        name = SUMMED[i % len(SUMMED)]
        (file,) = every[name].files
        content = bytearray((folder / file).read_bytes())
        bit = rng.randrange(8 * len(content))
        content[bit // 8] ^= 1 << bit % 8
        yield f"{name}: bit {bit}", Case(name, "bit", file, bytes(content))
