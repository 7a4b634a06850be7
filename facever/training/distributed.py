"""A training on several processes, as `torchrun` starts them.

Each takes `batch_size` photographs of every step, so a step sees batch_size times the number of processes. Learning
rates stay as given (the common rule for SGD is to double the rate with the batch: P. Goyal et al., *Accurate, Large
Minibatch SGD*, 2017). Gradients are averaged over the processes. The first one validates, logs and saves.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from facever.errors import FaceverError
from facever.faces.device import choose_device

# The others wait while the first one detects, aligns or validates.
PATIENCE = timedelta(hours=6)
# Seconds in which gloo's threads release the last reduced tensor. They need the interpreter's lock for it, and a thread
# that asks for it while the interpreter shuts down aborts the process.
SETTLING = 0.5


class ProcessLost(FaceverError):
    """Another process of this training ended."""


class ProcessGroup:
    """The processes of a training; one alone, unless `process_group` says otherwise."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size

    @property
    def first(self) -> bool:
        return self.rank == 0

    def wait(self) -> None:
        """Until all are here."""
        if self.size > 1:
            dist.barrier()

    def agree(self, share: float, stop: bool) -> tuple[float, bool]:
        """The first process's share of the training, and whether any process is to stop."""
        if self.size == 1:
            return share, stop
        both = torch.tensor([share if self.first else 0.0, float(stop)], dtype=torch.float64)
        dist.all_reduce(both, dist.ReduceOp.MAX)
        return float(both[0]), bool(both[1])

    def mean(self, values: Sequence[float]) -> list[float]:
        """The mean of each over all processes."""
        if self.size == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(total)
        return (total / self.size).tolist()

    def gather(self, part: Tensor) -> Tensor:
        """The whole batch, from the equal part of each process."""
        if self.size == 1:
            return part
        parts = [torch.empty_like(part) for _ in range(self.size)]
        dist.all_gather(parts, part.contiguous())
        return torch.cat(parts)

    def together(self, module: nn.Module) -> nn.Module:
        """The module, its gradients averaged over all processes."""
        return nn.parallel.DistributedDataParallel(module) if self.size > 1 else module


def own_device(device: torch.device) -> torch.device:
    """The GPU of this process, where torchrun started several and `device` is CUDA without a number.

    Raises
    ------
    FaceverError
        If there are fewer GPUs than processes.
    """
    if device.type != "cuda" or device.index is not None or "LOCAL_RANK" not in os.environ:
        return device
    own = choose_device(f"cuda:{os.environ['LOCAL_RANK']}")
    torch.cuda.set_device(own)  # for NCCL
    return own


@contextmanager
def process_group() -> Iterator[ProcessGroup]:
    """The processes that torchrun started, if it did.

    Raises
    ------
    ProcessLost
        If another process ended while this one waited for it.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ProcessGroup()
        return
    # Numbers are agreed on over gloo, gradients of CUDA tensors averaged over NCCL.
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, timeout=PATIENCE)
    try:
        yield ProcessGroup(dist.get_rank(), size)
    except FaceverError:
        raise
    except RuntimeError as error:
        raise ProcessLost(
            f"another process of this training ended ({_first_line(error)}); start them all again with --resume"
        ) from error
    finally:
        dist.destroy_process_group()
        time.sleep(SETTLING)


def _first_line(error: Any) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)[:120]
