from __future__ import annotations

import numpy as np
from gallery_samples import random_faces
from hypothesis import given
from hypothesis import strategies as st

from facever.gallery import nearest as module
from facever.gallery.nearest import nearest


@given(st.integers(0, 40), st.integers(1, 6), st.integers(1, 12), st.integers(1, 9), st.integers(0, 5))
def test_it_finds_what_sorting_all_cosines_finds(faces: int, queries: int, k: int, block: int, seed: int) -> None:
    vectors, asked = random_faces(max(faces, 1), seed)[:faces], random_faces(queries, seed + 100)
    blocks = [(np.arange(i, min(i + block, faces)), vectors[i : i + block]) for i in range(0, faces, block)]
    out = {0: np.arange(0, faces, 3)}
    rows, cosines = nearest(asked, blocks, k, out)
    expected = asked.astype(np.float64) @ vectors.astype(np.float64).T
    expected[0, out[0]] = -np.inf
    for q in range(queries):
        order = [row for row in np.argsort(-expected[q], kind="stable")[:k] if np.isfinite(expected[q, row])]
        assert rows[q].tolist() == order + [-1] * (k - len(order))
        np.testing.assert_allclose(cosines[q, : len(order)], expected[q, order], atol=1e-6)


def test_equal_faces_come_in_their_order_however_they_are_read(monkeypatch) -> None:
    vectors = np.repeat(random_faces(1), 10, axis=0)
    for cells, block in ((1, 3), (1 << 24, 10), (4, 10)):
        monkeypatch.setattr(module, "CELLS", cells)
        blocks = [(np.arange(i, min(i + block, 10)), vectors[i : i + block]) for i in range(0, 10, block)]
        assert nearest(vectors[:1], blocks, 4)[0].tolist() == [[0, 1, 2, 3]]
