"""Training on from finished weights, and what a step of it is made of."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from facever.errors import WeightsError
from facever.losses import L2Softmax
from facever.networks import ResNet29, ResNet29Twin, build_network
from facever.training import TrainingSettings
from facever.training.crops import CropSet
from facever.training.distillation.anchor import anchor_loss, anchor_weights
from facever.training.distillation.teacher import initial_embeddings
from facever.training.ema import EMA
from facever.training.initial import Initial
from facever.training.optimizer import make_optimizer
from facever.training.sampler import Sampler, even_shares
from facever.training.trainer import Trainer
from facever.weights.alignment import FACE_112X96, Alignment
from facever.weights.file import save_weights
from facever.weights.metadata import WeightsInfo
from facever.weights.records import Normalization

ALIGNMENT = Alignment("small", 103, 103, ((30, 40), (70, 40), (50, 60), (35, 80), (65, 80)))
NAMES = [f"{source}_{i}" for source in ("a", "a", "b") for i in range(2)] * 2


@pytest.fixture(scope="module")
def crops() -> CropSet:
    pixels = np.random.default_rng(0).integers(0, 256, (len(NAMES), 103, 103, 3), np.uint8)
    return CropSet(pixels, np.arange(len(NAMES)), NAMES, [f"{i}.png" for i in range(len(NAMES))], ALIGNMENT, 0, [])


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    network = build_network("resnet29", embedding_size=8, input_size=(103, 103))
    return saved(network, tmp_path_factory.mktemp("weights") / "single.safetensors", "resnet29", 8)


def saved(network: torch.nn.Module, path: Path, name: str, size: int) -> Path:
    arguments = {"embedding_size": size, "input_size": [103, 103]}
    norm = Normalization((100.0, 110.0, 120.0), 200.0)
    info = WeightsInfo(path.stem, name, arguments, ALIGNMENT, norm, True, {}, [{"name": "first"}], "CC0", "someone")
    save_weights(path, info, network, half=False)  # type: ignore[arg-type]
    return path


def settings(**changes: object) -> TrainingSettings:
    plain = {"network": "resnet29_twin", "network_arguments": {"embedding_size": 16}, "epochs": 1, "batch_size": 6}
    return TrainingSettings(**{**plain, "precision": "fp32", "compile": False, "warmup": 0.0, **changes})  # type: ignore[arg-type]


class Built(TrainingSettings):
    """Settings whose network takes the crops of these tests."""

    def all_network_arguments(self) -> dict[str, object]:
        return {**self.network_arguments, "input_size": [103, 103]}


def trainer(crops: CropSet, **changes: object) -> Trainer:
    plain = settings(**changes)
    fields = {name: getattr(plain, name) for name in TrainingSettings.__dataclass_fields__}
    return Trainer(Built(**fields), crops, torch.device("cpu"))


@pytest.mark.slow
def test_a_twin_begins_with_the_single_networks_cosines_without_their_center(crops: CropSet, single: Path) -> None:
    begun = trainer(crops, init=str(single))
    assert begun.initial is not None
    x = begun.normalization(torch.from_numpy(crops.crops).permute(0, 3, 1, 2))
    initial = begun.initial.network
    with torch.no_grad():
        # The center is of what commands will embed: the mean with the mirror image.
        mirrored = F.normalize((initial(x) + initial(x.flip(3))) / 2)
        expected = F.normalize(F.normalize(initial(x)) - mirrored.mean(0))
        features = begun.network.eval()(x)
    assert features.norm(dim=1).numpy() == pytest.approx(np.ones(len(x)), abs=1e-5)
    assert (features @ features.T).numpy() == pytest.approx((expected @ expected.T).numpy(), abs=1e-4)
    assert begun.initial.targets(x).numpy() == pytest.approx(expected.numpy(), abs=1e-4)


def test_a_twins_cosine_is_the_weighted_mean_of_its_branches_cosines() -> None:
    torch.manual_seed(0)
    twin = ResNet29Twin(16, (103, 103), second_share=0.2, centered=(0.5, 1.0)).eval()
    with torch.no_grad():
        features = twin(torch.randn(2, 3, 103, 103))
    first, second = (F.normalize(part) for part in features.chunk(2, 1))
    expected = 0.8 * first[0] @ first[1] + 0.2 * second[0] @ second[1]
    assert (features[0] @ features[1]).item() == pytest.approx(expected.item(), abs=1e-5)


def test_a_part_of_the_center_is_taken_out_of_each_branch() -> None:
    torch.manual_seed(0)
    whole = ResNet29Twin(16, (103, 103)).eval()
    whole.centers.copy_(F.normalize(torch.randn(2, 8)) * 0.8)
    parted = ResNet29Twin(16, (103, 103), centered=(0.0, 0.5)).eval()
    parted.load_state_dict(whole.state_dict())
    with torch.no_grad():
        x = torch.randn(3, 3, 103, 103)
        uncentered = ResNet29Twin(16, (103, 103), centered=(0.0, 0.0)).eval()
        uncentered.load_state_dict(whole.state_dict())
        raw = [F.normalize(part) for part in uncentered(x).chunk(2, 1)]
        found = [F.normalize(part) for part in parted(x).chunk(2, 1)]
        wholly = [F.normalize(part) for part in whole(x).chunk(2, 1)]
    for k, share in ((0, 0.0), (1, 0.5)):
        assert torch.allclose(found[k], F.normalize(raw[k] - share * whole.centers[k]), atol=1e-5)
        assert torch.allclose(wholly[k], F.normalize(raw[k] - whole.centers[k]), atol=1e-5)
    for wrong in ((0.5,), (0.5, 1.1), (-0.1, 1.0)):
        with pytest.raises(ValueError, match="two numbers"):
            ResNet29Twin(16, (103, 103), centered=wrong)


def test_a_twin_shares_all_but_its_last_two_stages() -> None:
    single, twin = ResNet29(), ResNet29Twin(256)
    count = lambda module: sum(p.numel() for p in module.parameters())  # noqa: E731
    # The 256-channel stages: 128 -> 256 -> 256, then five convolutions of 256 -> 256 in each of three blocks' places.
    last = (9 * 128 * 256 + 256) + 7 * (9 * 256 * 256 + 256) + 256 * 128
    assert count(twin) == count(single) + last


def test_the_pull_by_hand_and_over_the_leading_components_only() -> None:
    features = torch.tensor([[3.0, 4.0, 9.0], [0.0, 2.0, -5.0]])
    targets = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    # |(.6, .8) - (1, 0)|² = .8; the second is where it should be.
    assert anchor_loss(features, targets, torch.tensor([2.0, 7.0])).item() == pytest.approx(2 * 0.8 / 2)


def test_each_branch_is_pulled_as_strongly_as_it_is_told() -> None:
    features = torch.tensor([[3.0, 4.0, 0.0, 5.0]])
    targets = torch.tensor([[1.0, 0.0]])
    # |(.6, .8) - (1, 0)|² = .8 and |(0, 1) - (1, 0)|² = 2.
    assert anchor_loss(features, targets, torch.tensor([3.0]), [1.0, 0.25]).item() == pytest.approx(3 * (0.8 + 0.5))


def test_the_first_pattern_that_fits_says_how_strong_the_pull_is() -> None:
    weights = {"kin_F1*": 0.0, "kin_*": 1.5}
    assert anchor_weights(["kin_F1_MID1", "kin_F2_MID1", "celeba_3"], weights).tolist() == [0.0, 1.5, 0.0]
    for anchor, told in (({"kin_*": "much"}, "a number"), ({"kin_*": -1.0}, "at least 0"), (["kin_*"], "a table")):
        with pytest.raises(ValueError, match=told):
            settings(init="dlib", anchor=anchor)


@pytest.mark.slow
def test_the_pull_is_on_the_first_branch_and_leaves_the_second_free(crops: CropSet, single: Path) -> None:
    gradients = {}
    for weight in (0.0, 300.0):
        begun = trainer(crops, init=str(single), learning_rate=1e-3, anchor={"*": weight})
        for _ in range(2):  # at the first step the network is where it is pulled to
            begun.train_step(0.0)
        tails = begun.network.get_submodule("tails")
        gradients[weight] = [[p.grad for p in tail.parameters() if p.grad is not None] for tail in tails]
    for branch, differs in ((0, True), (1, False)):
        pairs = zip(gradients[0.0][branch], gradients[300.0][branch], strict=True)
        assert any(not torch.allclose(a, b, rtol=1e-2, atol=1e-5) for a, b in pairs) == differs


@pytest.mark.slow
def test_what_is_frozen_stays_and_a_pattern_that_fits_nothing_is_refused(crops: CropSet, single: Path) -> None:
    begun = trainer(crops, init=str(single), freeze=["stem*", "trunk.0.*"], learning_rate=0.01)
    before = {name: p.clone() for name, p in begun.network.named_parameters()}
    begun.train_step(0.0)
    for name, parameter in begun.network.named_parameters():
        assert torch.equal(parameter, before[name]) == name.startswith(("stem", "trunk.0.")), name
    with pytest.raises(ValueError, match="no parameter of resnet29_twin matches 'root"):
        make_optimizer(settings(freeze=["root*"]), begun.network, [])


@pytest.mark.slow
def test_in_the_head_start_only_the_classifier_learns(crops: CropSet, single: Path) -> None:
    begun = trainer(crops, init=str(single), head_warmup=0.5, head_learning_rate=0.1, learning_rate=0.01)
    network = [p.clone() for p in begun.network.parameters()]
    classifier = [p.clone() for p in begun.loss.parameters()]
    begun.train_step(0.3)
    assert all(torch.equal(a, b) for a, b in zip(network, begun.network.parameters(), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(classifier, begun.loss.parameters(), strict=True) if a.dim() > 1)


def test_rates_of_network_and_loss_by_hand() -> None:
    s = settings(learning_rate=0.2, head_learning_rate=0.8, head_warmup=0.2, warmup=0.2)
    # The network waits, rises from 0.2 to 0.4, then half a cosine; the classifier is on its cosine from the start.
    assert [s.learning_rate_at(p) for p in (0.1, 0.3, 0.4, 0.7, 1.0)] == pytest.approx([0.0, 0.1, 0.2, 0.1, 0.0])
    assert [s.head_learning_rate_at(p) for p in (0.0, 0.5, 1.0)] == pytest.approx([0.8, 0.4, 0.0])
    plain = settings(learning_rate=0.2, warmup=0.2)
    assert plain.head_learning_rate_at(0.1) == plain.learning_rate_at(0.1) == pytest.approx(0.1)


def test_weights_of_another_size_or_network_can_not_be_begun_from(crops: CropSet, single: Path) -> None:
    larger = replace(crops, alignment=replace(ALIGNMENT, name="large", height=120, width=120))
    with pytest.raises(WeightsError, match=r"takes crops of .*--alignment small"):
        Initial(str(single), larger, torch.device("cpu"))
    initial = Initial(str(single), crops, torch.device("cpu"))
    with pytest.raises(WeightsError, match="can't initialize another network"):
        initial.start(build_network("resnet29", embedding_size=4, input_size=(103, 103)))


def test_the_same_network_goes_on_from_its_parameters(crops: CropSet, single: Path) -> None:
    begun = trainer(crops, network="resnet29", network_arguments={"embedding_size": 8}, init=str(single))
    assert begun.initial is not None
    ours, theirs = begun.network.state_dict(), begun.initial.network.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_moving_average_by_hand() -> None:
    network = build_network("face_resnet_slim", widths=(4,), depths=(0,), stem=4, input_size=(16, 16), embedding_size=2)
    average = EMA(network, 0.9)
    name, parameter = next(iter(network.named_parameters()))
    start = parameter.detach().clone()
    with torch.no_grad():
        parameter.add_(1.0)
    average.update(1)  # at the first step the decay is (1 + 1) / (10 + 1)
    averaged = dict(average.network.named_parameters())[name]
    assert averaged.numpy() == pytest.approx((start + 9 / 11).numpy(), abs=1e-6)
    average.update(1000)
    assert averaged.numpy() == pytest.approx((start + 1 - 0.9 * 2 / 11).numpy(), abs=1e-6)
    kept = EMA(network, 0.0)
    kept.update(1)
    assert kept.network is network


@pytest.mark.slow
def test_gradients_are_cut_to_the_length_asked_for(crops: CropSet, single: Path) -> None:
    begun = trainer(crops, init=str(single), clip=1e-3)
    begun.train_step(0.0)
    gradients = [p.grad for g in begun.optimizer.param_groups for p in g["params"] if p.grad is not None]
    assert torch.stack([g.norm() for g in gradients]).norm().item() == pytest.approx(1e-3, rel=1e-3)


def test_even_sampling_draws_sources_and_people_alike() -> None:
    names = ["a_1"] * 90 + ["a_2"] * 10 + ["b_1"] * 3
    shares = even_shares(names, ["a"] * 100 + ["b"] * 3)
    by_name = {name: sum(s for s, n in zip(shares, names, strict=True) if n == name) for name in set(names)}
    assert by_name == pytest.approx({"a_1": 0.25, "a_2": 0.25, "b_1": 0.5})
    order = Sampler(len(names), 10, 0, shares)
    drawn = Counter(names[row] for step in range(10 * 50) for row in order.rows(step))
    assert drawn["b_1"] / drawn.total() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("sampling", ["plain", "even"])
def test_the_trainer_draws_by_the_sources_of_its_crops(crops: CropSet, single: Path, sampling: str) -> None:
    known = replace(crops, sources={name: name[0] for name in crops.identities})
    drawn = trainer(known, init=str(single), sampling=sampling).sampler.shares
    if sampling == "plain":
        assert drawn is None
    else:
        assert drawn is not None
        # Two sources; a's two people have four photographs each, b's two have two.
        assert dict(zip(crops.identities, drawn, strict=True)) == pytest.approx(
            {"a_0": 1 / 16, "a_1": 1 / 16, "b_0": 1 / 8, "b_1": 1 / 8}
        )


def test_plain_sampling_takes_each_row_once_an_epoch_and_depends_on_the_seed() -> None:
    order = Sampler(20, 5, 7)
    first, second = ([order.rows(step).tolist() for step in range(k, k + 4)] for k in (0, 4))
    assert sorted(chain(*first)) == sorted(chain(*second)) == list(range(20))
    assert first != second
    assert [Sampler(20, 5, 7).rows(4).tolist()] == second[:1]
    assert Sampler(20, 5, 8).rows(4).tolist() != second[0]


@pytest.mark.slow
def test_the_papers_network_trains_at_its_full_size() -> None:
    grays = np.array([30, 40, 130, 220], np.uint8)  # as many as photographs, two of them of one person
    pixels = np.broadcast_to(grays[:, None, None, None], (4, 112, 96, 3)).copy()
    names = ["a", "a", "b", "c"]
    faces = CropSet(pixels, np.arange(4), names, names, FACE_112X96, 0, [])
    full = TrainingSettings(network="face_resnet", alignment="face-112x96", epochs=1, batch_size=4, warmup=0.0)
    trainer = Trainer(replace(full, compile=False, learning_rate=3e-3, precision="fp32"), faces, torch.device("cpu"))
    losses = [trainer.train_step(0.0).loss for _ in range(8)]
    assert np.isfinite(losses).all()
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.slow
def test_the_clean_view_is_embedded_once_and_is_the_target_whatever_the_augmentation(
    crops: CropSet, single: Path, tmp_path: Path
) -> None:
    clean = initial_embeddings(str(single), crops, tmp_path, torch.device("cpu"))
    initial = Initial(str(single), crops, torch.device("cpu"))
    x = Normalization((100.0, 110.0, 120.0), 200.0)(torch.from_numpy(crops.crops).permute(0, 3, 1, 2))
    with torch.no_grad():
        expected = F.normalize(initial.network(x) + initial.network(x.flip(3)))
    assert (clean * expected).sum(1).min() > 0.9995  # it is embedded in bfloat16 where that is faster
    assert [file.suffix for file in tmp_path.iterdir()] == [".safetensors"]
    changed = Initial(str(single), crops, torch.device("cpu"), clean)
    rows = torch.tensor([4, 1, 1])
    found = changed.targets(torch.zeros(3, 3, 103, 103), rows)
    assert found.numpy() == pytest.approx(clean[rows].numpy(), abs=1e-6)
    (file,) = tmp_path.iterdir()
    was = file.stat().st_mtime_ns
    assert initial_embeddings(str(single), crops, tmp_path, torch.device("cpu")).tolist() == clean.tolist()
    assert file.stat().st_mtime_ns == was


def test_a_classifier_that_starts_at_means_is_at_the_mean_direction_of_each_identity(
    crops: CropSet, single: Path
) -> None:
    embeddings = F.normalize(torch.randn(len(crops), 8, generator=torch.Generator().manual_seed(0)))
    initial = Initial(str(single), crops, torch.device("cpu"), embeddings)
    labels = torch.tensor([sorted(set(NAMES)).index(name) for name in NAMES])
    loss = L2Softmax(8, len(set(NAMES)), 16.0)
    initial.start_classifier(loss, labels)
    for k in range(len(set(NAMES))):
        mean = embeddings[labels == k].mean(0)
        assert torch.allclose(loss.classifier.weight[k], mean / mean.norm(), atol=1e-6)
    assert not loss.classifier.bias.any()
    with pytest.raises(ValueError, match="there is no init"):
        settings(head_start="means")
