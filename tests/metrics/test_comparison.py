from __future__ import annotations

import numpy as np
import pytest

from facever.errors import DataError
from facever.metrics.bootstrap import People
from facever.metrics.comparison import mcnemar, tar_differences


def outcomes(only_first: int, only_second: int, both: int = 50) -> tuple[np.ndarray, np.ndarray]:
    first = np.repeat([True, False, True], [only_first, only_second, both])
    second = np.repeat([False, True, True], [only_first, only_second, both])
    return first, second


def test_mcnemar_by_hand() -> None:
    # 13 pairs apart, 3 against 10: 2 (1 + 13 + 78 + 286) / 2^13.
    found = mcnemar(*outcomes(10, 3))
    assert (found.only_first, found.only_second) == (10, 3)
    assert found.p_value == pytest.approx(2 * 378 / 2**13)


def test_equal_models_are_no_different() -> None:
    assert mcnemar(*outcomes(0, 0)).p_value == 1.0
    assert mcnemar(*outcomes(7, 7)).p_value == 1.0


def test_models_on_other_pairs_cannot_be_compared() -> None:
    with pytest.raises(DataError, match="same pairs"):
        mcnemar(np.ones(3, bool), np.ones(4, bool))


def test_a_clearly_better_model_differs_for_real_and_a_noisy_copy_does_not() -> None:
    generator = np.random.default_rng(0)
    n = 2000
    who = generator.integers(0, 300, n)
    same = np.arange(n) % 2 == 0
    people = People(who, np.where(same, who, (who + 1 + generator.integers(0, 299, n)) % 300), 300)
    signal = np.where(same, 0.5, 0.0)
    noise = generator.normal(size=n) * 0.2
    poor, good = signal + noise, 2 * signal + noise
    copy = poor + generator.normal(size=n) * 1e-4
    [better] = tar_differences(poor, good, same, people, (0.01,), 300)
    [equal] = tar_differences(poor, copy, same, people, (0.01,), 300)
    assert better.real
    assert better.difference > 0.2
    assert not equal.real
