"""How fast this machine is: stages, batches, workers, memory, and how near to its limits."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from joblib import cpu_count
from matplotlib import get_data_path
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from facever.faces.embedder import Embedder
from facever.faces.parallel import process_files
from facever.faces.pipeline import STAGES, Job

BATCHES = (1, 8, 32)
# Of the square matrices whose product tells what arithmetic reaches here.
SIDE = 1024


@dataclass(frozen=True, slots=True)
class Speed:
    """What was measured.

    Attributes
    ----------
    photographs, faces : int
        How many were processed.
    megapixels : float
        Of a photograph, in the median.
    stages : dict from a name of `STAGES` to float
        Milliseconds a photograph, in one process of one thread.
    batches : dict from precision to dict from batch size to float
        Milliseconds to embed a face, on one thread.
    workers : dict from a number of processes to float
        Photographs a second, everything counted.
    multiply_adds : int
        To embed a face.
    arithmetic : dict from precision to (float, float)
        Thousand millions of multiply-adds a second, on one thread: in the network, and in a product of matrices.
    memory : int
        MiB that this process took at most; 0 where the system does not tell.
    """

    photographs: int
    faces: int
    megapixels: float
    stages: dict[str, float]
    batches: dict[str, dict[int, float]]
    workers: dict[int, float]
    multiply_adds: int
    arithmetic: dict[str, tuple[float, float]]
    memory: int


@contextmanager
def sample_photographs() -> Iterator[list[Path]]:
    """Files to measure with, where the user names none: matplotlib's portrait in 240 photographs of up to 250x250."""
    with tempfile.TemporaryDirectory(prefix="facever-") as folder:
        portrait = Path(get_data_path(), "sample_data", "grace_hopper.jpg")
        picture = Image.open(portrait).convert("RGB").crop((0, 0, 512, 512))
        paths = []
        for i in range(240):
            side = 250 - i // 5
            paths.append(Path(folder, f"{i:03d}.jpg"))
            picture.resize((side, side)).save(paths[-1], quality=90)
        yield paths


def measure(job: Job, photographs: Sequence[Path], told: Callable[[str], None]) -> Speed:
    """Measure a job on some photographs; `told` hears what is being measured.

    Raises
    ------
    FaceverError
        As the job does.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        told("stages")
        list(process_files(photographs[:16], job, 1))  # the first batch makes the networks ready
        results = [each for each in process_files(photographs, job, 1) if each.readable]
        stages = {stage: _milliseconds(each.seconds.get(stage, 0.0) for each in results) for stage in STAGES}
        told("batches")
        batches, arithmetic, multiply_adds = _network(job)
        most = cpu_count() if job.device == "cpu" else 1
        rates = {}
        for workers in sorted({1, min(2, most), most}):
            told(f"workers: {workers}")
            start = time.perf_counter()
            list(process_files(photographs, job, workers))
            rates[workers] = len(photographs) / (time.perf_counter() - start)
    finally:
        torch.set_num_threads(threads)
    return Speed(
        photographs=len(results),
        faces=sum(len(each.faces) for each in results),
        megapixels=statistics.median([each.size[0] * each.size[1] / 1e6 for each in results if each.size] or [0.0]),
        stages=stages,
        batches=batches,
        workers=rates,
        multiply_adds=multiply_adds,
        arithmetic=arithmetic,
        memory=_most_memory(),
    )


def _milliseconds(seconds: Iterable[float]) -> float:
    return 1000 * statistics.fmean([*seconds] or [0.0])


def _network(job: Job) -> tuple[dict[str, dict[int, float]], dict[str, tuple[float, float]], int]:
    """By precision: milliseconds a face by batch size; rates of multiply-adds; and multiply-adds a face."""
    assert isinstance(job.output, Path)
    batches: dict[str, dict[int, float]] = {}
    arithmetic = {}
    count = 0
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        embedder = Embedder.load(job.output, torch.device(job.device), precision)  # type: ignore[arg-type]
        alignment = embedder.info.alignment
        crops = np.random.default_rng(0).integers(
            0, 256, (max(BATCHES), alignment.height, alignment.width, 3), np.uint8
        )
        count = multiply_adds(embedder, crops[:1])
        times = {size: _shortest(partial(embedder, crops[:size])) / size for size in BATCHES}
        batches[precision] = {size: 1000 * seconds for size, seconds in times.items()}
        a, b = (torch.randn(SIDE, SIDE, device=job.device).to(dtype) for _ in range(2))
        product = SIDE**3 / _shortest(lambda a=a, b=b: (a @ b).sum().item())  # type: ignore[misc]
        arithmetic[precision] = (count / min(times.values()) / 1e9, product / 1e9)
    return batches, arithmetic, count


def _shortest(run: Callable[[], object], rounds: int = 3) -> float:
    run()
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def multiply_adds(embedder: Embedder, crops: NDArray[np.uint8]) -> int:
    """Multiply-adds of convolutions and dense layers for some crops (n, H, W, 3), mirrored ones included."""
    total = 0

    def count(module: nn.Module, _: object, output: Tensor) -> None:
        nonlocal total
        weight = module.weight
        assert isinstance(weight, Tensor)
        total += output.numel() * weight[0].numel()

    layers = [each for each in embedder.network.modules() if isinstance(each, nn.Conv2d | nn.Linear)]
    handles = [layer.register_forward_hook(count) for layer in layers]
    try:
        embedder(crops)
    finally:
        for handle in handles:
            handle.remove()
    return total


def _most_memory() -> int:
    if sys.platform == "win32":
        return 0
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most // (1 << 20 if sys.platform == "darwin" else 1 << 10)
