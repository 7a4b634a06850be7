"""`train`: a folder of identities -> a weights file.

out/weights.safetensors   the exported network, ready for every command
out/checkpoint.pt         what `resume` continues from; deleted at the end
out/log.csv               progress, a row every few steps; out/training.svg draws it
out/training.json         settings, versions, identities, result
"""

from __future__ import annotations

import time
from pathlib import Path

from facever.errors import DataError, OutputError
from facever.faces.device import choose_device
from facever.files import check_output, check_output_folder
from facever.training.callbacks import Callback
from facever.training.crops import default_cache_folder
from facever.training.data import prepare
from facever.training.distributed import own_device, process_group
from facever.training.errors import Interrupted
from facever.training.session import CHECKPOINT, RECORD, WEIGHTS, Session, TrainingResult
from facever.training.settings import TrainingSettings
from facever.training.signals import stopped_by_signal


def train(
    settings: TrainingSettings,
    data: Path,
    out: Path,
    cache: Path | None = None,
    device: str = "auto",
    workers: int | None = None,
    resume: bool = False,
    callback: Callback | None = None,
) -> TrainingResult:
    """Train a network on a folder of identities and export its weights.

    Parameters
    ----------
    data : Path
        One folder of raw photographs per identity.
    out : Path
        Folder for what the training writes.
    cache : Path, optional
        Folder of the crop caches; by default the user's.
    workers : int, optional
        Processes for detection; by default one a core.
    resume : bool
        Resume the run in `out`; the settings must be those that it started with.
    callback : Callback, optional
        Notified of the progress.

    Raises
    ------
    DataError
        If the data or the checkpoint can't be used, or the training diverges.
    OutputError
        If `out` holds another run, or can't be written.
    WeightsError
        If initial or teacher weights can't be used.
    Interrupted
        If a signal (SIGINT, SIGTERM) stops it, after its state is saved.
    """
    began = time.monotonic()
    chosen = own_device(choose_device(device))
    check_output_folder(out)
    check_output(out / WEIGHTS, "safetensors", [data], force=True)
    if resume and not (out / CHECKPOINT).exists():
        raise DataError(f"{out}: no checkpoint to resume; train without --resume")
    if not resume and ((out / CHECKPOINT).exists() or (out / RECORD).exists()):
        raise OutputError(f"{out} already holds a training; continue it with --resume, or choose another --out")
    with process_group() as processes:
        callback = (callback or Callback()) if processes.first else Callback()
        if not processes.first:
            processes.wait()  # for the crops
        prepared = prepare(settings, data, cache or default_cache_folder(), chosen, workers, callback)
        if processes.first:
            processes.wait()
        session = Session(settings, prepared, out, chosen, callback, processes, began)
        if resume:
            session.resume()
        _run(session)
        return session.finish()


def _run(session: Session) -> None:
    """Step until the training is done, or the user wants it to stop."""
    with stopped_by_signal() as stopped:
        try:
            while True:
                share, stop = session.processes.agree(session.share, bool(stopped))
                if stop:
                    session.save()
                    done = f"stopped after {session.trainer.step} steps; continue with --resume"
                    raise Interrupted(done, *stopped[:1])
                if share >= 1 and session.trainer.step > 0:  # by the clock, too, at least one step is made
                    session.save()  # before the export, which may be interrupted as well
                    return
                session.advance(share)
        except RuntimeError:
            if session.processes.size > 1:  # another process ended; only the step in hand is lost
                session.save()
            raise
