"""The examples run, and give what the commands give."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import facever

pytest.importorskip("onnxruntime")

ONNX = Path(__file__).resolve().parents[1] / "examples" / "verify_onnx.py"
# Genuine, then impostor.
PAIRS = [
    ("Abdullah_Gul/Abdullah_Gul_0001.jpg", "Abdullah_Gul/Abdullah_Gul_0006.jpg"),
    ("Abdullah_Gul/Abdullah_Gul_0001.jpg", "Aaron_Eckhart/Aaron_Eckhart_0001.jpg"),
]


def test_the_onnx_example_is_short_and_needs_neither_torch_nor_facever() -> None:
    text = ONNX.read_text(encoding="utf-8")
    assert sum(bool(line.strip()) for line in text.splitlines()) <= 40
    imports = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert {alias.name for node in imports for alias in node.names} == {"json", "sys", "cv2", "numpy", "onnxruntime"}


@pytest.mark.slow
@pytest.mark.data
def test_the_onnx_example_answers_as_verify_does(data_folder: Path, tmp_path: Path) -> None:
    assert facever("export", "--detector", "-o", tmp_path).code == 0
    assert facever("export", "default", "-o", tmp_path / "embedder.onnx").code == 0
    for pair, same in zip(PAIRS, (True, False), strict=True):
        photographs = [str(data_folder / "lfw" / name) for name in pair]
        done = subprocess.run(
            [sys.executable, str(ONNX), str(tmp_path), *photographs], capture_output=True, text=True, check=True
        )
        found, expected = json.loads(done.stdout), facever("verify", *photographs, "--json").json
        assert found["cosine"] == pytest.approx(expected["cosine"], abs=1e-3)
        assert found["same"] is (expected["decision"] == "same") is same
        assert found["threshold"] == expected["threshold"]
