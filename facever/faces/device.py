"""Where to compute, and in which precision."""

from __future__ import annotations

from typing import Literal, get_args

import torch

from facever.errors import FaceverError, SettingError

Precision = Literal["auto", "bf16", "fp32"]
PRECISIONS: tuple[str, ...] = get_args(Precision)


def choose_device(name: str) -> torch.device:
    """The device called "auto" (CUDA, else Apple's GPU, else the CPU), "cpu", "cuda", "cuda:N" or "mps".

    Raises
    ------
    FaceverError
        If it is unknown or not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise FaceverError(f"there is no device {name!r}; use auto, cpu, cuda or mps") from error
    if device.type == "cpu":
        return torch.device("cpu")
    if device.type == "mps" and not device.index:
        if not torch.backends.mps.is_available():
            raise FaceverError("no Apple GPU can be used here; use --device cpu or auto")
        return torch.device("mps")
    if device.type != "cuda":  # torch knows many more, which this machine may lack
        raise FaceverError(f"the device {name!r} can't be used; use auto, cpu, cuda or mps")
    if not torch.cuda.is_available():
        raise FaceverError("no CUDA device can be used here; use --device cpu or auto")
    if device.index is not None and device.index >= torch.cuda.device_count():
        raise FaceverError(f"there is no device {name!r}, but {torch.cuda.device_count()}, counted from 0; use cuda")
    return device


def computes_in_bf16(precision: str, device: torch.device, native: bool = True) -> bool:
    """Whether to compute in bfloat16: as "bf16" or "fp32" ask, and with "auto" where the device is faster in it.

    A network that is not `native` to torch is computed in float32.

    Raises
    ------
    SettingError
        For any other precision, or "bf16" where it can't be.
    """
    if precision not in PRECISIONS:
        raise SettingError(f"is one of {', '.join(PRECISIONS)}, not {precision!r}", "precision")
    if precision == "bf16" and not native:
        raise SettingError("bf16 is not for weights that came from ONNX, which compute in float32", "precision")
    if precision != "auto" or not native:
        return precision == "bf16"
    if device.type == "cuda":
        # Natively from Ampere on; earlier cards emulate it, slowly. AMD's all have it.
        return torch.version.hip is not None or torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "mps":
        return False  # the M1 emulates it, and macOS 13 lacks it
    return any(getattr(torch.cpu, f"_is_{each}_supported", lambda: False)() for each in ("amx_tile", "avx512_bf16"))
