from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facever.faces.cache import EmbeddingCache, PhotoEmbedding, keys_of
from facever.faces.detector_settings import DetectorSettings
from facever.faces.face import Face
from facever.faces.pipeline import EmbeddedFace, Job, PhotoResult
from facever.faces.sources import ImageBytes
from facever.weights.records import WeightsId

JOB = Job(output=Path("w"), rule="center")
WEIGHTS = WeightsId("w", "1" * 64)


def embedded(value: float) -> PhotoEmbedding:
    return PhotoEmbedding(np.full(4, value, np.float32), 2.0, 0.9, True, False)


def test_what_was_put_is_got_and_nothing_else(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path / "deep" / "cache.sqlite")
    assert cache.get(["a"]) == {}
    assert cache.put({"a": embedded(1), "b": replace(embedded(2), found=False)})
    found = EmbeddingCache(cache.file).get(["a", "b", "c", None])
    assert found.keys() == {"a", "b"}
    np.testing.assert_array_equal(found["a"].embedding, np.ones(4, np.float32))
    assert (found["b"].norm, found["b"].score, found["b"].found) == (2.0, 0.9, False)


def test_a_broken_cache_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "cache.sqlite").write_text("no database, " * 100)
    cache = EmbeddingCache(tmp_path / "cache.sqlite")
    assert cache.get(["a"]) == {}
    assert cache.put({"a": embedded(1)})
    assert cache.get(["a"]).keys() == {"a"}


@pytest.mark.parametrize("at", [18, 44])  # versions of the file, of its schema
def test_a_cache_whose_header_is_damaged_is_made_anew(at: int, tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path / "cache.sqlite")
    assert cache.put({"a": embedded(1)})
    content = bytearray(cache.file.read_bytes())
    content[at : at + 4] = b"\xff\xff\xff\xff"
    cache.file.write_bytes(content)
    assert cache.get(["a"]) == {}
    assert cache.put({"a": embedded(1)})
    assert cache.get(["a"]).keys() == {"a"}


def test_no_damaged_bit_gives_another_embedding(tmp_path: Path) -> None:
    """200 bits of the file, one at a time: every row is as it was put, or missing; and the file serves again."""
    cache = EmbeddingCache(tmp_path / "cache.sqlite")
    rng = np.random.default_rng(0)
    rows = {
        f"{i:064x}": PhotoEmbedding(rng.random(64, np.float32), float(i), 0.9, True, False, rng.bytes(500))
        for i in range(40)
    }
    assert cache.put(rows)
    whole = cache.file.read_bytes()
    lost = 0
    for bit in rng.choice(8 * len(whole), 200, replace=False):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << (bit % 8)
        cache.file.write_bytes(damaged)
        found = cache.get(list(rows))
        for key, row in found.items():
            np.testing.assert_array_equal(row.embedding, rows[key].embedding)
            assert (row.norm, row.score, row.found) == (rows[key].norm, 0.9, True)
        assert all(cache.crop(key) in (None, rows[key].crop) for key in rows)
        lost += len(found) < len(rows)
        assert cache.put(rows)
        assert cache.get(list(rows)).keys() == rows.keys()
    assert lost > 20, "the flips hit nothing, so this test shows nothing"


def test_the_oldest_rows_go_when_the_file_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = EmbeddingCache(tmp_path / "cache.sqlite")
    monkeypatch.setenv("FACEVER_CACHE_GB", "0.001")
    for i in range(6):
        assert cache.put({f"{i}": replace(embedded(i), crop=bytes(300_000))})
    assert cache.file.stat().st_size < 1_300_000
    kept = cache.get([f"{i}" for i in range(6)])
    assert "5" in kept and "0" not in kept


def test_the_cache_is_for_its_owner_only(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path / "facever" / "cache.sqlite")
    assert cache.put({"a": embedded(1)})
    assert (cache.file.stat().st_mode & 0o777, cache.file.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_the_key_follows_content_weights_precision_and_settings_but_no_name(tmp_path: Path) -> None:
    def key(
        data: bytes = b"x", weights: WeightsId = WEIGHTS, job: Job = JOB, precision: str = "fp32", name: str = "p"
    ) -> str | None:
        return next(keys_of([ImageBytes(name, data)], job, weights, precision))

    (tmp_path / "a.jpg").write_bytes(b"x")
    assert key() == next(keys_of([tmp_path / "a.jpg"], JOB, WEIGHTS, "fp32")) == key(name="q")
    assert key() == key(job=replace(JOB, device="cuda")) == key(job=replace(JOB, keep_crops=True))
    assert key() == key(weights=replace(WEIGHTS, name="v")) == key(job=replace(JOB, output=Path("v")))
    others = [
        key(b"y"),
        key(weights=replace(WEIGHTS, sha256="2" * 64)),
        key(precision="bf16"),
        key(job=replace(JOB, rule="largest")),
        key(job=replace(JOB, center_fallback=True)),
        key(job=replace(JOB, mirrored=False)),
        key(job=replace(JOB, strict=True)),
        key(job=replace(JOB, detector=DetectorSettings(min_face=20))),
        key(job=replace(JOB, detector=DetectorSettings(thresholds=(0.5, 0.7, 0.7)))),
    ]
    assert len({key(), *others}) == 10
    assert next(keys_of([tmp_path / "none.jpg"], JOB, WEIGHTS, "fp32")) is None


def test_a_crop_is_given_to_those_who_ask_for_it_only(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path / "cache.sqlite")
    assert cache.crop("a") is None
    cache.put({"a": embedded(1), "b": replace(embedded(2), crop=b"a jpeg")})
    assert (cache.crop("a"), cache.crop("b"), cache.crop("c")) == (None, b"a jpeg", None)
    assert {key: found.crop for key, found in cache.get(["a", "b"]).items()} == {"a": None, "b": None}


def test_what_is_kept_of_a_photograph_is_its_first_face_or_the_center_crop() -> None:
    def face(value: float, score: float) -> EmbeddedFace:
        crop = np.full((8, 6, 3), 200, np.uint8) if score else None
        box = Face(np.zeros(4, np.float32), np.zeros((5, 2), np.float32), score)
        return EmbeddedFace(box, crop, np.full(4, value, np.float32), norm=value)

    kept = PhotoEmbedding.of(PhotoResult("p", [face(1.0, 0.9), face(2.0, 0.8)], found=2))
    assert kept is not None and kept.crop is not None
    assert (kept.embedding[0], kept.norm, kept.score, kept.found) == (1.0, 1.0, 0.9, True)
    assert kept.crop.startswith(b"\xff\xd8\xff")
    fallback = PhotoEmbedding.of(PhotoResult("p", center=face(3.0, 0.0)))
    assert fallback is not None
    assert (fallback.norm, fallback.score, fallback.found, fallback.crop) == (3.0, 0.0, False, None)


def test_a_photograph_without_anything_embedded_gives_none() -> None:
    assert PhotoEmbedding.of(PhotoResult("p", problems=["broken"], readable=False)) is None


@pytest.mark.parametrize("times", [1, 2])
def test_putting_again_replaces(tmp_path: Path, times: int) -> None:
    cache = EmbeddingCache(tmp_path / "cache.sqlite")
    for value in range(times):
        cache.put({"a": embedded(value)})
    assert cache.get(["a"])["a"].embedding[0] == times - 1
