"""Training on two processes over gloo, as torchrun starts them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import pytest
import torch
from training_steps import CENTERS, PLAIN, noise, steps

from facever.errors import FaceverError
from facever.losses import CenterLoss, L2Softmax
from facever.networks import build_network
from facever.training.distributed import ProcessGroup, own_device
from facever.training.trainer import Trainer
from facever.weights.file import load_weights

ROOT = Path(__file__).parents[2]
STEPS = Path(__file__).parents[1] / "training_steps.py"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def started(rank: int, port: int, *command: str, err: int | IO[str] = subprocess.PIPE) -> subprocess.Popen[str]:
    group = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    paths = {"PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    return subprocess.Popen(
        [sys.executable, *command],
        env={**os.environ, **group, **where, **paths},
        stdout=subprocess.PIPE,
        stderr=err,
        text=True,
    )


def run_two(*command: str) -> list[tuple[int, str, str]]:
    """Exit code, stdout and stderr of two processes of one group."""
    port = free_port()
    both = [started(rank, port, *command) for rank in range(2)]
    return [(process.returncode, out, err) for process in both for out, err in [process.communicate(timeout=180)]]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["plain", "centers"])
def test_two_processes_equal_one_with_twice_the_batch(name: str, tmp_path: Path) -> None:
    """In loss, in the gradients of alpha, W and the network, and in the centers, over three steps."""
    for code, _, err in run_two(str(STEPS), name, str(tmp_path)):
        assert code == 0, err
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    alone = steps({"plain": PLAIN, "centers": CENTERS}[name], ProcessGroup(), batch=8)
    assert first["losses"] == pytest.approx(alone["losses"], rel=1e-5)
    for key, expected in alone["gradients"].items():
        for found in (first, second):
            assert torch.allclose(found["gradients"][key], expected, rtol=1e-3, atol=1e-5), key
    assert "loss.alpha" in alone["gradients"] or "loss.base.alpha" in alone["gradients"]
    for key, expected in alone["state"].items():
        assert torch.allclose(first["state"][key], expected, rtol=1e-3, atol=1e-5), key
        assert torch.equal(first["state"][key], second["state"][key]), key


def test_the_parts_of_a_batch_are_those_of_the_whole() -> None:
    def trainer(batch: int, processes: ProcessGroup | None = None) -> Trainer:
        network = build_network("face_resnet_slim", widths=(4,), depths=(0,), stem=4, input_size=(16, 16))
        return Trainer(PLAIN.with_batch(batch), noise(), torch.device("cpu"), network=network, processes=processes)

    trainers = [trainer(4, FakeProcesses(rank, 2)) for rank in range(2)]
    whole = trainer(8)
    assert trainers[0].steps_per_epoch == whole.steps_per_epoch
    assert trainers[0].sampler.rows(3).tolist() == whole.sampler.rows(3).tolist()
    assert {trainer.batch_size for trainer in trainers} == {4}


class FakeProcesses(ProcessGroup):
    """Of a group that is not there."""

    def together(self, module: torch.nn.Module) -> torch.nn.Module:
        return module


def train_command(people: Path, out: Path, cache: Path, *more: str) -> list[str]:
    small = "network_arguments={widths = [8], depths = [0], stem = 4, embedding_size = 8}"
    settings = [small, "held_out=0.3", "compile=false", "precision=fp32"]
    options = ["--batch-size", "4", "--device", "cpu", "--workers", "1"]
    where = ["--out", str(out), "--cache", str(cache)]
    each = [text for setting in settings for text in ("--set", setting)]
    return ["-m", "facever", "train", str(people), *options, *each, *where, *more]


@pytest.mark.slow
def test_a_training_on_two_processes_writes_one_result(people: Path, tmp_path: Path) -> None:
    first, second = run_two(*train_command(people, tmp_path / "out", tmp_path / "cache", "--epochs", "2"))
    assert (first[0], second[0]) == (0, 0), first[2] + second[2]
    assert "weights: " in first[1]
    assert second[1] == ""
    assert load_weights(tmp_path / "out" / "weights.safetensors")[0].settings["batch_size"] == 4
    assert json.loads((tmp_path / "out" / "training.json").read_text())["processes"] == 2


def two_until_they_train(command: list[str], folder: Path) -> list[subprocess.Popen[str]]:
    """Two processes, once the first has validated an epoch; what they say goes to 0.txt and 1.txt."""
    port = free_port()
    both = [started(rank, port, *command, err=(folder / f"{rank}.txt").open("w")) for rank in range(2)]
    for _ in range(1200):
        if "held-out accuracy" in (folder / "0.txt").read_text():
            return both
        time.sleep(0.1)
    raise AssertionError((folder / "0.txt").read_text())


@pytest.mark.slow
def test_when_one_process_is_killed_the_other_ends_clearly_and_both_go_on(people: Path, tmp_path: Path) -> None:
    command = train_command(people, tmp_path / "out", tmp_path / "cache", "--epochs", "4000")
    both = two_until_they_train(command, tmp_path)
    both[1].kill()  # as a lack of memory would do it
    assert both[0].wait(120) == 2
    both[1].wait(60)
    said = (tmp_path / "0.txt").read_text()
    assert "another process of this training ended" in said and "--resume" in said
    assert "Traceback" not in said
    both = two_until_they_train([*command, "--resume"], tmp_path)
    assert "resumed after" in (tmp_path / "0.txt").read_text()
    both[1].terminate()  # told to one, it is agreed on by both
    codes = [process.wait(120) for process in both]
    assert codes == [130, 143], (tmp_path / "0.txt").read_text()


def test_center_loss_of_one_process_needs_no_group() -> None:
    loss = CenterLoss(L2Softmax(3, 4, 8.0))
    loss(torch.randn(5, 3), torch.tensor([0, 1, 2, 3, 0]))
    assert loss.centers.abs().sum() > 0


def test_each_process_of_a_machine_has_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    set_to: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", set_to.append)
    alone, named, cpu = torch.device("cuda"), torch.device("cuda:0"), torch.device("cpu")
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert own_device(alone) == alone
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert [own_device(each) for each in (alone, named, cpu)] == [torch.device("cuda:1"), named, cpu]
    assert set_to == [torch.device("cuda:1")]
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(FaceverError, match="no device 'cuda:2', but 2"):
        own_device(alone)
