from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from samples import NETWORK, SETTINGS, noise

from facever.errors import WeightsError
from facever.faces.embedder import Embedder
from facever.networks import build_network
from facever.training import train
from facever.training.crops import CropSet
from facever.training.distillation.mixup import MixupPairs
from facever.training.distillation.teacher import VIEWS, DistillationLoss, teacher_embeddings
from facever.training.initial import Initial
from facever.training.trainer import Trainer
from facever.weights.alignment import FACE_112X112, TIGHT_64X56
from facever.weights.file import save_weights
from facever.weights.metadata import WeightsInfo
from facever.weights.onnx_import import Preparation, read_onnx
from facever.weights.records import Normalization

ARGUMENTS = {**NETWORK, "input_size": [64, 56]}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(5)
    network = build_network("face_resnet_slim", **ARGUMENTS)
    path = tmp_path_factory.mktemp("teacher") / "teacher.safetensors"
    name = "face_resnet_slim"
    info = WeightsInfo("teacher", name, ARGUMENTS, TIGHT_64X56, Normalization(), True, {}, [], "CC0", "someone")
    save_weights(path, info, network, half=False)
    return path


def test_the_teachers_word_is_its_average_over_the_views_without_the_mean(teacher: Path, tmp_path: Path) -> None:
    crops = noise()
    told: list[tuple[int, int]] = []
    found = teacher_embeddings(str(teacher), crops, tmp_path, torch.device("cpu"), lambda *n: told.append(n))
    embedder = Embedder.load(teacher, "cpu")
    cut = [crops.crops[:, 8 + y : 72 + y, 8 + x : 64 + x] for x, y in VIEWS]
    average = np.mean([embedder(np.ascontiguousarray(view))[0] for view in cut], axis=0)
    expected = F.normalize(torch.from_numpy(average - average.mean(0)))
    assert found.numpy() == pytest.approx(expected.numpy(), abs=1e-5)
    assert told[-1] == (8, 8)


def test_the_teacher_is_asked_once_and_again_for_other_photographs(teacher: Path, tmp_path: Path) -> None:
    told: list[int] = []
    ask = lambda crops: teacher_embeddings(  # noqa: E731
        str(teacher), crops, tmp_path, torch.device("cpu"), lambda done, total: told.append(total)
    )
    first = ask(noise())
    assert torch.equal(ask(noise()), first) and told == [8]
    ask(noise(6))
    assert told == [8, 6]
    for file in tmp_path.iterdir():
        file.write_bytes(b"not a whole file")
    assert torch.equal(ask(noise()), first)


@pytest.mark.slow
@pytest.mark.parametrize("row", [1, 64, 129])
def test_the_teacher_is_asked_again_after_one_pixel_of_any_crop_changed(
    teacher: Path, tmp_path: Path, row: int
) -> None:
    told: list[int] = []

    def ask(crops: CropSet, cache: str = "cache") -> torch.Tensor:
        tell = lambda done, total: told.append(done)  # noqa: E731
        return teacher_embeddings(str(teacher), crops, tmp_path / cache, torch.device("cpu"), tell)

    crops = noise(130)
    first = ask(crops)
    pixels = crops.crops.copy()
    pixels[row, 40, 36, 1] ^= 255  # in the middle, so that every view sees it
    told.clear()
    changed = ask(replace(crops, crops=pixels))
    assert told[-1] == 130
    assert not torch.equal(changed[row], first[row])
    assert torch.equal(changed, ask(replace(crops, crops=pixels), "fresh"))
    told.clear()
    assert torch.equal(ask(crops), first) and told == []  # both are kept


def test_the_teachers_word_on_mixtures_follows_that_on_photographs(teacher: Path, tmp_path: Path) -> None:
    def mixup_pairs(share: float) -> MixupPairs:
        return MixupPairs(np.array([0, 3]), np.array([5, 2]), np.array([0.4, share], np.float32))

    crops, mixup = noise(), mixup_pairs(0.6)
    device = torch.device("cpu")
    found = teacher_embeddings(str(teacher), crops, tmp_path, device, mixup_pairs=mixup)
    assert torch.equal(found[:8], teacher_embeddings(str(teacher), crops, tmp_path, device))
    embedder = Embedder.load(teacher, "cpu")
    cut = [crops.crops[:, 8 + y : 72 + y, 8 + x : 64 + x] for x, y in VIEWS]
    center = np.mean([embedder(np.ascontiguousarray(view))[0] for view in cut], axis=(0, 1))
    of_mixtures = embedder(np.ascontiguousarray(mixup.of(crops, slice(None))[:, 8:72, 8:64]))[0]
    expected = F.normalize(torch.from_numpy(of_mixtures - center))
    assert found[8:].numpy() == pytest.approx(expected.numpy(), abs=1e-5)
    other = teacher_embeddings(str(teacher), crops, tmp_path, device, mixup_pairs=mixup_pairs(0.5))
    assert torch.equal(other[:9], found[:9]) and not torch.equal(other[9], found[9])


def test_agreement_and_similarities_by_hand() -> None:
    distillation = DistillationLoss(2, 2, similarity_weight=3.0)
    with torch.no_grad():
        distillation.head.weight.copy_(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))  # swaps the components
    features = torch.tensor([[2.0, 0.0], [0.0, 5.0]])
    # The first is said to be (0, 1), which the teacher says as well; the second (1, 0), the teacher (0, 1): |.|² = 2.
    targets = torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    # The student's cosine between the two is 0, the teacher's 1: two of four entries of the matrix differ by 1.
    assert distillation(features, targets).item() == pytest.approx((0 + 2) / 2 + 3.0 * 2 / 4)


@pytest.mark.slow
@pytest.mark.parametrize("mixup", [0.0, 0.5])
def test_a_student_comes_to_agree_with_its_teacher(teacher: Path, people: Path, tmp_path: Path, mixup: float) -> None:
    settings = replace(SETTINGS, epochs=60, held_out=0.0, teacher=str(teacher), softmax_weight=0.0, mixup=mixup)
    result = train(settings, people, tmp_path / "out", tmp_path / "cache", "cpu")
    with (tmp_path / "out" / "log.csv").open() as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert result.weights.exists()
    assert losses[-1] < 0.6 * losses[0]  # nothing but the agreement counts here


def test_teacher_and_loss_count_as_their_weights_say() -> None:
    targets = F.normalize(torch.randn(8, 5, generator=torch.Generator().manual_seed(0)))
    losses = {}
    for softmax, agreement in ((1.0, 0.0), (0.0, 1.0), (0.3, 4.0)):
        settings = replace(SETTINGS, warmup=0.0, softmax_weight=softmax, teacher_weight=agreement)
        trainer = Trainer(settings, noise(), torch.device("cpu"), targets=targets)
        losses[softmax] = trainer.train_step(0.0).loss
    assert losses[0.3] == pytest.approx(0.3 * losses[1.0] + 4.0 * losses[0.0], rel=1e-4)


def test_the_first_part_of_a_training_may_see_halved_crops() -> None:
    trainer = Trainer(replace(SETTINGS, progressive_resizing=0.5), noise(), torch.device("cpu"))
    seen: list[tuple[int, ...]] = []
    trainer.network.register_forward_pre_hook(lambda module, args: seen.append(tuple(args[0].shape[2:])))
    for progress in (0.0, 0.49, 0.5, 1.0):
        trainer.train_step(progress)
    assert seen == [(32, 28), (32, 28), (64, 56), (64, 56)]
    for progress, size in ((0.1, (32, 28)), (0.6, (64, 56))):  # validation sees what training saw last
        trainer.train_step(progress)
        trainer.embed(noise())
        assert seen[-1] == size


def test_weights_from_onnx_teach_but_no_training_starts_from_them(tmp_path: Path) -> None:
    models = pytest.importorskip("onnx_models")
    (tmp_path / "mine.onnx").write_bytes(models.embedder().SerializeToString())
    info, network = read_onnx(tmp_path / "mine.onnx", "mine", Preparation("face-112x112", Normalization()))
    weights = tmp_path / "mine.safetensors"
    save_weights(weights, info, network)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 128, 128, 3), np.uint8)
    crops = CropSet(pixels, np.arange(4), ["a", "a", "b", "b"], list("1234"), FACE_112X112, 8, [])
    device = torch.device("cpu")
    found = teacher_embeddings(str(weights), crops, tmp_path, device)
    embedder = Embedder.load(weights, "cpu")
    views = [embedder(np.ascontiguousarray(pixels[:, 8 + y : 120 + y, 8 + x : 120 + x]))[0] for x, y in VIEWS]
    average = np.mean(views, axis=0)
    expected = F.normalize(torch.from_numpy(average - average.mean(0)))
    assert found.numpy() == pytest.approx(expected.numpy(), abs=1e-4)
    with pytest.raises(WeightsError, match=r"came from ONNX, and can't be trained on; as a teacher it will do"):
        Initial(str(weights), crops, device)
