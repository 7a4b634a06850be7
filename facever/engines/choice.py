"""Which engine embeds; a module of its own, so that the local one imports nothing of the other."""

from __future__ import annotations

import importlib.util
import socket

from facever.errors import FaceverError, SettingError, reason_of

CONNECT = 10.0  # seconds
ENGINES = ("local", "ray")
DEVICES = ("auto", "cpu", "cuda")


def check_engine(engine: str, address: str | None, device: str) -> None:
    """Raise SettingError for an engine that isn't there, and an address or a device that it can't use.

    Raises FaceverError where nothing answers at the address.
    """
    if engine not in ENGINES:
        raise SettingError(f"is one of {', '.join(ENGINES)}, not {engine!r}", "engine")
    if engine == "local":
        if address is not None:
            raise SettingError("is for --engine ray", "address")
        return
    if importlib.util.find_spec("ray") is None:
        raise SettingError("ray needs Ray; pip install 'facever[ray]'", "engine")
    if device not in DEVICES:
        raise SettingError(f"is one of {', '.join(DEVICES)} with --engine ray, not {device!r}", "device")
    if address is None or address == "auto":
        return
    host, _, port = address.rpartition(":")
    if "/" in host or not port.isdecimal():
        raise SettingError("is auto or HOST:PORT; run this on a machine of the cluster", "address")
    try:
        socket.create_connection((host, int(port)), CONNECT).close()
    except (OSError, OverflowError) as error:  # Ray would try for minutes
        raise FaceverError(f"no Ray cluster answers at {address} ({reason_of(error)}); check --address") from error
