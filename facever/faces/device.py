"""Devices, and the precision to compute in on them."""

from __future__ import annotations

import torch

from facever.errors import FaceverError

PRECISIONS = ("auto", "bf16", "fp32")


def choose_device(name: str) -> torch.device:
    """The device called "auto" (CUDA where there is one), "cpu", "cuda" or "cuda:N".

    Raises
    ------
    FaceverError
        If it is unknown or not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise FaceverError(f"there is no device {name!r}; use auto, cpu or cuda") from error
    if device.type == "cpu":
        return torch.device("cpu")
    if device.type != "cuda":  # torch knows many more, which this machine may lack
        raise FaceverError(f"the device {name!r} can't be used; use auto, cpu or cuda")
    if not torch.cuda.is_available():
        raise FaceverError("no CUDA device can be used here; use --device cpu or auto")
    if device.index is not None and device.index >= torch.cuda.device_count():
        raise FaceverError(f"there is no device {name!r}, but {torch.cuda.device_count()}, counted from 0; use cuda")
    return device


def computes_in_bf16(precision: str, device: torch.device) -> bool:
    """Whether to compute in bfloat16: "bf16" and "fp32" say so, "auto" does where that is faster.

    Raises FaceverError if the precision is none of these.
    """
    if precision not in PRECISIONS:
        raise FaceverError(f"a precision is one of {', '.join(PRECISIONS)}, not {precision!r}")
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    # AVX-512's own bf16 instructions are not enough: without tiles (AMX) networks ran at two thirds of float32's speed.
    return bool(getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)())
