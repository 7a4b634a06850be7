from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facever.faces.cache import EmbeddingCache, PhotoEmbedding, keys_of
from facever.faces.pipeline import Job, PhotoResult
from facever.faces.sources import ImageBytes
from facever.weights.alignment import TIGHT_64X56

JOB = Job(TIGHT_64X56, Path("w"), rule="center")


def embedded(value: float) -> PhotoEmbedding:
    return PhotoEmbedding(np.full(4, value, np.float32), 2.0, 0.9, True)


def test_what_was_put_is_got_and_nothing_else(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path / "deep" / "cache.sqlite")
    assert cache.get(["a"]) == {}
    assert cache.put({"a": embedded(1), "b": replace(embedded(2), found=False)})
    found = EmbeddingCache(cache.file).get(["a", "b", "c", None])
    assert found.keys() == {"a", "b"}
    np.testing.assert_array_equal(found["a"].embedding, np.ones(4, np.float32))
    assert (found["b"].norm, found["b"].score, found["b"].found) == (2.0, 0.9, False)


def test_a_broken_cache_is_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "cache.sqlite").write_text("no database, " * 100)
    cache = EmbeddingCache(tmp_path / "cache.sqlite")
    assert cache.get(["a"]) == {}
    assert not cache.put({"a": embedded(1)})


def test_the_key_follows_content_weights_and_settings_but_not_the_name(tmp_path: Path) -> None:
    def key(data: bytes = b"x", weights: str = "w", job: Job = JOB) -> str | None:
        return next(keys_of([ImageBytes("p", data)], job, weights))

    (tmp_path / "a.jpg").write_bytes(b"x")
    assert key() == next(keys_of([tmp_path / "a.jpg"], JOB, "w")) == key(job=replace(JOB, device="cuda"))
    others = [key(b"y"), key(weights="v"), key(job=replace(JOB, rule="largest")), key(job=replace(JOB, min_face=20))]
    assert len({key(), *others}) == 5
    assert next(keys_of([tmp_path / "none.jpg"], JOB, "w")) is None


def test_a_photograph_without_anything_embedded_gives_none() -> None:
    assert PhotoEmbedding.of(PhotoResult("p", problems=["broken"], readable=False)) is None


@pytest.mark.parametrize("times", [1, 2])
def test_putting_again_replaces(tmp_path: Path, times: int) -> None:
    cache = EmbeddingCache(tmp_path / "cache.sqlite")
    for value in range(times):
        cache.put({"a": embedded(value)})
    assert cache.get(["a"])["a"].embedding[0] == times - 1
