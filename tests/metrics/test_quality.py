from __future__ import annotations

import json
from dataclasses import asdict, replace

import msgspec
import numpy as np
import pytest
from samples import CHECK, RECORD, people

from facever.errors import DataError
from facever.metrics import pairwise_cosines
from facever.metrics.bootstrap import People
from facever.metrics.quality import quality_of, quality_of_pairs
from facever.scoring import threshold_at_far
from facever.weights.records import Quality


def degraded(share: float, seed: int = 0, informative: bool = True) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """(norms, embeddings, identities) of 900 photographs, some of which are noise; those have small norms, or any."""
    embeddings, who = people(900, 60, seed)
    generator = np.random.default_rng(seed + 1)
    poor = generator.random(900) < share
    noise = generator.normal(size=(900, 16)).astype(np.float32)
    embeddings = np.where(poor[:, None], noise / np.linalg.norm(noise, axis=1, keepdims=True), embeddings)
    norms = 2 + generator.random(900) - (poor if informative else 0)
    return norms.astype(np.float32), embeddings.astype(np.float32), [f"p{i:02d}" for i in who]


def test_percentiles_are_those_of_the_norms() -> None:
    norms, embeddings, names = degraded(0.2)
    found = quality_of(norms, embeddings, names, "them")
    assert (found.source, found.photographs, len(found.percentiles)) == ("them", 900, 101)
    assert (found.percentiles[0], found.percentiles[100]) == (norms.min(), norms.max())
    # Of 900 sorted norms the median lies midway between the 450th and the 451st.
    assert found.percentiles[50] == pytest.approx(np.sort(norms)[449:451].astype(float).mean())


@pytest.mark.parametrize(
    ("norm", "percentile"), [(-1, 0), (0, 0), (0.5, 0.5), (20, 20), (19.999, 19.999), (100, 100), (1e9, 100)]
)
def test_a_norm_has_a_percentile_between_those_stored(norm: float, percentile: float) -> None:
    assert RECORD.percentile(norm) == pytest.approx(percentile)


def test_what_the_check_leaves_out_is_what_a_percentile_declines() -> None:
    norms, embeddings, names = degraded(0.2)
    norms = norms.round(1)  # many ties
    found = quality_of(norms, embeddings, names, "them")
    for k in (5, 10, 20, 30):
        declined = [found.percentile(float(norm)) < k for norm in norms]
        assert declined == (norms.astype(np.float64) < found.percentiles[k]).tolist()


def test_the_check_is_that_of_the_explicit_pairs() -> None:
    norms, embeddings, names = degraded(0.2)
    found = quality_of(norms, embeddings, names, "them")
    assert found.check is not None
    who = np.unique(names, return_inverse=True)[1]
    genuine, impostor = pairwise_cosines(embeddings, who)
    assert (found.check.genuine_pairs, found.check.impostor_pairs) == (len(genuine), len(impostor))
    assert found.check.threshold == pytest.approx(threshold_at_far(impostor, 1e-3), abs=4e-5)
    for share, frr in zip(found.check.discarded, found.check.frr, strict=True):
        kept = np.argsort(norms)[round(share * 900) :]
        own, _ = pairwise_cosines(embeddings[kept], who[kept])
        assert frr == pytest.approx(np.mean(own < found.check.threshold), abs=1e-3)
    assert found.check.frr_at_random == found.check.frr[0]


def test_norms_that_tell_poor_photographs_help_and_others_do_not() -> None:
    helpful = quality_of(*degraded(0.2), "them")
    assert helpful.check is not None
    assert helpful.check.helps
    assert helpful.why_useless() is None
    low, high = helpful.check.saved_interval or (1, 0)
    saved = (helpful.check.frr_at_random or 0) - (helpful.check.frr[3] or 0)
    assert 0 < low < saved < high
    for seed in range(5):
        useless = quality_of(*degraded(0.2, seed, informative=False), "them")
        assert useless.check is not None
        assert not useless.check.helps
    assert "on them, discarding photographs of low norm helps no more than discarding at random" in str(
        useless.why_useless()
    )


def test_a_given_threshold_is_used() -> None:
    check = quality_of(*degraded(0.2), "them", threshold=2.0).check
    assert check is not None
    assert (check.threshold, check.frr, check.helps) == (2.0, (1.0,) * 5, False)


def test_too_few_pairs_leave_the_percentiles_unchecked() -> None:
    norms, embeddings, names = degraded(0.2)
    found = quality_of(norms[:100], embeddings[:100], names[:100], "few")
    assert found.check is None
    assert found.photographs == 100
    assert str(found.why_useless()).startswith("few have too few pairs")
    alone = quality_of(norms, embeddings, [str(i) for i in range(900)], "single photographs")
    assert alone.check is None


def test_pairs_of_few_people_have_no_interval_and_do_not_help() -> None:
    norms, embeddings, _ = degraded(0.2)
    # All but 45 photographs are of people of their own; those of nine people.
    names = [f"p{i % 9}" if i < 45 else f"lonely {i}" for i in range(900)]
    check = quality_of(norms, embeddings, names, "nine").check
    assert check is not None
    assert (check.people, check.genuine_pairs, check.saved_interval, check.helps) == (9, 90, None, False)


def test_listed_pairs_give_what_all_pairs_give_when_all_are_listed() -> None:
    norms, embeddings, names = degraded(0.2)
    norms, embeddings, names = norms[:300], embeddings[:300], names[:300]
    who = np.unique(names, return_inverse=True)[1]
    a, b = np.triu_indices(300, 1)
    cosines = (embeddings[a] * embeddings[b]).sum(axis=1).astype(np.float64)
    everybody = People(who[a], who[b], int(who.max()) + 1)
    listed = quality_of_pairs(norms, a, b, cosines, who[a] == who[b], everybody, "listed")
    whole = quality_of(norms, embeddings, names, "all")
    assert listed.percentiles == whole.percentiles
    assert listed.check is not None
    assert whole.check is not None
    assert listed.check.frr == pytest.approx(whole.check.frr, abs=2e-3)
    assert listed.check.genuine_pairs == whole.check.genuine_pairs


def test_norms_that_are_no_numbers_are_counted() -> None:
    norms, embeddings, names = degraded(0.2)
    norms[[3, 9]] = np.nan
    with pytest.raises(DataError, match="2 of 900 norms are not finite"):
        quality_of(norms, embeddings, names, "them")
    with pytest.raises(DataError, match="no photograph"):
        quality_of(norms[:0], embeddings[:0], [], "nobody")


@pytest.mark.parametrize("record", [RECORD, replace(RECORD, check=None)])
def test_a_record_survives_json(record: Quality) -> None:
    assert msgspec.convert(json.loads(json.dumps(asdict(record))), Quality) == record


@pytest.mark.parametrize(
    "change",
    [
        {"percentiles": [1.0, 2.0]},
        {"percentiles": [0.0] * 100 + [-1.0]},
        {"percentiles": [0.0] * 100 + [float("nan")]},
        {"percentiles": None},
        {"photographs": "many"},
        {"check": {"far": 1e-3}},
        {"check": {**asdict(CHECK), "frr": [0.1]}},
    ],
)
def test_a_broken_record_is_refused(change: dict) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        msgspec.convert({**asdict(RECORD), **change}, Quality)
