"""Networks: layer by layer against lists written by hand from the papers, and against naive loops."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from facever.networks import (
    NETWORKS,
    DlibBlock,
    EmbeddingNetwork,
    GatedMobileFaceNet,
    MobileFaceNet,
    ResidualBlock,
    build_network,
)

# Output channels, input channels, height and width of the input: Wen et al. 2016 on crops of 112x96.
FACE_RESNET_CONVOLUTIONS = [
    (32, 3, 112, 96),
    (64, 32, 112, 96),
    *[(64, 64, 56, 48)] * 2,
    (128, 64, 56, 48),
    *[(128, 128, 28, 24)] * 4,
    (256, 128, 28, 24),
    *[(256, 256, 14, 12)] * 10,
    (512, 256, 14, 12),
    *[(512, 512, 7, 6)] * 6,
]

SMALL: list[tuple[str, dict[str, Any]]] = [
    ("face_resnet", {"embedding_size": 16, "input_size": (16, 32)}),
    (
        "face_resnet_slim",
        {"embedding_size": 16, "input_size": (32, 24), "widths": (8, 12), "depths": (1, 2), "stem": 4},
    ),
    ("resnet29", {"embedding_size": 16, "input_size": (103, 118)}),
    ("mobilefacenet", {"embedding_size": 16, "input_size": (64, 48)}),
    ("mobilefacenet_gated", {"embedding_size": 16, "input_size": (64, 48)}),
]
SMALL_NETWORKS = pytest.mark.parametrize(("name", "arguments"), SMALL, ids=[name for name, _ in SMALL])


def crops(network: EmbeddingNetwork, count: int = 2, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, *network.input_size, generator=torch.Generator().manual_seed(seed))


def count_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def convolutions_of(network: EmbeddingNetwork) -> list[tuple[nn.Conv2d, tuple[int, ...]]]:
    """The convolutions in the order in which a crop passes through them, and the shape (h, w) of what each gets."""
    seen: list[tuple[nn.Conv2d, tuple[int, ...]]] = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda conv, x, y: seen.append((conv, tuple(x[0].shape[2:]))))
    with torch.no_grad():
        network.eval()(crops(network, 1))
    return seen


# --- face_resnet


@pytest.mark.slow
def test_face_resnet_has_the_27_convolutions_of_the_paper_in_order() -> None:
    network = build_network("face_resnet")
    passed = convolutions_of(network)
    assert [(conv.out_channels, conv.in_channels, *shape) for conv, shape in passed] == FACE_RESNET_CONVOLUTIONS
    assert len(passed) == 27
    for conv, _ in passed:
        assert (conv.kernel_size, conv.stride, conv.padding, conv.groups) == ((3, 3), (1, 1), (1, 1), 1)
    dense = [module for module in network.modules() if isinstance(module, nn.Linear)]
    assert [(each.in_features, each.out_features) for each in dense] == [(512 * 7 * 6, 512)]
    pools = [module for module in network.modules() if isinstance(module, nn.MaxPool2d)]
    assert [(pool.kernel_size, pool.stride) for pool in pools] == [(2, 2)] * 4


@pytest.mark.slow
def test_face_resnet_has_a_prelu_of_its_own_behind_every_convolution() -> None:
    network = build_network("face_resnet")
    order = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.PReLU)]
    pairs = list(zip(order[::2], order[1::2], strict=True))
    assert len(pairs) == 27
    for conv, prelu in pairs:
        assert isinstance(conv, nn.Conv2d) and isinstance(prelu, nn.PReLU)
        assert prelu.num_parameters == conv.out_channels
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())


@pytest.mark.slow
def test_face_resnet_has_as_many_parameters_as_counted_by_hand() -> None:
    convolutions = sum(9 * c_in * c_out + c_out for c_out, c_in, _, _ in FACE_RESNET_CONVOLUTIONS)
    prelus = sum(c_out for c_out, *_ in FACE_RESNET_CONVOLUTIONS)
    dense = 512 * 7 * 6 * 512 + 512
    assert count_parameters(build_network("face_resnet")) == convolutions + prelus + dense


@pytest.mark.slow
@pytest.mark.parametrize(("size", "d"), [((112, 96), 512), ((64, 64), 128), ((48, 80), 7)])
def test_face_resnet_gives_one_feature_a_crop(size: tuple[int, int], d: int) -> None:
    network = build_network("face_resnet", input_size=size, embedding_size=d)
    assert (network.input_size, network.embedding_size) == (size, d)
    with torch.no_grad():
        features = network(crops(network))
    assert features.shape == (2, d)
    assert features.isfinite().all() and features.norm(dim=1).min() > 0


@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_residual_block_adds_its_input_to_two_convolutions(batch_norm: bool) -> None:
    torch.manual_seed(0)
    block = ResidualBlock(6, batch_norm=batch_norm).eval()
    x = torch.randn(2, 6, 9, 7)
    convolutions = [module for module in block.modules() if isinstance(module, nn.Conv2d)]
    assert len(convolutions) == 2
    with torch.no_grad():
        y = x
        for conv in convolutions:
            y = F.conv2d(y, conv.weight, conv.bias, padding=1)
            y = y / (1 + 1e-5) ** 0.5 if batch_norm else y  # variance 1 and eps 1e-5 before any training
            y = torch.where(y > 0, y, 0.25 * y)
        torch.testing.assert_close(block(x), x + y)

        for parameter in convolutions[-1].parameters():
            parameter.zero_()
        torch.testing.assert_close(block(x), x)  # negative values too: nothing rectifies the sum


# --- face_resnet_slim


def test_the_slim_network_halves_the_resolution_by_strides() -> None:
    network = build_network("face_resnet_slim", widths=(8, 16), depths=(1, 2), stem=4, input_size=(30, 21))
    passed = [(conv.out_channels, conv.in_channels, conv.stride[0], *shape) for conv, shape in convolutions_of(network)]
    assert passed == [
        (4, 3, 1, 30, 21),
        (8, 4, 2, 30, 21),
        *[(8, 8, 1, 15, 11)] * 2,
        (16, 8, 2, 15, 11),
        *[(16, 16, 1, 8, 6)] * 4,
    ]
    assert not any(isinstance(module, nn.MaxPool2d) for module in network.modules())


def test_the_slim_network_has_as_many_parameters_as_counted_by_hand() -> None:
    network = build_network("face_resnet_slim", widths=(8,), depths=(1,), stem=4, input_size=(16, 18), embedding_size=5)
    # Kernels without biases, and a gain, a shift and a slope for each channel.
    stem, stage, block = 9 * 3 * 4 + 3 * 4, 9 * 4 * 8 + 3 * 8, 2 * (9 * 8 * 8 + 3 * 8)
    dense = 8 * 8 * 9 * 5 + 2 * 5
    assert count_parameters(network) == stem + stage + block + dense


@pytest.mark.parametrize(
    ("arguments", "d"),
    [
        ({}, 256),
        ({"embedding_size": 10, "input_size": [64, 56], "dropout": 0.4}, 10),
        ({"input_size": (43, 37), "widths": [8, 8, 8], "depths": [0, 1, 0]}, 256),
    ],
)
def test_the_slim_network_gives_one_feature_a_crop(arguments: dict[str, Any], d: int) -> None:
    network = build_network("face_resnet_slim", **arguments).eval()
    with torch.no_grad():
        features = network(crops(network))
    assert features.shape == (2, d)
    assert features.isfinite().all()


def trained_a_little(network: EmbeddingNetwork) -> EmbeddingNetwork:
    """Some passes in training mode and disturbed gains, so that no batch normalization is the identity."""
    network.train()
    with torch.no_grad():
        for i in range(4):
            network(2 * crops(network, 6, seed=i) + 1)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.5, 0.5)
    return network.eval()


@pytest.mark.parametrize("feature_norm", [True, False])
def test_folding_batch_normalization_leaves_the_features_as_they_are(feature_norm: bool, device: str) -> None:
    torch.manual_seed(0)
    arguments: dict[str, Any] = {"widths": (8, 12), "depths": (1, 2), "stem": 4, "input_size": (32, 24)}
    arguments |= {"dropout": 0.3, "feature_norm": feature_norm}
    network = trained_a_little(build_network("face_resnet_slim", **arguments)).to(device)
    x = crops(network, 5, seed=9).to(device)
    with torch.no_grad():
        before = network(x)
        folded = network.fold()
        after = folded(x)
    assert not any(isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) for module in folded.modules())
    assert before.std() > 0.1
    torch.testing.assert_close(after, before, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("face_resnet", (32, 32)),
        ("resnet29", (103, 103)),
        ("mobilefacenet", (32, 32)),
        ("mobilefacenet_gated", (32, 32)),
    ],
)
def test_folding_changes_no_feature_of_networks_without_batch_normalization(name: str, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    network = build_network(name, input_size=size, embedding_size=16).eval()
    x = crops(network, 1)
    with torch.no_grad():
        before = network(x)
        torch.testing.assert_close(network.fold()(x), before, rtol=0, atol=0)


def test_without_its_norm_the_slim_network_ends_in_a_dense_layer_with_a_bias() -> None:
    torch.manual_seed(0)
    network = build_network("face_resnet_slim", widths=(8,), depths=(1,), input_size=(16, 16), feature_norm=False)
    with torch.no_grad():
        network.dense.bias.fill_(3.0)
        network.dense.weight.zero_()
        features = network.train()(crops(network))
    assert torch.equal(features, torch.full((2, 256), 3.0))


def test_dropout_acts_in_training_only() -> None:
    torch.manual_seed(0)
    network = build_network("face_resnet_slim", widths=(8,), depths=(1,), stem=4, input_size=(16, 16), dropout=0.5)
    x = crops(network, 4)
    with torch.no_grad():
        assert not torch.equal(network.train()(x), network(x))
        assert torch.equal(network.eval()(x), network(x))


# --- resnet29


def test_resnet29_has_the_parameters_of_dlibs_network() -> None:
    # (channels in, channels out) of each block; dlib's normalization is folded into the convolutions.
    blocks = [(32, 32)] * 3 + [(32, 64)] + [(64, 64)] * 3 + [(64, 128)] + [(128, 128)] * 2
    blocks += [(128, 256)] + [(256, 256)] * 2 + [(256, 256)]
    by_hand = 7 * 7 * 3 * 32 + 32
    by_hand += sum(9 * a * b + b + 9 * b * b + b for a, b in blocks)
    by_hand += 256 * 128
    assert by_hand == 5_607_488
    network = build_network("resnet29")
    assert count_parameters(network) == by_hand


def test_resnet29_sees_a_crop_of_150_at_the_resolutions_of_dlibs_network() -> None:
    network = build_network("resnet29")
    sizes: list[tuple[int, ...]] = []
    for module in network.modules():
        if isinstance(module, DlibBlock):
            module.register_forward_hook(lambda block, x, y: sizes.append(tuple(y.shape[1:])))
    with torch.no_grad():
        features = network(crops(network))
    assert features.shape == (2, 128)
    assert [shape for _, shape in convolutions_of(network)][:2] == [(150, 150), (35, 35)]
    assert sizes[:14] == [
        *[(32, 35, 35)] * 3,
        *[(64, 17, 17)] * 4,
        *[(128, 8, 8)] * 3,
        *[(256, 4, 4)] * 3,
        (256, 2, 2),
    ]


def naive_convolution(x: NDArray, conv: nn.Conv2d) -> NDArray:
    weight = conv.weight.detach().numpy().astype(float)
    assert conv.bias is not None
    bias = conv.bias.detach().numpy().astype(float)
    stride, padding = conv.stride[0], int(conv.padding[0])
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    height, width = ((side - 3) // stride + 1 for side in x.shape[1:])
    y = np.zeros((len(weight), height, width))
    for k in range(len(weight)):
        for i in range(height):
            for j in range(width):
                window = x[:, i * stride : i * stride + 3, j * stride : j * stride + 3]
                y[k, i, j] = (window * weight[k]).sum() + bias[k]
    return y


@pytest.mark.parametrize("shape", [(8, 8), (7, 7), (9, 6), (4, 11)])
def test_a_down_block_fills_what_is_missing_with_zeros(shape: tuple[int, int]) -> None:
    """dlib's add: where one tensor ends before the other, the other stands alone."""
    torch.manual_seed(1)
    block = DlibBlock(3, 5, down=True)
    x = torch.randn(1, 3, *shape)
    pixels = x[0].numpy().astype(float)
    y = naive_convolution(np.maximum(naive_convolution(pixels, block.first), 0), block.second)
    height, width = max(shape[0] // 2, y.shape[1]), max(shape[1] // 2, y.shape[2])
    expected = np.zeros((5, height, width))
    for k in range(5):
        for i in range(height):
            for j in range(width):
                if k < 3 and i < shape[0] // 2 and j < shape[1] // 2:
                    expected[k, i, j] += pixels[k, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].mean()
                if i < y.shape[1] and j < y.shape[2]:
                    expected[k, i, j] += y[k, i, j]
    with torch.no_grad():
        np.testing.assert_allclose(block(x)[0].numpy(), np.maximum(expected, 0), atol=1e-5)


def test_a_plain_block_of_dlib_adds_its_input() -> None:
    torch.manual_seed(1)
    block = DlibBlock(3, 3, down=False)
    x = torch.randn(1, 3, 6, 5)
    pixels = x[0].numpy().astype(float)
    y = naive_convolution(np.maximum(naive_convolution(pixels, block.first), 0), block.second)
    with torch.no_grad():
        np.testing.assert_allclose(block(x)[0].numpy(), np.maximum(pixels + y, 0), atol=1e-5)


# --- all of them


@pytest.mark.slow
@SMALL_NETWORKS
def test_every_parameter_gets_a_gradient(name: str, arguments: dict[str, Any]) -> None:
    torch.manual_seed(0)
    network = build_network(name, **arguments).train()
    features = network(crops(network, 2))
    (features * torch.randn_like(features)).sum().backward()
    for parameter_name, parameter in network.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all() and parameter.grad.abs().max() > 0, parameter_name


@pytest.mark.slow
@SMALL_NETWORKS
def test_a_feature_does_not_depend_on_the_rest_of_its_batch(name: str, arguments: dict[str, Any], device: str) -> None:
    torch.manual_seed(0)
    network = build_network(name, **arguments).eval()
    x = crops(network, 3)
    with torch.no_grad():
        alone = torch.cat([network(x[i : i + 1]) for i in range(3)])
        together = network.to(device)(x.to(device)).cpu()
    assert (alone[0] - alone[1]).abs().max() > 1e-6
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-3)


@pytest.mark.slow
@SMALL_NETWORKS
def test_the_same_seed_draws_the_same_network(name: str, arguments: dict[str, Any]) -> None:
    drawn = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        drawn.append(next(build_network(name, **arguments).parameters()))
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize("name", list(NETWORKS))
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"embedding_size": 0}, "at least one component"),
        ({"input_size": (112,)}, r"\(height, width\)"),
        ({"input_size": (112, 96, 3)}, r"\(height, width\)"),
        ({"input_size": (8, 96)}, "at least 16x16"),
        ({"channels": 3}, "takes no argument 'channels'"),
    ],
)
def test_no_network_takes_what_it_does_not_support(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_network(name, **arguments)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("face_resnet", {"input_size": (112, 100)}, "divisible by 16"),
        ("face_resnet", {"widths": (8,)}, "takes no argument 'widths'; it takes embedding_size, input_size"),
        ("face_resnet_slim", {"widths": (8, 16)}, "as many widths as depths"),
        ("face_resnet_slim", {"widths": (), "depths": ()}, "as many widths as depths"),
        ("face_resnet_slim", {"widths": (8, 0), "depths": (1, 1)}, "at least one channel"),
        ("face_resnet_slim", {"stem": 0}, "at least one channel"),
        ("face_resnet_slim", {"depths": (1, 2, -1, 3)}, "negative number of blocks"),
        ("face_resnet_slim", {"dropout": 1.0}, r"share in \[0, 1\)"),
        ("face_resnet_slim", {"dropout": -0.1}, r"share in \[0, 1\)"),
        ("resnet29", {"input_size": (102, 150)}, "103 pixels"),
    ],
)
def test_each_network_says_what_it_does_not_support(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_network(name, **arguments)


def test_an_unknown_network_is_refused_with_the_names_of_the_known() -> None:
    with pytest.raises(ValueError, match="no network 'resnet50'; there are ") as error:
        build_network("resnet50")
    named = str(error.value).partition("there are ")[2].split(", ")
    assert sorted(named) == sorted(NETWORKS)
    assert "resnet29_twin" in named


@pytest.mark.slow
def test_the_smallest_supported_crops_give_features() -> None:
    for name, size in (("face_resnet", (16, 16)), ("face_resnet_slim", (16, 16)), ("resnet29", (103, 103))):
        network = build_network(name, input_size=size, embedding_size=4).eval()
        with torch.no_grad():
            assert network(crops(network, 1)).shape == (1, 4)


# ---- MobileFaceNet ------------------------------------------------------------------------------

# Output and input channels, height and width of the input: Chen et al. 2018, table 1, with stride 2 in the first layer
# of a stage, and the dense layers as 1x1 convolutions.
MOBILE_FACE_NET_CONVOLUTIONS = [
    (64, 3, 112, 112),
    (64, 1, 56, 56),
    (64, 64, 56, 56),
    *[(128, 64, 56, 56), (128, 1, 56, 56), (64, 128, 28, 28)],
    *[(128, 64, 28, 28), (128, 1, 28, 28), (64, 128, 28, 28)] * 4,
    *[(256, 64, 28, 28), (256, 1, 28, 28), (128, 256, 14, 14)],
    *[(256, 128, 14, 14), (256, 1, 14, 14), (128, 256, 14, 14)] * 6,
    *[(512, 128, 14, 14), (512, 1, 14, 14), (128, 512, 7, 7)],
    *[(256, 128, 7, 7), (256, 1, 7, 7), (128, 256, 7, 7)] * 2,
    (512, 128, 7, 7),
    (512, 1, 7, 7),
]


def test_mobilefacenet_has_the_layers_of_its_paper_and_the_parameters_of_the_published_file() -> None:
    network = build_network("mobilefacenet")
    found = [
        (convolution.out_channels, convolution.in_channels // convolution.groups, *shape)
        for convolution, shape in convolutions_of(network)
    ]
    assert found == MOBILE_FACE_NET_CONVOLUTIONS
    assert count_parameters(network) == 1_292_992


def test_mobilefacenet_halves_its_crops_four_times() -> None:
    with pytest.raises(ValueError, match="sides divisible by 16"):
        build_network("mobilefacenet", input_size=(112, 100))


# ---- a gate between two halves ---------------------------------------------------------------------


def gated(centered: float = 0.5) -> tuple[MobileFaceNet, MobileFaceNet, GatedMobileFaceNet]:
    """Two networks with one trunk, and the gated one of both, with a center."""
    torch.manual_seed(0)
    first, second = (MobileFaceNet(8, (32, 32)).eval() for _ in range(2))
    second.features[:10].load_state_dict(first.features[:10].state_dict())
    network = GatedMobileFaceNet(8, (32, 32), centered=centered).eval()
    network.put_together(first, second)
    network.center.copy_(F.normalize(torch.arange(8.0), dim=0))
    return first, second, network


# A logit of -3 is a share of 4.7 %, which counts as none.
@pytest.mark.parametrize(("logit", "share"), [(-60.0, 0.0), (-3.0, 0.0), (-math.log(3), 0.25), (60.0, 1.0)])
def test_the_gate_mixes_the_unit_features_of_both_halves_at_the_norm_of_the_first(logit: float, share: float) -> None:
    first, second, network = gated()
    nn.init.zeros_(network.gate.weight)
    nn.init.constant_(network.gate.bias, logit)
    x = crops(first)
    with torch.no_grad():
        found, feature, other = network(x), first(x), second(x)
    expected = (1 - share) * F.normalize(feature) + share * F.normalize(F.normalize(other) - 0.5 * network.center)
    torch.testing.assert_close(found, feature.norm(dim=1, keepdim=True) * expected)


def test_a_crop_of_the_first_half_costs_no_second_half_and_changes_no_other_crop() -> None:
    _, _, network = gated()
    nn.init.normal_(network.gate.weight, std=2.0)
    x = crops(network, 16) * torch.linspace(0.05, 3, 16)[:, None, None, None]
    with torch.no_grad():  # half of the crops below a share of 5 %
        network.gate.bias -= network.gate(network.statistics(network.trunk(x))).median() + 2.944
    seen: list[int] = []
    network.second.register_forward_pre_hook(lambda module, args: seen.append(len(args[0])))
    with torch.no_grad():
        together = network(x)
        alone = torch.cat([network(each[None]) for each in x])
        traced = torch.jit.trace(network, x, check_trace=False)(x)
    assert 0 < seen[0] < 16
    torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(traced, together, rtol=1e-4, atol=1e-5)


def test_the_gate_sees_how_sharp_a_crop_is_and_how_much_of_it_is_fill() -> None:
    first, _, network = gated()
    x = crops(first, 1)
    covered = x.clone()
    covered[..., 16:, :] = -1.0
    with torch.no_grad():
        seen = [network.statistics(network.trunk(each)) for each in (x, F.avg_pool2d(x, 5, 1, 2), covered)]
    assert min((a - b).abs().max() for a, b in itertools.combinations(seen, 2)) > 0.01


def test_halves_with_different_trunks_are_refused() -> None:
    first, _, network = gated()
    with pytest.raises(ValueError, match=r"share 10 layers, and these differ; freeze features"):
        network.put_together(first, MobileFaceNet(8, (32, 32)))


@pytest.mark.parametrize("part", [-0.1, 1.5])
def test_a_center_is_subtracted_in_part(part: float) -> None:
    with pytest.raises(ValueError, match=r"centered is a number in \[0, 1\]"):
        build_network("mobilefacenet_gated", centered=part)
