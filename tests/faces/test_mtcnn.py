"""The cascade's networks and its suppression against facenet-pytorch's and torchvision's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from facever.errors import FaceverError
from facever.faces import mtcnn
from facever.faces.boxes import suppressed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "shape"), [("PNet", (2, 3, 61, 40)), ("RNet", (5, 3, 24, 24)), ("ONet", (5, 3, 48, 48))]
)
def test_each_network_computes_what_facenet_pytorchs_does(name: str, shape: tuple[int, ...]) -> None:
    from facenet_pytorch.models import mtcnn as theirs

    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = getattr(theirs, name)()(x)
        found = mtcnn.pretrained(getattr(mtcnn, name))(x)
    assert len(found) == len(expected)
    for ours, other in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, other)


def test_missing_parameters_are_an_error_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(FaceverError, match="install facenet-pytorch again"):
        mtcnn.pretrained(mtcnn.PNet)


@st.composite
def scored_boxes(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.integers(1, 40))
    corner = rng.uniform(-20, 100, (count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(5, 40, (count, 2))], axis=1).astype(np.float32)
    return boxes, rng.permutation(np.linspace(0.1, 1, count)).astype(np.float32)


@given(scored_boxes(), st.sampled_from([0.3, 0.5, 0.7]))
def test_suppression_keeps_the_boxes_that_torchvision_keeps(
    found: tuple[np.ndarray, np.ndarray], overlap: float
) -> None:
    from torchvision.ops import nms

    boxes, scores = found
    expected = nms(torch.from_numpy(boxes), torch.from_numpy(scores), overlap)
    assert suppressed(boxes, scores, overlap).tolist() == expected.tolist()


@given(scored_boxes(), st.sampled_from([0.3, 0.7]))
def test_suppression_by_the_smaller_box_keeps_those_that_facenet_pytorch_keeps(
    found: tuple[np.ndarray, np.ndarray], overlap: float
) -> None:
    from facenet_pytorch.models.utils.detect_face import nms_numpy

    boxes, scores = found
    expected = nms_numpy(boxes, scores, overlap, "Min")
    assert suppressed(boxes, scores, overlap, of_smaller=True).tolist() == expected.tolist()


@pytest.mark.parametrize("of_smaller", [False, True])
def test_of_no_boxes_none_remain(of_smaller: bool) -> None:
    assert suppressed(np.empty((0, 4), np.float32), np.empty(0, np.float32), 0.5, of_smaller).shape == (0,)
