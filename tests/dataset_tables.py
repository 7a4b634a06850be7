"""Datasets of embeddings as tables, and their comparison."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


def read_dataset(out: Path) -> pa.Table:
    """All rows, by path and face."""
    parts = [pq.read_table(path) for path in sorted(out.glob("part-*.parquet"))]
    return pa.concat_tables(parts).sort_by([("path", "ascending"), ("face", "ascending")])


def assert_same_rows(a: pa.Table, b: pa.Table) -> None:
    """The same schema and rows; what networks computed may differ in the last digits, as the batches do."""
    assert a.schema.equals(b.schema, check_metadata=True)
    for field in a.schema:
        one, other = a[field.name].to_pylist(), b[field.name].to_pylist()
        assert len(one) == len(other)
        if pa.types.is_float32(field.type) or pa.types.is_fixed_size_list(field.type):
            for x, y in zip(one, other, strict=True):
                assert (x is None) == (y is None)
                # In bfloat16, where that is faster.
                np.testing.assert_allclose(0 if x is None else x, 0 if y is None else y, rtol=5e-2, atol=5e-3)
        else:
            assert one == other, field.name
