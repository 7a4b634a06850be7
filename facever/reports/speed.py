"""The table of `facever bench`."""

from __future__ import annotations

from facever.evaluation.speed import Speed


def speed_rows(speed: Speed) -> list[tuple[str, str]]:
    """Names and values of what was measured."""
    total = sum(speed.stages.values())
    rows = [("photographs", f"{speed.photographs} of {speed.megapixels:.3g} megapixels, {speed.faces} faces")]
    rows += [
        (f"{stage}, ms a photograph", f"{value:.2f} ({value / max(total, 1e-9):.0%})")
        for stage, value in speed.stages.items()
    ]
    rows.append(("one thread, ms a photograph", f"{total:.2f}"))
    rows += [
        (f"{workers} process{'es' if workers > 1 else ''}, photographs a second", f"{rate:.1f}, start-up included")
        for workers, rate in speed.workers.items()
    ]
    for precision, times in speed.batches.items():
        by_size = ", ".join(f"{value:.2f} in batches of {size}" for size, value in times.items())
        rows.append((f"embed a face in {precision}, ms", by_size))
    for precision, (network, product) in speed.arithmetic.items():
        reached = f"{network:.1f} of {product:.1f} of a matrix product ({network / product:.0%})"
        rows.append((f"10⁹ multiply-adds a second in {precision}", reached))
    rows.append(("multiply-adds a face", f"{speed.multiply_adds / 1e6:.0f} million"))
    if speed.memory:
        rows.append(("memory at most", f"{speed.memory} MiB"))
    return rows
