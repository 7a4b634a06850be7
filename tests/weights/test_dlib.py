"""dlib's serialised network: against dlib itself, and against files written by hand."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from facever.errors import WeightsError
from facever.faces.alignment import align
from facever.faces.images import load_image
from facever.networks import ResNet29
from facever.weights.alignment import DLIB_150
from facever.weights.dlib import NORMALIZATION, _Reader, dlib_info, read_layers, read_network
from facever.weights.file import load_weights, save_weights


@pytest.fixture(scope="module")
def dat_folder() -> Path:
    """The folder of dlib's .dat files; the package that brings them need not be importable."""
    spec = importlib.util.find_spec("face_recognition_models")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("face_recognition_models, which brings dlib's .dat files, is not installed")
    return Path(next(iter(spec.submodule_search_locations))) / "models"


@pytest.fixture(scope="module")
def dat(dat_folder: Path) -> Path:
    path = dat_folder / "dlib_face_recognition_resnet_model_v1.dat"
    if not path.is_file():
        pytest.skip(f"no file {path}")
    return path


@pytest.fixture(scope="module")
def converted(dat: Path) -> ResNet29:
    return read_network(dat)


@pytest.fixture(scope="module")
def dlib_model(dat: Path) -> Any:
    dlib = pytest.importorskip("dlib", reason="dlib itself is not installed")
    return dlib.face_recognition_model_v1(str(dat))


@torch.no_grad()
def features(network: nn.Module, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    return network(NORMALIZATION(torch.from_numpy(crops).permute(0, 3, 1, 2))).numpy()


# --- against dlib


@pytest.mark.slow
def test_features_of_noise_are_those_of_dlib(converted: ResNet29, dlib_model: Any) -> None:
    crops = np.random.default_rng(0).integers(0, 256, (6, 150, 150, 3), np.uint8)
    crops[4], crops[5] = 0, 255
    expected = [np.array(dlib_model.compute_face_descriptor(crop)) for crop in crops]
    np.testing.assert_allclose(features(converted, crops), expected, rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.data
def test_features_of_aligned_faces_are_those_of_dlib(data_folder: Path, converted: ResNet29, dlib_model: Any) -> None:
    paths = sorted((data_folder / "lfw").glob("*/*.jpg"))[::400]
    # LFW's photographs are all but aligned: about there lie the eyes, the nose and the mouth.
    landmarks = np.array([[104, 114], [146, 114], [125, 138], [107, 160], [144, 160]], float)
    rng = np.random.default_rng(0)
    crops = [align(load_image(path), landmarks + rng.normal(0, 3, (5, 2)), DLIB_150) for path in paths]
    expected = np.array([dlib_model.compute_face_descriptor(crop) for crop in crops])
    assert len(expected) > 15 and np.ptp(expected, axis=0).max() > 0.1
    np.testing.assert_allclose(features(converted, np.stack(crops)), expected, rtol=0, atol=1e-5)


def test_the_converted_network_can_be_saved_and_loaded(converted: ResNet29, tmp_path: Path) -> None:
    save_weights(tmp_path / "dlib.safetensors", dlib_info("dlib"), converted, half=False)
    info, loaded = load_weights(tmp_path / "dlib.safetensors")
    assert (info.name, info.network, info.license, info.mirrored) == ("dlib", "resnet29", "CC0-1.0", True)
    assert info.normalization == NORMALIZATION
    assert (info.alignment.height, info.alignment.width) == loaded.input_size
    crops = np.random.default_rng(1).integers(0, 256, (2, 150, 150, 3), np.uint8)
    np.testing.assert_array_equal(features(loaded, crops), features(converted, crops))


# --- against files written by hand


def integer(value: int, size: int = 4) -> bytes:
    """A control byte, which holds the size and, in its bit 7, the sign; then the value, little-endian."""
    return bytes([size | (0x80 if value < 0 else 0)]) + abs(value).to_bytes(size, "little")


def text(value: bytes) -> bytes:
    return integer(len(value), 1) + value


def tensor(values: NDArray) -> bytes:
    shape = (*values.shape, *[1] * (4 - values.ndim))
    return b"".join([integer(2, 1), *(integer(side, 3) for side in shape), values.astype("<f4").tobytes()])


@pytest.fixture(scope="module")
def by_hand() -> tuple[bytes, nn.Module]:
    """A whole .dat file of random parameters; and the network that it holds, its affine maps not folded."""
    rng = np.random.default_rng(5)
    network = ResNet29().eval()
    parts = [text(b"loss_metric_2"), integer(1, 1)]
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    for i, convolution in enumerate(convolutions):
        c_out, c_in, k, _ = convolution.weight.shape
        weight = rng.normal(0, (2 / (c_in * k * k)) ** 0.5, (c_out, c_in, k, k)).astype(np.float32)
        bias, gain, shift = rng.normal(0, [[0.1], [0.1], [0.1]], (3, c_out)).astype(np.float32)
        gain += 1
        parts += [text(b"con_4"), tensor(np.concatenate([weight.ravel(), bias])), integer(-i), b"\x08" + bytes(8)]
        parts += [text(b"affine_"), tensor(np.concatenate([gain, shift])), integer(c_out)]
        convolution.weight.data, convolution.bias.data = torch.tensor(weight), torch.tensor(bias)
        scale, offset = torch.tensor(gain).view(-1, 1, 1), torch.tensor(shift).view(-1, 1, 1)
        convolution.register_forward_hook(lambda module, x, y, a=scale, b=offset: a * y + b)
    matrix = rng.normal(0, 0.1, (256, 128)).astype(np.float32)
    parts += [text(b"fc_no_bias_"), integer(128), integer(256), tensor(matrix), integer(1, 1), bytes(20)]
    network.dense.weight.data = torch.tensor(matrix.T.copy())
    return b"".join(parts), network


@pytest.fixture(scope="module")
def file_by_hand(by_hand: tuple[bytes, nn.Module], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("dlib") / "hand.dat"
    path.write_bytes(by_hand[0])
    yield path
    path.unlink()


def test_affine_maps_are_folded_into_the_convolutions(by_hand: tuple[bytes, nn.Module], file_by_hand: Path) -> None:
    crops = np.random.default_rng(2).integers(0, 256, (2, 150, 150, 3), np.uint8)
    expected = features(by_hand[1], crops)
    found = features(read_network(file_by_hand), crops)
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"\x01\x00", 0),
        (b"\x01\x05", 5),
        (b"\x01\xff", 255),
        (b"\x02\x00\x01", 256),
        (b"\x04\x40\xe2\x01\x00", 123456),
        (b"\x08\x00\x00\x00\x00\x00\x00\x00\x01", 2**56),
        (b"\x81\x01", -1),
        (b"\x82\x00\x01", -256),
        (b"\x84\x40\xe2\x01\x00", -123456),
    ],
)
def test_an_integer_is_a_control_byte_and_little_endian_bytes(data: bytes, value: int) -> None:
    reader = _Reader(b"?" + data + b"\x01\x07", position=1)
    assert reader.integer() == value
    assert reader.integer() == 7


@pytest.mark.parametrize("data", [b"\x00\x01", b"\x09" + bytes(9), b"\x8f" + bytes(20)])
def test_an_integer_of_no_or_too_many_bytes_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="no integer at byte 0"):
        _Reader(data).integer()


def test_a_tensor_is_a_version_four_sides_and_floats() -> None:
    data = b"\x01\x02" + b"\x01\x01\x01\x02\x01\x01\x02\x03\x00" + np.arange(6, dtype="<f4").tobytes() + b"\x01\x09"
    reader = _Reader(data)
    assert reader.tensor().tolist() == [[[[0, 1, 2]], [[3, 4, 5]]]]
    assert reader.integer() == 9


@pytest.mark.parametrize(
    "data",
    [
        b"\x01\x03" + 4 * b"\x01\x01" + bytes(4),  # another version
        b"\x01\x02" + 3 * b"\x01\x01" + b"\x01\x00",  # no values
        b"\x01\x02" + 3 * b"\x01\x01" + b"\x01\x02" + bytes(4),  # two values, of which one is there
        b"\x01\x02" + 4 * (b"\x08" + 7 * b"\xff" + b"\x7f"),  # more than fit any memory
    ],
)
def test_a_broken_tensor_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        _Reader(data).tensor()


def test_layers_are_read_in_order_between_what_else_there_is() -> None:
    con, affine, dense = np.arange(3), np.arange(2) + 10, np.arange(6).reshape(2, 3) + 20
    data = (
        text(b"loss_metric_2")
        + text(b"con_4")
        + tensor(con)
        + b"con_4 by chance"
        + text(b"affine_")
        + tensor(affine)
        + text(b"relu_")
        + text(b"fc_no_bias_")
        + integer(3)
        + integer(2)
        + tensor(dense)
        + bytes(9)
    )
    layers = [(kind, values.tolist()) for kind, values in read_layers(data)]
    assert layers == [("con", [0, 1, 2]), ("affine", [10, 11]), ("fc", [20, 21, 22, 23, 24, 25])]


# --- broken files


@pytest.mark.parametrize("share", [1e-6, 0.001, 0.1, 0.5, 0.9, 0.99, 0.9999])
def test_a_file_cut_off_is_refused_by_its_name(file_by_hand: Path, tmp_path: Path, share: float) -> None:
    data = file_by_hand.read_bytes()
    path = tmp_path / "cut.dat"
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(WeightsError, match=r"cut\.dat: not dlib's face network"):
        read_network(path)


@pytest.mark.parametrize("share", [0.01, 0.6, 0.99])
def test_dlibs_file_cut_off_is_refused_by_its_name(dat: Path, tmp_path: Path, share: float) -> None:
    data = dat.read_bytes()
    path = tmp_path / "cut.dat"
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(WeightsError, match=r"cut\.dat: not dlib's face network"):
        read_network(path)


@pytest.mark.parametrize("file_name", ["mmod_human_face_detector.dat", "shape_predictor_5_face_landmarks.dat"])
def test_dlibs_other_networks_are_refused(dat_folder: Path, file_name: str) -> None:
    path = dat_folder / file_name
    if not path.is_file():
        pytest.skip(f"no file {path}")
    with pytest.raises(WeightsError, match=rf"{file_name}: not dlib's face network"):
        read_network(path)


BROKEN: dict[str, tuple[bytes | None, str]] = {
    "empty": (b"", "not dlib's face network"),
    "zeros": (bytes(10_000), "not dlib's face network"),
    "noise": (np.random.default_rng(0).bytes(100_000), "not dlib's face network"),
    "only-a-name": (text(b"con_4"), "not dlib's face network"),
    "text": (b"con_4 affine_ fc_no_bias_" * 50, "not dlib's face network"),
    "missing": (None, "can't be read .*name dlib's .dat file"),
}


@pytest.mark.parametrize("kind", list(BROKEN))
def test_what_is_no_dlib_network_is_refused_by_its_name(kind: str, tmp_path: Path) -> None:
    content, message = BROKEN[kind]
    path = tmp_path / f"{kind}.dat"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match=rf"{kind}\.dat: {message}"):
        read_network(path)


def test_a_folder_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=rf"{tmp_path.name}: can't be read \(Is a directory\)"):
        read_network(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.replace(text(b"affine_"), text(b"bn_con_"), 1), "58 layers with parameters, where 59"),
        (lambda data: data.replace(text(b"fc_no_bias_") + integer(128), text(b"fc_no_bias_") + integer(64)), "dense"),
    ],
    ids=["an affine map is missing", "a smaller dense layer"],
)
def test_another_network_of_dlib_is_refused(
    by_hand: tuple[bytes, nn.Module], tmp_path: Path, change: Callable[[bytes], bytes], message: str
) -> None:
    path = tmp_path / "other.dat"
    path.write_bytes(change(by_hand[0]))
    with pytest.raises(WeightsError, match=rf"other\.dat: .*{message}"):
        read_network(path)
