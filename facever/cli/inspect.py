"""`facever inspect`: detected faces, drawn into the photograph."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facever.cli.common import UNCHECKED, Device, Force, Json, MinFace, TryRotations, Weights, check_inputs, print_json
from facever.files import printable

EXAMPLE = "Example: facever inspect group.jpg -o seen.png"


def inspect(
    photo: Annotated[Path, typer.Argument(help="A photograph.", metavar="PHOTO", **UNCHECKED)],
    out: Annotated[Path, typer.Option("--out", "-o", help="PNG file to write.")] = Path("inspected.png"),
    weights: Weights = "default",
    min_face: MinFace = "3%",
    try_rotations: TryRotations = False,
    force: Force = False,
    device: Device = "auto",
    json_: Json = False,
) -> None:
    """Draw the detected faces: boxes, landmarks, scores, norms, crops.

    A JPEG of more than 80 megapixels is drawn at a reduced size, and boxes are in pixels of that.

    Exit code 3 if no face was found; the picture is written anyway.
    """
    check_inputs([photo], weights)
    from facever.errors import NoFaceError
    from facever.faces.detector_settings import DetectorSettings
    from facever.faces.images import load_photograph
    from facever.files import check_output, write_bytes
    from facever.reports.drawing import draw_faces, png
    from facever.verifier import Verifier

    check_output(out, "picture", [photo], force)
    image = load_photograph(photo).pixels
    faces = Verifier.load(weights, device, detector=DetectorSettings.parse(min_face, try_rotations)).faces(image)
    write_bytes(out, png(draw_faces(image, faces)), private=True)
    if json_:
        found = [
            {
                "box": [round(float(v), 1) for v in f.face.box],
                "landmarks": [[round(float(v), 1) for v in point] for point in f.face.landmarks],
                "score": f.face.score,
                "norm": f.norm,
            }
            for f in faces
        ]
        print_json({"faces": found, "file": str(out)})
    else:
        for number, f in enumerate(faces, 1):
            box = ", ".join(f"{v:.0f}" for v in f.face.box)
            print(f"{number}: score {f.face.score:.3f}, norm {f.norm:.2f}, box {box}")
        print(f"{len(faces)} face{'s' * (len(faces) != 1)}; {printable(str(out))}")
    if not faces:
        raise NoFaceError(f"{photo}: no face found; use a photograph of a larger, sharper face or a smaller --min-face")
