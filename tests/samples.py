"""Made-up people, records and crops that several tests share, and a reader of pages."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np

from facever.training import TrainingSettings
from facever.training.crops import CropSet
from facever.weights.alignment import TIGHT_64X56
from facever.weights.records import DISCARD_SHARES, DiscardCheck, Quality

CHECK = DiscardCheck(1e-3, 0.5, 900, 20_000, 50, DISCARD_SHARES, (0.2, 0.18, 0.16, 0.1, None), 0.2, (0.06, 0.14))
RECORD = Quality(tuple(float(k) for k in range(101)), "some people", 300, CHECK)
HOSTILE = '<script>alert(1)</script>&".jpg'
NETWORK = {"widths": [8, 16], "depths": [0, 0], "stem": 4, "embedding_size": 6}
SETTINGS = TrainingSettings(network_arguments=NETWORK, epochs=1, batch_size=8, precision="fp32", compile=False)


def people(n: int = 700, identities: int = 90, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Unit embeddings (n, 16) around a center for each identity, and who is who."""
    generator = np.random.default_rng(seed)
    who = generator.integers(0, identities, n)
    centers = generator.normal(size=(identities, 16))
    embeddings = (centers[who] + generator.normal(size=(n, 16))).astype(np.float32)
    return embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True), who


def noise(count: int = 8, margin: int = 8) -> CropSet:
    """Crops of noise, two a person."""
    shape = (count, 64 + 2 * margin, 56 + 2 * margin, 3)
    pixels = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    names = [f"person_{i // 2}" for i in range(count)]
    return CropSet(pixels, np.arange(count), names, [f"{i}.png" for i in range(count)], TIGHT_64X56, margin, [])


class Page(HTMLParser):
    """What a browser would load, and the text that a reader sees."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.labels: list[str] = []
        self.words = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        found = dict(attributes)
        self.links += [v for k in ("src", "href", "xlink:href") if (v := found.get(k)) is not None]
        self.labels += [v for k in ("aria-label", "alt") if (v := found.get(k))]

    def handle_data(self, data: str) -> None:
        self.words += data
