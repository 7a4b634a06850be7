"""A manifest through Ray Data, in a process of its own, so that what Ray prints, sets and starts stays there."""

from __future__ import annotations

import os
import secrets
import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from facever.engines.worker import Task, Worker
from facever.errors import FaceverError
from facever.faces.parquet import FORMAT
from facever.faces.workers import end_with_parent

# Photographs that a worker takes at a time: what is lost where a machine is.
PHOTOGRAPHS_A_BLOCK = 1024
# Cores of a cluster for reading the manifest, planning downloads, the checkpoint and writing; the others embed.
OTHER_CORES = 3
# For a cluster on this machine alone. Only manifests, results and downloads on their way pass through it.
OBJECT_STORE = 512 * 2**20
BLOCK_BYTES = 32 * 2**20
CHECKPOINT_BYTES = 128 * 2**20
# On a busy machine a process takes more than the minute after which Ray starts another, and another.
HERE = {"RAY_worker_niceness": "0", "RAY_worker_register_timeout_seconds": "600"}


@dataclass(frozen=True, slots=True)
class Run:
    """A manifest and what to do with it.

    Attributes
    ----------
    folder : Path
        Absolute, on a file system that all machines share: `manifest.parquet`, and on return `results/*.parquet`.
    count : int
        Number of photographs in the manifest.
    task : Task
        The device of its job may be "auto": GPUs where the cluster has some.
    uris : bool
        Whether the manifest holds URIs.
    address : str, optional
        Of the cluster; by default one on this machine is started, and stopped at the end.
    workers : int, optional
        By default one per GPU, or per core.
    temporary : Path
        For a cluster on this machine.
    worker : class
    """

    folder: Path
    count: int
    task: Task
    uris: bool
    address: str | None
    workers: int | None
    temporary: Path
    worker: Callable[[Task], Any] = Worker


def run_apart(run: Run, answer: Connection) -> None:
    """Run, in a process that was just started; the answer is None, or what went wrong. Output goes to `log`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to handle
    end_with_parent()
    log = os.open(run.folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        _run(run)
    except Exception as error:
        traceback.print_exc()
        answer.send(_cause(error))
    else:
        answer.send(None)


def _run(run: Run) -> None:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nothing is sent anywhere
    if run.address is None:
        for name, value in HERE.items():
            os.environ.setdefault(name, value)
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # else Ray writes one into the home folder
    import ray
    from joblib import cpu_count

    here: dict[str, Any] = {}
    if run.address is None:
        here = {"num_cpus": (run.workers or cpu_count()) + OTHER_CORES, "object_store_memory": OBJECT_STORE}
        # Below a folder that is for its owner only: Ray opens the one that it is given to everybody.
        here |= {"include_dashboard": False, "_temp_dir": str(run.temporary / "ray")}
    ray.init(address=run.address or "local", log_to_driver=False, **here)
    try:
        _embed(run, ray.cluster_resources())
    finally:
        ray.shutdown()


def _embed(run: Run, resources: dict[str, float]) -> None:
    from ray.data import ActorPoolStrategy, DataContext, read_parquet
    from ray.data.checkpoint import CheckpointConfig
    from ray.data.expressions import download

    device, most = _place(run.task.job.device, resources)
    workers = min(run.workers or most, most)
    checkpoint = CheckpointConfig("id", str(run.folder / "checkpoint"), delete_checkpoint_on_success=False)
    # A gigabyte by default, which a small machine can't spare.
    checkpoint.checkpoint_actor_memory_bytes = CHECKPOINT_BYTES
    context = DataContext.get_current()
    context.checkpoint_config = checkpoint
    context.enable_progress_bars = False
    context.max_errored_blocks = 0
    context.target_max_block_size = BLOCK_BYTES
    photographs = read_parquet(str(run.folder / "manifest.parquet")).repartition(
        target_num_rows_per_block=max(1, min(PHOTOGRAPHS_A_BLOCK, run.count // (4 * workers)))
    )
    if run.uris:
        photographs = photographs.with_column("bytes", download("path"))
    photographs.map_batches(
        run.worker,
        fn_constructor_args=(replace(run.task, job=replace(run.task.job, device=device)),),
        batch_size=None,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(size=workers),
        **({"num_cpus": 1} if device == "cpu" else {"num_gpus": 1}),
    ).write_parquet(str(run.folder / "results"), **FORMAT)


def _place(device: str, resources: dict[str, float]) -> tuple[str, int]:
    """The device of the workers, and how many there may be. Raises FaceverError."""
    gpus, cores = int(resources.get("GPU", 0)), int(resources.get("CPU", 0))
    if device == "auto":
        device = "cuda" if gpus else "cpu"
    if device == "cuda" and gpus:
        return device, gpus
    if device != "cpu":
        raise FaceverError(f"the cluster has no GPU for --device {device}; use cpu or auto")
    if cores <= OTHER_CORES:
        raise FaceverError(f"the cluster has {cores} cores; it needs {OTHER_CORES + 1} or more, or leave out --address")
    return device, cores - OTHER_CORES


def _cause(error: BaseException) -> str:
    """The message of the exception that Ray's text begins with, which holds tracebacks."""
    first = str(error).partition("The above exception was the direct cause")[0]
    lines = [line.strip() for line in first.splitlines() if line.strip()]
    return (lines or [type(error).__name__])[-1].removeprefix("facever.errors.FaceverError: ")
