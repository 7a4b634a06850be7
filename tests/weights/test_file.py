"""The weights file: what is written is what is read, and every kind of damage is named."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from samples import CHECK, RECORD
from torch import Tensor, nn

from facever.errors import OutputError, WeightsError
from facever.files import sha256_of
from facever.networks import EmbeddingNetwork, build_network
from facever.weights import shipped
from facever.weights.alignment import Alignment
from facever.weights.calibrated import Calibrated
from facever.weights.file import digest, load_weights, read_info, save_weights
from facever.weights.known_answer import check_known_answer
from facever.weights.metadata import DIGEST, KEY, WeightsInfo, with_thresholds
from facever.weights.records import Likelihood, Normalization, Quality
from facever.weights.shipped import find_weights, shipped_folder, shipped_weights
from facever.weights.thresholds import Threshold

resource = pytest.importorskip("resource")  # POSIX

ARGUMENTS = {"embedding_size": 8, "input_size": [32, 28], "widths": [4, 6], "depths": [1, 1], "stem": 4}

INFO = WeightsInfo(
    name="tiny",
    network="face_resnet_slim",
    network_arguments=ARGUMENTS,
    alignment=Alignment("tiny", 32, 28, ((8.25, 12), (20.5, 12), (14, 19), (9, 26), (19, 26)), fill="edge"),
    normalization=Normalization((122.782, 117.001, 104.298), 256.0),
    mirrored=True,
    loss={"name": "l2-softmax", "alpha": 16.0},
    training_data=[{"name": "zoë's pictures", "identities": 3, "photographs": 12}],
    license="MIT",
    credit="the facever developers",
    seed=7,
    thresholds=[
        Threshold(far=0.001, cosine=0.4375, source="three people", impostor_pairs=1000, tar=0.9),
        Threshold(far=0.0001, cosine=0.4 + 0.2, source="three people", impostor_pairs=1000, tar=0.8),
    ],
    settings={"minutes": 1.5, "nested": {"list": [1, None, True]}},
    versions={"facever": "0.1.0"},
)


@pytest.fixture(scope="module")
def network() -> EmbeddingNetwork:
    """A small network whose batch normalization has seen something."""
    torch.manual_seed(0)
    network = build_network("face_resnet_slim", **ARGUMENTS).train()
    with torch.no_grad():
        for _ in range(3):
            network(1 + 2 * torch.randn(8, 3, 32, 28))
    return network.eval()


@pytest.fixture
def weights(network: EmbeddingNetwork, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    save_weights(path, INFO, network, half=False)
    return path


def plain(info: WeightsInfo) -> WeightsInfo:
    """Without the known answer, which `save_weights` adds."""
    assert info.known_answer is not None
    return replace(info, known_answer=None)


def features(network: EmbeddingNetwork) -> Tensor:
    x = torch.randn(5, 3, 32, 28, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        return network(x)


def change(path: Path, metadata: Callable[[dict], Any] | None = None, **tensors: Tensor | None) -> None:
    """Write the file again with other metadata, and with tensors replaced, added or (None) left out."""
    state = load_file(path)
    with safe_open(path, "pt") as file:
        kept = json.loads(file.metadata()["facever"])
    if metadata is not None:
        kept = metadata(kept)
    for name, tensor in tensors.items():
        if tensor is None:
            del state[name]
        else:
            state[name] = tensor
    text = json.dumps(kept)
    save_file(state, path, metadata={"facever": text, "facever_sha256": digest(text, state)})


# --- round trips


def test_what_is_saved_is_what_is_loaded(weights: Path, network: EmbeddingNetwork, device: str) -> None:
    info, loaded = load_weights(weights, device)
    assert plain(info) == INFO
    assert not loaded.training
    expected = network.state_dict()
    assert loaded.state_dict().keys() == expected.keys()
    for name, tensor in loaded.state_dict().items():
        assert tensor.device.type == device
        assert torch.equal(tensor.cpu(), expected[name]), name
    assert torch.equal(features(loaded.cpu()), features(network))


def test_half_precision_halves_matrices_and_keeps_vectors(network: EmbeddingNetwork, tmp_path: Path) -> None:
    path = tmp_path / "half.safetensors"
    save_weights(path, INFO, network, half=True)
    for name, tensor in load_file(path).items():
        if tensor.is_floating_point():
            assert tensor.dtype == (torch.float16 if tensor.dim() >= 2 else torch.float32), name

    info, loaded = load_weights(path)
    assert plain(info) == INFO
    expected = network.state_dict()
    for name, tensor in loaded.state_dict().items():
        assert tensor.dtype == expected[name].dtype
        if tensor.dim() < 2:
            assert torch.equal(tensor, expected[name]), name
        else:
            torch.testing.assert_close(tensor, expected[name], rtol=2**-11, atol=2**-25)
    cosines = nn.functional.cosine_similarity(features(loaded), features(network))
    assert cosines.min() > 0.9999
    assert not torch.equal(features(loaded), features(network))


def test_half_precision_halves_the_file(tmp_path: Path) -> None:
    arguments = {**ARGUMENTS, "embedding_size": 256}
    network = build_network("face_resnet_slim", **arguments)
    for half in (False, True):
        save_weights(tmp_path / f"{half}.safetensors", INFO, network, half=half)
    whole, halved = ((tmp_path / f"{half}.safetensors").stat().st_size for half in (False, True))
    assert 0.5 * whole < halved < 0.6 * whole


def test_metadata_can_be_read_without_the_parameters(weights: Path) -> None:
    assert plain(read_info(weights)) == INFO
    assert msgspec.convert(json.loads(json.dumps(INFO.to_json())), WeightsInfo) == INFO


def test_a_file_without_thresholds_or_seed_is_whole_too(network: EmbeddingNetwork, tmp_path: Path) -> None:
    info = WeightsInfo("bare", INFO.network, ARGUMENTS, INFO.alignment, Normalization(), False, {}, [], "MIT", "nobody")
    save_weights(tmp_path / "bare.safetensors", info, network)
    assert plain(load_weights(tmp_path / "bare.safetensors")[0]) == info
    assert info.thresholds == [] and info.seed is None


def test_pixels_are_normalized_by_hand() -> None:
    pixels = torch.tensor([[[[100]], [[0]], [[255]]]], dtype=torch.uint8)
    x = Normalization((100.0, 50.0, 5.0), 50.0)(pixels)
    assert x.dtype == torch.float32
    assert x.flatten().tolist() == [0, -1, 5]


# --- the shipped weights


def test_the_default_weights_load_and_tell_crops_apart() -> None:
    assert "default" in shipped_weights()
    info, network = load_weights("default")
    assert network.input_size == (info.alignment.height, info.alignment.width)
    assert info.license and info.credit and info.training_data
    assert not network.training
    rng = np.random.default_rng(0)
    crops = torch.from_numpy(rng.integers(0, 256, (2, 3, *network.input_size), np.uint8))
    with torch.no_grad():
        first, second = network(info.normalization(crops))
    assert first.shape == (network.embedding_size,)
    assert first.isfinite().all() and first.norm() > 0
    assert not torch.allclose(first, second, rtol=1e-3)


@pytest.mark.parametrize("name", shipped_weights())
def test_all_shipped_weights_are_whole(name: str) -> None:
    info, network = load_weights(find_weights(name))
    assert info.name == name
    assert (info.alignment.height, info.alignment.width) == network.input_size
    for threshold in info.thresholds:
        assert 0 < threshold.far < 1 and -1 < threshold.cosine < 1 and 0 < threshold.tar <= 1
        assert threshold.source and threshold.impostor_pairs * threshold.far >= 1


# --- names and paths


def test_shipped_weights_are_found_by_name_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_weights("default") == shipped_folder() / "default.safetensors"
    (tmp_path / "default").mkdir()  # a folder of that name does not hide them, nor does a file
    (tmp_path / "dlib").write_bytes(b"a file in the working directory")
    assert find_weights("dlib") == shipped_folder() / "dlib.safetensors"
    assert find_weights("default") == shipped_folder() / "default.safetensors"


def test_other_weights_are_found_by_path(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_weights(weights) == find_weights(str(weights)) == weights
    monkeypatch.chdir(weights.parent)
    assert find_weights("tiny.safetensors") == Path("tiny.safetensors")
    assert plain(load_weights(Path("tiny.safetensors"))[0]) == INFO


@pytest.mark.parametrize("name", ["no-such-weights", "default.safetensors", "no/default", "../default", ""])
def test_weights_that_are_not_there_are_named_with_those_that_are(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WeightsError, match=r"\(.*default.*\)|is a folder"):
        find_weights(name)


def test_a_missing_file_is_called_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "gone.safetensors"
    with pytest.raises(WeightsError, match=r"no weights file '.*gone\.safetensors' \(shipped are "):
        load_weights(path)


def test_a_folder_is_not_a_weights_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=rf"{tmp_path.name} is a folder; name a weights file"):
        load_weights(tmp_path)


# --- thresholds


def test_files_of_an_earlier_format_are_refused_with_the_remedy(weights: Path) -> None:
    def old(kept: dict) -> dict:
        return {**kept, "format": 1, "licence": kept.pop("license"), "normalisation": kept.pop("normalization")}

    change(weights, old)
    with pytest.raises(WeightsError, match="format 1, and this facever reads format 3; train or import it again"):
        read_info(weights)


def test_a_file_named_like_shipped_weights_is_found_by_a_path_only(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scratch").write_bytes(weights.read_bytes())
    monkeypatch.chdir(tmp_path)
    assert read_info("scratch").name == "scratch"
    assert plain(read_info("./scratch")) == plain(read_info(Path("scratch"))) == INFO
    (tmp_path / "mine").write_bytes(weights.read_bytes())
    with pytest.raises(WeightsError, match=r"no weights called 'mine' .*write ./mine for the file"):
        read_info("mine")


def test_intervals_and_the_likelihood_line_are_read_as_they_were_written(network, tmp_path: Path) -> None:
    threshold = replace(INFO.thresholds[0], cosine_interval=(0.4, 0.5), far_interval=(5e-4, 2e-3))
    line = Likelihood(12.5, -3.0, 0.3, 0.25, "three people", 9, 1000)
    info = with_thresholds(INFO, Calibrated([threshold], line))
    save_weights(tmp_path / "w.safetensors", info, network)
    assert plain(read_info(tmp_path / "w.safetensors")) == info
    assert with_thresholds(info, Calibrated([])).likelihood is None  # it belonged to the old ones


@pytest.mark.parametrize("record", [RECORD, replace(RECORD, check=None)])
def test_the_record_of_quality_is_read_as_it_was_written(network, tmp_path: Path, record: Quality) -> None:
    info = with_thresholds(INFO, Calibrated([], None, record))
    save_weights(tmp_path / "w.safetensors", info, network)
    assert plain(read_info(tmp_path / "w.safetensors")) == info
    assert with_thresholds(info, Calibrated([])).quality == record  # norms do not hang on thresholds


def test_photographs_are_declined_only_by_a_record_that_is_of_use() -> None:
    assert replace(INFO, quality=RECORD).quality_to_decline_by() == RECORD
    useless = replace(RECORD, check=replace(CHECK, saved_interval=(-0.01, 0.1)))
    for quality, why in (
        (None, "they hold no quality record"),
        (replace(RECORD, check=None), "some people have too few pairs"),
        (useless, "helps no more than discarding at random: FRR 10.00 % without the lowest 20 %, 20.00 % at random"),
    ):
        with pytest.raises(WeightsError, match=rf"'tiny' can't tell .*{why}.*; drop --min-quality, .*calibrate"):
            replace(INFO, quality=quality).quality_to_decline_by()


def test_a_path_that_is_no_utf8_says_to_rename_the_file(weights: Path, tmp_path: Path) -> None:
    other = weights.rename(tmp_path / os.fsdecode(b"caf\xe9.safetensors"))
    for read in (load_weights, read_info):
        with pytest.raises(WeightsError, match=r"\.safetensors: safetensors can't open .* UTF-8; rename the file"):
            read(other)


@pytest.mark.parametrize(("far", "cosine"), [(0.001, 0.4375), (1e-4, 0.4 + 0.2), (1 / 1000, 0.4375)])
def test_a_threshold_is_found_by_its_false_accept_rate(weights: Path, far: float, cosine: float) -> None:
    assert read_info(weights).threshold(far).cosine == cosine


def test_a_threshold_that_is_not_stored_is_refused_with_those_that_are() -> None:
    with pytest.raises(
        WeightsError, match=r"'tiny': no threshold for FAR 0\.01, but for 0\.001, 0\.0001; say --far 0\.001"
    ):
        INFO.threshold(0.01)
    with pytest.raises(WeightsError, match=r"'tiny': no thresholds; give --threshold"):
        replace(INFO, thresholds=[]).threshold(0.001)


# --- damage


def test_a_file_cut_off_anywhere_is_refused(weights: Path) -> None:
    data = weights.read_bytes()
    lengths = {0, 1, 7, 8, 9, len(data) - 1, *range(10, len(data), len(data) // 60)}
    for length in sorted(lengths):
        weights.write_bytes(data[:length])
        for read in (load_weights, read_info):
            with pytest.raises(WeightsError, match=r"tiny\.safetensors: not a whole safetensors file"):
                read(weights)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not weights at all",
        bytes(1000),
        b"\xff" * 1000,
        b"\xff\xd8\xff\xe0" + bytes(500),
        np.random.default_rng(0).bytes(5000),
        (2).to_bytes(8, "little") + b"[]",
    ],
    ids=["empty", "text", "zeros", "ones", "a photograph", "noise", "another header"],
)
def test_what_is_no_safetensors_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "garbage.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"garbage\.safetensors: not a whole safetensors file"):
        load_weights(path)


class _Trap:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable, tuple[Path]]:
        return Path.touch, (self.path,)


def test_a_pickle_is_refused_and_not_run(tmp_path: Path, network: EmbeddingNetwork) -> None:
    trap, path, checkpoint = tmp_path / "sprung", tmp_path / "pickle.safetensors", tmp_path / "model.pt"
    path.write_bytes(pickle.dumps(_Trap(trap)))
    torch.save(network.state_dict(), checkpoint)
    for file in (path, checkpoint):
        with pytest.raises(WeightsError, match=rf"{file.name}: not a whole safetensors file"):
            load_weights(file)
    assert not trap.exists()
    pickle.loads(path.read_bytes())
    assert trap.exists(), "the trap does not work"


@pytest.mark.parametrize("metadata", [None, {}, {"format": "pt"}])
def test_safetensors_of_others_are_refused(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(3)}, path, metadata=metadata)
    with pytest.raises(WeightsError, match=r"other\.safetensors: a safetensors file, but not one of facever's"):
        load_weights(path)


FIRST = "features.0.weight"  # (4, 3, 3, 3)

DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "a later format": (
        lambda path: change(path, lambda kept: {**kept, "format": 4}),
        "a weights file of format 4, and this facever reads format 3; train or import it again",
    ),
    "no format": (
        lambda path: change(path, lambda kept: {k: v for k, v in kept.items() if k != "format"}),
        "a weights file of format None",
    ),
    "an unknown network": (
        lambda path: change(path, lambda kept: {**kept, "network": "resnet50"}),
        "its network can't be built: there is no network 'resnet50'",
    ),
    "an unknown argument": (
        lambda path: change(path, lambda kept: {**kept, "network_arguments": {"layers": 3}}),
        "its network can't be built: face_resnet_slim takes no argument 'layers'",
    ),
    "an impossible argument": (
        lambda path: change(path, lambda kept: {**kept, "network_arguments": {"widths": "many"}}),
        "its network can't be built",
    ),
    "another network": (
        lambda path: change(path, lambda kept: {**kept, "network_arguments": {**ARGUMENTS, "embedding_size": 9}}),
        r"not the parameters of face_resnet_slim: .* has shape \(8.*\) in place of \(9",
    ),
    "a missing tensor": (lambda path: change(path, **{FIRST: None}), f"{FIRST} is missing"),
    "an extra tensor": (lambda path: change(path, extra=torch.zeros(2)), "extra is unknown to it"),
    "a tensor of another shape": (
        lambda path: change(path, **{FIRST: torch.zeros(4, 3, 3)}),
        rf"{FIRST} has shape \(4, 3, 3\) in place of \(4, 3, 3, 3\)",
    ),
    "a value that is not a number": (
        lambda path: change(path, **{FIRST: torch.full((4, 3, 3, 3), torch.nan)}),
        f"{FIRST} holds values that are not finite",
    ),
    "one infinite value of many": (
        lambda path: change(path, **{"norm.running_var": torch.tensor([1.0] * 7 + [torch.inf])}),
        r"norm\.running_var holds values that are not finite",
    ),
    "crops of another size": (
        lambda path: change(path, lambda kept: {**kept, "alignment": {**kept["alignment"], "width": 32}}),
        r"its crops are \(32, 32\), but its network face_resnet_slim takes \(32, 28\)",
    ),
    "an alignment of four landmarks": (
        lambda path: change(path, lambda kept: {**kept, "alignment": {**kept["alignment"], "landmarks": [[1, 2]] * 4}}),
        "its metadata is broken .*five landmarks",
    ),
    "an endless alignment": (
        lambda path: change(path, lambda kept: {**kept, "alignment": {**kept["alignment"], "width": 1e999}}),
        "its metadata is broken",
    ),
    "a threshold of another kind": (
        lambda path: change(path, lambda kept: {**kept, "thresholds": [{"far": 0.1}]}),
        "its metadata is broken .*missing",
    ),
    "metadata that are a list": (lambda path: change(path, lambda kept: [kept]), "its metadata is broken"),
    "metadata that are no JSON": (
        lambda path: save_file(load_file(path), path, metadata={"facever": "{'format': 1}"}),
        "its metadata is broken .*JSON",
    ),
}


@pytest.mark.parametrize("kind", list(DAMAGE))
def test_damage_is_named_with_its_file(kind: str, weights: Path) -> None:
    damage, message = DAMAGE[kind]
    load_weights(weights)
    damage(weights)
    with pytest.raises(WeightsError, match=rf"^{weights}: .*{message}"):
        load_weights(weights)


FIELDS = [
    "name",
    "network",
    "network_arguments",
    "alignment",
    "normalization",
    "mirrored",
    "loss",
    "training_data",
    "license",
    "credit",
]


@pytest.mark.parametrize("field", FIELDS)
def test_metadata_without_one_of_its_fields_are_refused(field: str, weights: Path) -> None:
    change(weights, lambda kept: {name: value for name, value in kept.items() if name != field})
    for read in (read_info, load_weights):
        with pytest.raises(WeightsError, match=rf"tiny\.safetensors: its metadata is broken .*{field}"):
            read(weights)


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("normalization", "scale"), 0.0),
        (("normalization", "scale"), float("nan")),
        (("normalization", "mean"), [127.5, 127.5]),
        (("normalization", "mean"), [127.5, 127.5, float("inf")]),
        (("alignment", "landmarks"), [[float("nan"), 12], [20.5, 12], [14, 19], [9, 26], [19, 26]]),
        (("thresholds",), [{"far": 0.001, "cosine": None, "source": "a", "impostor_pairs": 9, "tar": 0.5}]),
        (("thresholds",), [{"far": 0.001, "cosine": "0.4", "source": "a", "impostor_pairs": 9, "tar": 0.5}]),
        (("mirrored",), "no"),
        (("likelihood",), {"slope": 1.0}),
        (("likelihood",), [1.0, 2.0]),
        (
            ("thresholds",),
            [{"far": 0.1, "cosine": 0.4, "source": "", "impostor_pairs": 9, "tar": 1, "far_interval": [1]}],
        ),
    ],
    ids=lambda value: ".".join(value) if isinstance(value, tuple) else None,
)
def test_metadata_that_could_only_give_wrong_answers_are_refused(
    keys: tuple[str, ...], value: Any, weights: Path
) -> None:
    def with_value(kept: dict) -> dict:
        inner = kept
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = value
        return kept

    change(weights, with_value)
    with pytest.raises(WeightsError, match=r"tiny\.safetensors: its metadata is broken"):
        read_info(weights)


@pytest.mark.slow
def test_a_disturbed_header_is_refused_or_harmless(weights: Path) -> None:
    """Whatever byte of the header is another one, nothing but a WeightsError may come of it."""
    data = weights.read_bytes()
    header = 8 + int.from_bytes(data[:8], "little")
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        disturbed = bytearray(data)
        disturbed[rng.integers(header)] = rng.choice(list(b'0123456789{}[]:,"eN-. a\xff'))
        weights.write_bytes(disturbed)
        try:
            load_weights(weights)
        except WeightsError as error:
            assert str(weights) in str(error)
            refused += 1
    assert refused > 200


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused(weights: Path) -> None:
    weights.chmod(0)
    with pytest.raises(WeightsError, match=r"tiny\.safetensors"):
        load_weights(weights)


# --- writing that fails


def test_metadata_that_are_no_json_leave_the_old_file(weights: Path, network: EmbeddingNetwork) -> None:
    before = weights.read_bytes()
    info = replace(INFO, settings={"a": {1}})
    with pytest.raises(TypeError):
        save_weights(weights, info, network)
    assert weights.read_bytes() == before
    assert [each.name for each in weights.parent.iterdir()] == ["tiny.safetensors"]


def test_a_full_disk_leaves_the_old_file(weights: Path, network: EmbeddingNetwork) -> None:
    before = weights.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # refused as on a full disk
    try:
        with pytest.raises(OutputError, match=r"tiny\.safetensors: can't be written"):
            save_weights(weights, INFO, network)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert weights.read_bytes() == before
    assert [each.name for each in weights.parent.iterdir()] == ["tiny.safetensors"]


def test_weights_do_not_take_the_place_of_a_folder(tmp_path: Path, network: EmbeddingNetwork) -> None:
    (tmp_path / "weights").mkdir()
    with pytest.raises(OutputError, match="weights is a folder"):
        save_weights(tmp_path / "weights", INFO, network)
    assert [each.name for each in tmp_path.iterdir()] == ["weights"]
    assert list((tmp_path / "weights").iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_stays_empty(tmp_path: Path, network: EmbeddingNetwork) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="Permission denied"):
            save_weights(tmp_path / "tiny.safetensors", INFO, network)
    finally:
        tmp_path.chmod(0o700)
    assert list(tmp_path.iterdir()) == []


# --- damage of single bits, and values that no calibration writes


@pytest.mark.slow
@pytest.mark.parametrize("name", shipped_weights())
def test_every_flipped_bit_of_shipped_weights_is_refused(name: str, tmp_path: Path) -> None:
    """A bit of an exponent can make everybody the same person: none may pass."""
    data = bytearray(find_weights(name).read_bytes())
    path = tmp_path / "flipped.safetensors"
    draw = np.random.default_rng(0)
    for position, bit in zip(draw.integers(len(data), size=200), draw.integers(8, size=200), strict=True):
        data[position] ^= 1 << bit
        path.write_bytes(data)
        with pytest.raises(WeightsError, match=r"flipped\.safetensors: "):
            load_weights(path)
        data[position] ^= 1 << bit
    path.write_bytes(data)
    load_weights(path)


GOOD = {"far": 1e-3, "cosine": 0.5, "source": "a", "impostor_pairs": 9, "tar": 0.5}


@pytest.mark.parametrize(
    "thresholds",
    [
        [{**GOOD, "cosine": -5.0}],
        [{**GOOD, "cosine": 2}],
        [{**GOOD, "cosine": True}],
        [{**GOOD, "cosine": float("nan")}],
        [{**GOOD, "cosine": 10**401}],
        [{**GOOD, "far": -1.0}],
        [{**GOOD, "far": 2}],
        [{**GOOD, "far": 0}],
        [{**GOOD, "tar": 1.5}],
        [{**GOOD, "impostor_pairs": -3}],
        [{**GOOD, "impostor_pairs": 9.5}],
        [{**GOOD, "source": None}],
        [{**GOOD, "cosine_interval": [0.6, 0.4]}],
        [{**GOOD, "far_interval": [0.1, 1.4]}],
        [GOOD, GOOD],
        [GOOD, {**GOOD, "far": 1e-4, "cosine": 0.4}],
        [{**GOOD, "worst_group": {"by": "dlib"}}],
    ],
)
def test_thresholds_out_of_range_or_order_are_refused(thresholds: list[dict[str, Any]], weights: Path) -> None:
    change(weights, lambda kept: {**kept, "thresholds": [GOOD]})
    assert [t.cosine for t in read_info(weights).thresholds] == [0.5]
    change(weights, lambda kept: {**kept, "thresholds": thresholds})
    with pytest.raises(WeightsError, match=r"tiny\.safetensors: its metadata is broken"):
        read_info(weights)


def test_metadata_that_are_nested_too_deep_are_refused(weights: Path) -> None:
    text, state = '{"format": 3, "loss": ' + "[" * 100_000 + "]" * 100_000 + "}", load_file(weights)
    save_file(state, weights, metadata={"facever": text, "facever_sha256": digest(text, state)})
    with pytest.raises(WeightsError, match=r"tiny\.safetensors: its metadata is broken"):
        read_info(weights)


# --- the known answer


def test_the_known_answer_is_that_of_the_network_and_another_network_fails_it(
    weights: Path, network: EmbeddingNetwork
) -> None:
    info, loaded = load_weights(weights)
    assert info.known_answer is not None
    crop = np.random.default_rng(info.known_answer.seed).integers(0, 256, (32, 28, 3), np.uint8)
    x = (torch.from_numpy(crop).float() - torch.tensor([122.782, 117.001, 104.298])).permute(2, 0, 1)[None] / 256
    with torch.no_grad():
        expected = nn.functional.normalize(network(x) + network(x.flip(3)))[0]
    assert info.known_answer.embedding == pytest.approx(expected.tolist(), abs=2e-6)
    assert check_known_answer(info, loaded) == pytest.approx(1.0, abs=1e-5)
    with torch.no_grad():
        next(loaded.parameters()).mul_(-1)
    with pytest.raises(WeightsError, match="tiny answers otherwise here than where it was written"):
        check_known_answer(info, loaded)
    assert check_known_answer(replace(info, known_answer=None), loaded) is None


def test_a_shipped_file_that_was_exchanged_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own digest is right, so only the sums that came with the package can tell."""
    for name in ("scratch.safetensors", shipped.SUMS):
        shutil.copyfile(shipped.shipped_folder() / name, tmp_path / name)
    monkeypatch.setattr(shipped, "shipped_folder", lambda: tmp_path)
    assert shipped.weights_sha256(tmp_path / "scratch.safetensors") == sha256_of(tmp_path / "scratch.safetensors")
    shutil.copyfile(tmp_path / "scratch.safetensors", tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match=r"other\.safetensors: not the file that came with facever"):
        shipped.weights_sha256(tmp_path / "other.safetensors")


def test_the_sums_are_of_all_shipped_weights() -> None:
    for name in shipped.shipped_weights():
        assert len(shipped.weights_sha256(find_weights(name))) == 64


def test_a_declared_size_is_not_allocated(tmp_path: Path) -> None:
    """16 TB for a dense layer: refused by the shapes, which takes no memory."""
    path = tmp_path / "w.safetensors"
    info, network = load_weights("scratch")
    save_weights(path, info, network)
    state = load_file(path)
    text = json.dumps({**info.to_json(), "network_arguments": {**info.network_arguments, "embedding_size": 10**9}})
    save_file(state, path, metadata={KEY: text, DIGEST: digest(text, state)})
    with pytest.raises(WeightsError, match="not the parameters of face_resnet_slim"):
        load_weights(path)
