"""Which device, and which precision on it; with CUDA devices that are made up."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from facever.errors import FaceverError, SettingError
from facever.faces.device import choose_device, computes_in_bf16

CPU = torch.device("cpu")


@pytest.fixture
def two_devices(monkeypatch: pytest.MonkeyPatch) -> list[torch.device]:
    """As if there were a Turing card, which only emulates bfloat16, and an Ampere card. Gives those that are asked."""
    asked: list[torch.device] = []
    capabilities = {None: (7, 5), 0: (7, 5), 1: (8, 0)}

    def capability(device: Any = None) -> tuple[int, int]:
        assert isinstance(device, torch.device)
        asked.append(device)
        return capabilities[device.index]

    def emulated(*_: Any, **__: Any) -> bool:
        raise AssertionError("torch counts emulated bfloat16 as supported")

    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_capability", capability)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", emulated)
    return asked


def test_by_itself_bfloat16_is_for_the_card_that_computes_in_it(two_devices: list[torch.device]) -> None:
    first, second = torch.device("cuda:0"), torch.device("cuda:1")
    assert not computes_in_bf16("auto", first)
    assert computes_in_bf16("auto", second)
    assert two_devices == [first, second]


@pytest.mark.parametrize(("capability", "half"), [((7, 0), False), ((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_bfloat16_begins_with_ampere(
    two_devices: list[torch.device], monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], half: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert computes_in_bf16("auto", torch.device("cuda:1")) == half


def test_amds_cards_are_not_asked_for_a_capability_of_nvidias(
    two_devices: list[torch.device], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.version, "hip", "6.2")
    assert computes_in_bf16("auto", torch.device("cuda:0"))
    assert two_devices == []


@pytest.mark.parametrize("device", [CPU, torch.device("cuda:0"), torch.device("cuda:1")])
def test_a_precision_that_is_asked_for_is_taken_whatever_the_device(
    two_devices: list[torch.device], device: torch.device
) -> None:
    assert computes_in_bf16("bf16", device)
    assert not computes_in_bf16("fp32", device)


@pytest.mark.parametrize("tiles", [True, False])
@pytest.mark.parametrize("vectors", [True, False])
def test_a_processor_takes_bfloat16_where_it_multiplies_it(
    monkeypatch: pytest.MonkeyPatch, tiles: bool, vectors: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: tiles, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: vectors, raising=False)
    assert computes_in_bf16("auto", CPU) == (tiles or vectors)


def test_a_torch_that_can_not_tell_means_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported", raising=False)
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported", raising=False)
    assert not computes_in_bf16("auto", CPU)


@pytest.mark.parametrize("precision", ["fp16", "half", ""])
def test_no_other_precision_is_taken(precision: str) -> None:
    with pytest.raises(SettingError, match=f"precision is one of auto, bf16, fp32, not '{precision}'"):
        computes_in_bf16(precision, CPU)


def test_a_device_is_chosen_by_name(two_devices: list[torch.device]) -> None:
    assert choose_device("auto") == torch.device("cuda")
    assert choose_device("cuda:1") == torch.device("cuda:1")
    assert choose_device("cpu") == choose_device("cpu:0") == CPU
    with pytest.raises(FaceverError, match="no device 'cuda:2', but 2"):
        choose_device("cuda:2")
    for name, remedy in (("tpu", "use auto, cpu, cuda or mps"), ("meta", "can't be used")):
        with pytest.raises(FaceverError, match=remedy):
            choose_device(name)


def test_without_cuda_apples_gpu_computes_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True, raising=False)
    assert choose_device("auto") == choose_device("mps") == choose_device("mps:0") == torch.device("mps")
    assert not computes_in_bf16("auto", torch.device("mps"))
    with pytest.raises(FaceverError, match="'mps:1' can't be used"):
        choose_device("mps:1")


def test_cuda_comes_before_apples_gpu(two_devices: list[torch.device], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("auto") == torch.device("cuda")


def test_without_a_gpu_the_processor_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("auto") == CPU
    with pytest.raises(FaceverError, match="no Apple GPU can be used here; use --device cpu or auto"):
        choose_device("mps")
    with pytest.raises(FaceverError, match="use --device cpu or auto"):
        choose_device("cuda")
