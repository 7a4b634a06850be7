"""Losses: against NumPy in double precision, scikit-learn, and sums done by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import log_loss
from torch import Tensor

from facever.losses import (
    BranchLoss,
    CenterLoss,
    L2Softmax,
    LossOutput,
    Softmax,
    alpha_lower_bound,
    check_alpha,
    l2_normalize,
    parse_alpha,
)


def a_batch(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Six features of five components, of very different lengths, and their labels among four identities."""
    generator = torch.Generator().manual_seed(1)
    lengths = torch.tensor([0.01, 0.3, 1, 7, 50, 1000], dtype=torch.float64)[:, None]
    features = torch.randn(6, 5, generator=generator, dtype=torch.float64) * lengths
    return features.to(dtype), torch.tensor([0, 1, 2, 3, 1, 0])


def drawn(loss: Softmax, seed: int = 2) -> Softmax:
    """The loss with a classifier of double precision whose weights and biases are not small."""
    generator = torch.Generator().manual_seed(seed)
    loss = loss.double()
    with torch.no_grad():
        loss.classifier.weight.copy_(torch.randn(loss.classifier.weight.shape, generator=generator))
        loss.classifier.bias.copy_(torch.randn(loss.classifier.bias.shape, generator=generator))
    return loss


def naive_loss(loss: Softmax, features: NDArray, labels: NDArray) -> float:
    """-1/M sum log softmax(W f + b)[y], term by term."""
    weight, bias = (p.detach().numpy().astype(float) for p in (loss.classifier.weight, loss.classifier.bias))
    total = 0.0
    for feature, label in zip(features, labels, strict=True):
        logits = [float(weight[c] @ feature + bias[c]) for c in range(len(weight))]
        total -= math.log(math.exp(logits[label]) / sum(math.exp(logit) for logit in logits))
    return total / len(features)


# --- L2Softmax


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("alpha", [0.5, 1.0, 4.0, 16.0, 64.0])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-5)])
def test_l2_softmax_is_softmax_on_the_sphere_of_radius_alpha(
    alpha: float, learned: bool, dtype: torch.dtype, tolerance: float
) -> None:
    features, labels = a_batch(dtype)
    loss = drawn(L2Softmax(5, 4, alpha=alpha, learned=learned))
    points = features.double().numpy()
    points = alpha * points / np.sqrt((points**2).sum(axis=1, keepdims=True) + 1e-12)
    expected = naive_loss(loss, points, labels.numpy())
    assert loss.to(dtype)(features, labels).loss.item() == pytest.approx(expected, rel=tolerance)


def test_the_loss_of_two_identities_by_hand() -> None:
    """alpha = 2, f = (3, 4), W = identity, b = (0, 0.4): logits 1.2 and 1.6 + 0.4."""
    loss = L2Softmax(2, 2, alpha=2.0)
    with torch.no_grad():
        loss.classifier.weight.copy_(torch.eye(2))
        loss.classifier.bias.copy_(torch.tensor([0.0, 0.4]))
    output = loss(torch.tensor([[3.0, 4.0]]), torch.tensor([0]))
    torch.testing.assert_close(output.logits, torch.tensor([[1.2, 2.0]]))
    assert output.loss.item() == pytest.approx(math.log(1 + math.exp(0.8)), rel=1e-6)


@pytest.mark.parametrize("learned", [False, True])
def test_gradients_are_those_of_finite_differences(learned: bool) -> None:
    features, labels = a_batch()
    features = torch.nn.functional.normalize(features) * torch.tensor([0.5, 0.7, 1, 1.5, 2, 3])[:, None].double()
    loss = drawn(L2Softmax(5, 4, alpha=3.0, learned=learned))
    parameters = list(loss.parameters())
    assert len(parameters) == (3 if learned else 2)

    def value(x: Tensor, *_: Tensor) -> Tensor:  # gradcheck disturbs the parameters in place
        return loss(x, labels).loss

    assert torch.autograd.gradcheck(value, (features.requires_grad_(), *parameters))


@pytest.mark.slow
@given(st.floats(0.01, 1000))
def test_the_length_of_the_features_does_not_matter(factor: float) -> None:
    features, labels = a_batch()
    features = features[1:]  # eps is felt by a length of 0.01 * 0.01
    loss = drawn(L2Softmax(5, 4, alpha=16.0))
    scaled = loss(factor * features, labels[1:]).loss.item()
    assert scaled == pytest.approx(loss(features, labels[1:]).loss.item(), rel=1e-5)


def test_features_are_scaled_to_the_length_alpha() -> None:
    features, _ = a_batch(torch.float32)
    on_sphere = L2Softmax(5, 4, alpha=12.5).scaled(features)
    torch.testing.assert_close(on_sphere.norm(dim=1), torch.full((6,), 12.5))
    cosines = torch.nn.functional.cosine_similarity(on_sphere, features)
    torch.testing.assert_close(cosines, torch.ones(6))


def test_learned_alpha_is_a_parameter_that_begins_at_four_and_learns() -> None:
    features, labels = a_batch(torch.float32)
    loss = L2Softmax(5, 4, learned=True)
    assert dict(loss.named_parameters())["alpha"] is loss.alpha
    assert loss.alpha_value == 4.0
    optimizer = torch.optim.SGD(loss.parameters(), lr=0.1)
    loss(features, labels).loss.backward()
    gradient = loss.alpha.grad
    assert gradient is not None and gradient.abs() > 1e-4
    optimizer.step()
    assert loss.alpha_value == pytest.approx(4.0 - 0.1 * gradient.item())


def test_fixed_alpha_is_no_parameter_but_is_stored() -> None:
    loss = L2Softmax(5, 4, alpha=16.0)
    assert "alpha" not in dict(loss.named_parameters())
    assert loss.state_dict()["alpha"].item() == 16.0
    other = L2Softmax(5, 4, alpha=1.0)
    other.load_state_dict(loss.state_dict())
    assert other.alpha_value == 16.0


@pytest.mark.parametrize("learned", [False, True])
def test_a_zero_feature_has_a_finite_loss_and_gradient(learned: bool) -> None:
    features = torch.zeros(2, 5, requires_grad=True)
    loss = L2Softmax(5, 4, alpha=32.0, learned=learned)
    value = loss(features, torch.tensor([0, 3])).loss
    value.backward()
    assert value.isfinite()
    assert features.grad is not None and features.grad.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in loss.parameters())
    assert torch.equal(l2_normalize(torch.zeros(5)), torch.zeros(5))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_features_of_half_precision_lose_no_more_than_their_own_rounding(dtype: torch.dtype) -> None:
    features, labels = a_batch(torch.float32)
    features = 0.001 * torch.nn.functional.normalize(features)  # squared below what float16 can hold
    loss = L2Softmax(5, 4, alpha=16.0)
    rounded = features.to(dtype)
    value = loss(rounded, labels).loss
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(loss(rounded.float(), labels).loss.item(), rel=1e-6)


def test_the_loss_is_the_same_on_every_device(device: str) -> None:
    features, labels = a_batch(torch.float32)
    loss = L2Softmax(5, 4, alpha=16.0, learned=True)
    expected = loss(features, labels).loss.item()
    value = loss.to(device)(features.to(device), labels.to(device)).loss
    assert value.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("alpha", [0.0, -4.0, math.nan])
def test_a_radius_that_is_not_positive_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        L2Softmax(5, 4, alpha=alpha)


# --- softmax


def test_softmax_is_the_log_loss_of_scikit_learn() -> None:
    features, labels = a_batch()
    features = 2 * torch.nn.functional.normalize(features)  # scikit-learn clips probabilities near 0
    loss = drawn(Softmax(5, 4))
    output = loss(features, labels)
    logits = output.logits.detach().numpy()
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    expected = log_loss(labels.numpy(), probabilities, labels=[0, 1, 2, 3])
    assert output.loss.item() == pytest.approx(expected, rel=1e-6)


def test_softmax_is_the_naive_sum() -> None:
    features, labels = a_batch()
    loss = drawn(Softmax(5, 4))
    features = features[:4]
    expected = naive_loss(loss, features.numpy(), labels[:4].numpy())
    assert loss(features, labels[:4]).loss.item() == pytest.approx(expected, rel=1e-6)


def test_softmax_has_no_alpha() -> None:
    assert math.isnan(Softmax(5, 4).alpha_value)
    assert "alpha" not in Softmax(5, 4).state_dict()


@pytest.mark.parametrize("kind", [Softmax, L2Softmax])
def test_label_smoothing_by_hand(kind: type[Softmax]) -> None:
    """A share of 0.2 is taken from the right identity and spread over all four: 0.85, 0.05, 0.05, 0.05."""
    loss = kind(2, 4, label_smoothing=0.2)
    with torch.no_grad():
        loss.classifier.weight.zero_()
        loss.classifier.bias.copy_(torch.tensor([3.0, 1.0, 0.0, -1.0]))
    value = loss(torch.tensor([[1.0, 2.0]]), torch.tensor([1])).loss.item()
    normalizer = math.log(math.exp(3) + math.exp(1) + 1 + math.exp(-1))
    expected = normalizer - (0.05 * 3 + 0.85 * 1 + 0.05 * 0 + 0.05 * -1)
    assert value == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("kind", [Softmax, L2Softmax])
@pytest.mark.parametrize("num_classes", [1, 0])
def test_a_classifier_of_one_identity_is_refused(kind: type[Softmax], num_classes: int) -> None:
    with pytest.raises(ValueError, match="at least 2 identities"):
        kind(5, num_classes)


# --- center loss


def some_batches(dtype: torch.dtype = torch.float64) -> list[tuple[Tensor, Tensor]]:
    """Features of five components of identities 0 to 4: alone, in pairs and threes, absent for a while; 5 never."""
    generator = torch.Generator().manual_seed(3)
    labels = [[0, 1, 1, 2], [3, 3, 3, 0], [2, 1, 2, 1, 4], [0, 0]]
    return [
        (torch.randn(len(names), 5, generator=generator, dtype=torch.float64).to(dtype), torch.tensor(names))
        for names in labels
    ]


def naive_center_loss(loss: CenterLoss, centers: NDArray, points: NDArray, labels: NDArray) -> tuple[float, NDArray]:
    """The joint loss of a batch and the centers after it: sums over the examples, one by one."""
    anchor = sum(float(((points[i] - centers[labels[i]]) ** 2).sum()) for i in range(len(points))) / 2
    moved = centers.copy()
    for j in range(len(centers)):
        delta, count = np.zeros(centers.shape[1]), 0
        for i in range(len(points)):
            if labels[i] == j:
                delta += centers[j] - points[i]
                count += 1
        moved[j] -= loss.rate * delta / (1 + count)
    return naive_loss(loss.base, points, labels) + loss.weight * anchor / len(points), moved


@pytest.mark.parametrize("alpha", [None, 3.0])
def test_center_loss_and_its_centres_are_the_naive_sums(alpha: float | None) -> None:
    base = Softmax(5, 6) if alpha is None else L2Softmax(5, 6, alpha=alpha)
    loss = CenterLoss(drawn(base), weight=0.7, rate=0.3)
    centers = np.zeros((6, 5))
    for features, labels in some_batches():
        points = features.numpy()
        if alpha is not None:
            points = alpha * points / np.sqrt((points**2).sum(axis=1, keepdims=True) + 1e-12)
        expected, centers = naive_center_loss(loss, centers, points, labels.numpy())
        assert loss(features, labels).loss.item() == pytest.approx(expected, abs=1e-6)
        np.testing.assert_allclose(loss.centers.numpy(), centers, atol=1e-6)
    assert np.abs(centers[:5]).max() > 0.1


def flat(base: Softmax) -> Softmax:
    """With weights and biases of 0: its loss is log C, and no gradient comes from it."""
    with torch.no_grad():
        base.classifier.weight.zero_()
        base.classifier.bias.zero_()
    return base


def test_the_pull_to_a_center_by_hand() -> None:
    """f = (3, 4) and c = (1, 1): distance² 4 + 9; gradient 0.2 (2, 3); half of the way (1 + n = 2) at rate 0.5."""
    loss = CenterLoss(flat(Softmax(2, 2)), weight=0.2, rate=0.5)
    loss.centers[1] = 1.0
    feature = torch.tensor([[3.0, 4.0]], requires_grad=True)
    value = loss(feature, torch.tensor([1])).loss
    value.backward()
    assert value.item() == pytest.approx(math.log(2) + 0.1 * 13)
    torch.testing.assert_close(feature.grad, torch.tensor([[0.4, 0.6]]))
    torch.testing.assert_close(loss.centers, torch.tensor([[0.0, 0.0], [1.5, 1.75]]))


def test_with_l2_softmax_the_centres_lie_among_the_scaled_features() -> None:
    """alpha = 10, f = (3, 4): x = (6, 8), 100 from a center at zero, which moves to a quarter of it."""
    loss = CenterLoss(flat(L2Softmax(2, 2, alpha=10.0)), weight=0.2, rate=0.5)
    value = loss(torch.tensor([[3.0, 4.0]]), torch.tensor([0])).loss.item()
    assert value == pytest.approx(math.log(2) + 0.1 * 100)
    torch.testing.assert_close(loss.centers[0], torch.tensor([1.5, 2.0]))


def test_centres_of_absent_identities_stay() -> None:
    loss = CenterLoss(Softmax(5, 6))
    with torch.no_grad():
        loss.centers.normal_(generator=torch.Generator().manual_seed(4))
    before = loss.centers.clone()
    loss(*some_batches(torch.float32)[0])
    moved = (loss.centers != before).any(dim=1)
    assert moved.tolist() == [True, True, True, False, False, False]


def test_centres_stay_in_evaluation() -> None:
    loss = CenterLoss(Softmax(5, 6))
    batch, other, *_ = some_batches(torch.float32)
    loss(*batch)
    before = {name: tensor.clone() for name, tensor in loss.state_dict().items()}
    loss.eval()
    assert loss(*other).loss.item() == loss(*other).loss.item()
    assert all(torch.equal(tensor, before[name]) for name, tensor in loss.state_dict().items())
    loss.train()(*other)
    assert not torch.equal(loss.centers, before["centers"])


@pytest.mark.parametrize("learned", [None, False, True])
def test_gradients_of_center_loss_are_those_of_finite_differences(learned: bool | None) -> None:
    base = Softmax(5, 6) if learned is None else L2Softmax(5, 6, alpha=3.0, learned=learned)
    loss = CenterLoss(drawn(base), weight=0.7)
    first, (features, labels), *_ = some_batches()
    loss(*first)
    loss.eval()
    parameters = list(loss.parameters())
    assert len(parameters) == (3 if learned else 2)  # the centers are none

    def value(x: Tensor, *_: Tensor) -> Tensor:
        return loss(x, labels).loss

    assert torch.autograd.gradcheck(value, (features.requires_grad_(), *parameters))


def test_the_move_of_the_centres_leaves_the_gradient_as_it_is() -> None:
    gradients = []
    for training in (True, False):
        loss = CenterLoss(drawn(Softmax(5, 6)), weight=0.7).train(training)
        features, labels = some_batches()[0]
        loss(features.requires_grad_(), labels).loss.backward()
        assert loss.centers.any().item() is training
        assert features.grad is not None
        gradients.append(features.grad)
    assert torch.equal(*gradients)


def test_centres_survive_the_state() -> None:
    loss, other = CenterLoss(L2Softmax(5, 6)), CenterLoss(L2Softmax(5, 6))
    *earlier, last = some_batches(torch.float32)
    for batch in earlier:
        loss(*batch)
    assert "centers" in loss.state_dict() and "centers" not in dict(loss.named_parameters())
    other.load_state_dict(loss.state_dict())
    assert other(*last).loss.item() == loss(*last).loss.item()
    assert torch.equal(other.centers, loss.centers)


def test_center_loss_counts_in_float32_under_autocast() -> None:
    loss, precise = CenterLoss(flat(Softmax(5, 6))), CenterLoss(flat(Softmax(5, 6)))
    for features, labels in some_batches(torch.bfloat16):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = loss(features, labels)
        assert output.logits.dtype == torch.bfloat16
        assert output.loss.dtype == loss.centers.dtype == torch.float32
        assert output.loss.item() == pytest.approx(precise(features.float(), labels).loss.item(), rel=1e-6)
        assert torch.equal(loss.centers, precise.centers)


def test_center_loss_is_the_same_on_every_device(device: str) -> None:
    loss = CenterLoss(L2Softmax(5, 6))
    there = CenterLoss(L2Softmax(5, 6)).to(device)
    there.load_state_dict(loss.state_dict())
    for features, labels in some_batches(torch.float32):
        expected = loss(features, labels).loss.item()
        assert there(features.to(device), labels.to(device)).loss.item() == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(there.centers.cpu(), loss.centers)


def test_center_loss_shows_what_its_base_shows() -> None:
    base = L2Softmax(5, 6, alpha=7.0)
    loss = CenterLoss(base)
    output = loss(*some_batches(torch.float32)[0])
    assert isinstance(output, LossOutput) and output.logits.shape == (4, 6)
    assert loss.classifier is base.classifier and loss.alpha_value == 7.0
    assert math.isnan(CenterLoss(Softmax(5, 6)).alpha_value)


@pytest.mark.parametrize("wrong", [{"weight": -0.1}, {"weight": math.nan}, {"rate": 0.0}, {"rate": 1.5}])
def test_a_weight_or_rate_without_meaning_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="not "):
        CenterLoss(Softmax(5, 6), **wrong)


# --- the lower bound of alpha


@pytest.mark.parametrize(
    ("num_classes", "p", "bound"),
    [
        (10, 0.9, 4.28),  # log 72
        (10_000, 0.9, 11.41),  # log 89,982
        (3_775, 0.9, 10.43),
        (3, 0.5, 0.0),
        (13_403, 0.99, 14.10),
    ],
)
def test_the_bound_is_log_of_p_times_c_minus_2_over_1_minus_p(num_classes: int, p: float, bound: float) -> None:
    assert alpha_lower_bound(num_classes, p) == pytest.approx(bound, abs=0.005)
    if p == 0.9:
        assert alpha_lower_bound(num_classes) == alpha_lower_bound(num_classes, 0.9)


@pytest.mark.parametrize("num_classes", [2, 1, 0, -5])
def test_the_bound_needs_more_than_two_identities(num_classes: int) -> None:
    with pytest.raises(ValueError, match="more than 2 classes"):
        alpha_lower_bound(num_classes)


@pytest.mark.parametrize("p", [0.0, 1.0, -0.5, 1.5, math.nan])
def test_the_bound_needs_a_probability(p: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        alpha_lower_bound(10, p)


@pytest.mark.parametrize("num_classes", [10, 100, 1000])
@pytest.mark.parametrize("p", [0.5, 0.9, 0.99])
def test_at_the_bound_identities_in_opposite_pairs_reach_p(num_classes: int, p: float) -> None:
    """The arrangement from which the paper takes the bound: C = 2d identities at ± the axes of d dimensions.

    Its logits are alpha once, 0 C - 2 times and -alpha once, so that with x = exp(alpha) the right identity has
    x / (x + C - 2 + 1/x). The bound leaves the 1/x away, and x = p (C - 2) / (1 - p) follows from p = x / (x + C - 2).
    What is left away lowers p by a share below (1/x) / (C - 2).
    """
    d = num_classes // 2
    directions = torch.cat([torch.eye(d), -torch.eye(d)]).double()

    def probability(alpha: float) -> float:
        loss = L2Softmax(d, num_classes, alpha=alpha).double()
        with torch.no_grad():
            loss.alpha.fill_(alpha)  # in double precision
            loss.classifier.weight.copy_(directions)
            loss.classifier.bias.zero_()
        lengths = torch.linspace(1, 9, num_classes)[:, None].double()
        labels = torch.arange(num_classes)
        probabilities = loss(lengths * directions, labels).logits.softmax(dim=1)[labels, labels]
        assert (probabilities.max() - probabilities.min()).item() < 1e-9
        return probabilities.mean().item()

    alpha = alpha_lower_bound(num_classes, p)
    missing = math.exp(-alpha) / (num_classes - 2)
    assert p * (1 - missing) - 1e-9 <= probability(alpha) <= p + 1e-9
    assert probability(alpha - 0.5) < p < probability(alpha + 0.5)


@pytest.mark.parametrize("joined", [False, True])
def test_a_learned_alpha_is_kept_at_its_bound(joined: bool) -> None:
    """C = 10, p = 0.9: log 72 = 4.28. A step of -0.1 · 3 leaves 5 above it, one of -0.1 · 100 does not."""
    base = L2Softmax(5, 10, alpha=5.0, learned=True, alpha_bound=0.9)
    loss = CenterLoss(base) if joined else base
    optimizer = torch.optim.SGD(loss.parameters(), lr=0.1)
    for gradient, expected in ((3.0, 4.7), (100.0, math.log(72)), (-1.0, math.log(72) + 0.1)):
        base.alpha.grad = torch.tensor(gradient)
        optimizer.step()
        loss.constrain()
        assert loss.alpha_value == pytest.approx(expected, rel=1e-6)
    assert isinstance(base.alpha, torch.nn.Parameter)


def test_a_learned_alpha_starts_no_lower_than_its_bound() -> None:
    assert L2Softmax(5, 10, alpha=4.0, learned=True, alpha_bound=0.9).alpha_value == pytest.approx(4.28, abs=0.005)
    assert L2Softmax(5, 10, alpha=5.0, learned=True, alpha_bound=0.9).alpha_value == 5.0


def test_without_a_bound_alpha_goes_where_it_is_driven() -> None:
    loss = L2Softmax(5, 10, alpha=1.0, learned=True)
    loss.constrain()
    assert loss.alpha_value == 1.0
    Softmax(5, 10).constrain()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"alpha_bound": 0.9}, "fixed at 4"),
        ({"alpha_bound": 1.0, "learned": True}, "between 0 and 1"),
        ({"alpha_bound": 0.0, "learned": True}, "between 0 and 1"),
        ({"alpha_bound": 0.9, "learned": True, "num_classes": 2}, "more than 2 classes"),
    ],
)
def test_a_bound_without_meaning_is_refused(arguments: dict[str, float], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        L2Softmax(**{"embedding_size": 5, "num_classes": 10, **arguments})  # type: ignore[arg-type]


def test_alpha_is_a_number_or_learned() -> None:
    assert parse_alpha("24") == (24.0, False)
    assert parse_alpha("learned") == (4.0, True)
    for text in ("-1", "0", "nan", "inf"):
        with pytest.raises(ValueError, match=f"must be positive, not {float(text)}"):
            parse_alpha(text)
    for text in ("big", ""):
        with pytest.raises(ValueError, match=f"alpha is a number or 'learned', not '{text}'"):
            parse_alpha(text)


def test_a_bound_is_a_probability_for_a_learned_alpha() -> None:
    check_alpha(4.0)
    check_alpha(4.0, learned=True, bound=0.9)
    with pytest.raises(ValueError, match="for a learned alpha, and alpha is fixed at 4"):
        check_alpha(4.0, bound=0.9)
    for bound in (0.0, 1.0, math.nan):
        with pytest.raises(ValueError, match=f"a probability between 0 and 1, not {bound}"):
            check_alpha(4.0, learned=True, bound=bound)


# For 100 classes the bound at p = 0.9 is log(9 · 98) = 6.782, at p = 0.5 it is log(98) = 4.585.
@pytest.mark.parametrize(
    ("loss", "lines"),
    [
        (L2Softmax(3, 100, 16.0), ["alpha fixed at 16; lower bound for C = 100, p = 0.9: 6.78"]),
        (
            L2Softmax(3, 100, 2.5),
            [
                "alpha fixed at 2.5; lower bound for C = 100, p = 0.9: 6.78",
                "warning: alpha 2.5 lies below the bound; no class can reach probability 0.9",
            ],
        ),
        (L2Softmax(3, 100, learned=True), ["alpha learned from 4; lower bound for C = 100, p = 0.9: 6.78"]),
        (
            L2Softmax(3, 100, learned=True, alpha_bound=0.5),
            ["alpha learned from 4.585; lower bound for C = 100, p = 0.5: 4.58, enforced"],
        ),
        (L2Softmax(3, 2, 0.1), []),
        (Softmax(3, 100), []),
        (CenterLoss(Softmax(3, 100)), []),
        (CenterLoss(L2Softmax(3, 100, 16.0)), ["alpha fixed at 16; lower bound for C = 100, p = 0.9: 6.78"]),
        (
            BranchLoss([L2Softmax(3, 100, 16.0) for _ in range(2)]),
            ["alpha fixed at 16; lower bound for C = 100, p = 0.9: 6.78"],
        ),
    ],
)
def test_a_loss_tells_its_alpha_beside_the_bound_and_warns_of_one_below(loss: Softmax, lines: list[str]) -> None:
    assert loss.describe() == lines


def test_centers_move_by_the_whole_batch_where_a_part_is_held() -> None:
    features, labels = a_batch(torch.float32)
    whole = CenterLoss(Softmax(5, 4), rate=0.5)
    whole(features, labels)
    parts = CenterLoss(Softmax(5, 4), rate=0.5, gather=lambda part: features if part.is_floating_point() else labels)
    parts(features[:2], labels[:2])
    alone = CenterLoss(Softmax(5, 4), rate=0.5)
    alone(features[:2], labels[:2])
    assert torch.equal(parts.centers, whole.centers)
    assert not torch.equal(alone.centers, whole.centers)


def test_the_loss_of_branches_is_the_mean_of_each_ones_own() -> None:
    torch.manual_seed(0)
    losses = [L2Softmax(3, 4, 8.0), L2Softmax(3, 4, 8.0)]
    features, labels = torch.randn(5, 6), torch.tensor([0, 1, 2, 3, 0])
    joined = BranchLoss(losses)(features, labels)
    apart = [loss(features[:, 3 * k : 3 * k + 3], labels) for k, loss in enumerate(losses)]
    assert joined.loss.item() == pytest.approx((apart[0].loss.item() + apart[1].loss.item()) / 2)
    assert torch.allclose(joined.logits, (apart[0].logits + apart[1].logits) / 2)


def test_the_loss_of_branches_keeps_every_alpha_above_its_bound() -> None:
    loss = BranchLoss([L2Softmax(3, 4, 50.0, learned=True, alpha_bound=0.9) for _ in range(2)])
    with torch.no_grad():
        for each in loss.losses:
            each.alpha.fill_(0.1)
    loss.constrain()
    bound = alpha_lower_bound(4, 0.9)
    assert [each.alpha.item() for each in loss.losses] == pytest.approx([bound, bound])
    assert loss.alpha_value == pytest.approx(bound)
