"""Detected faces and their aligned crops, drawn onto a photograph."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from facever.faces.images import ImageArray
from facever.faces.pipeline import EmbeddedFace

COLORS = ("#ff3b30", "#34c759", "#0a84ff", "#ff9f0a", "#bf5af2", "#64d2ff")
LARGEST = 1600  # pixels of the longer side; a larger photograph is scaled down
STRIP = 150  # height of the crops below the photograph


def draw_faces(image: ImageArray, faces: Sequence[EmbeddedFace]) -> Image.Image:
    """The photograph with each face's box, landmarks, number, score and norm, and below it the crops in that order.

    Parameters
    ----------
    image : uint8 ndarray of shape (H, W, 3), RGB
    faces : sequence of EmbeddedFace
        With embeddings or without; without, no norm is shown.
    """
    scale = min(1.0, LARGEST / max(image.shape[:2]))
    photograph = Image.fromarray(image)
    photograph = photograph.resize((max(1, round(photograph.width * scale)), max(1, round(photograph.height * scale))))
    line = max(1, round(max(photograph.size) / 300))
    font = ImageFont.load_default(size=max(11, 6 * line))
    draw = ImageDraw.Draw(photograph)
    for number, found in enumerate(faces, 1):
        color = COLORS[(number - 1) % len(COLORS)]
        x0, y0, x1, y1 = (float(v) * scale for v in found.face.box)
        draw.rectangle((min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)), outline=color, width=line)
        for x, y in found.face.landmarks * scale:
            draw.ellipse((x - line, y - line, x + line, y + line), fill=color)
        _label(draw, (max(0.0, x0), max(0.0, y0)), _text(number, found), color, font)
    return _with_crops(photograph, faces) if any(found.crop is not None for found in faces) else photograph


def png(picture: Image.Image) -> bytes:
    """The picture as the content of a PNG file."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _text(number: int, found: EmbeddedFace) -> str:
    norm = "" if found.norm is None else f", norm {found.norm:.2f}"
    return f"{number}: score {found.face.score:.3f}{norm}"


def _label(
    draw: ImageDraw.ImageDraw,
    corner: tuple[float, float],
    text: str,
    color: str,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
) -> None:
    """Text on a colored background, above the corner where there is room."""
    box = draw.textbbox(corner, text, font=font)
    height = box[3] - corner[1] + 2
    y = corner[1] - height if corner[1] >= height else corner[1]
    draw.rectangle((corner[0], y, box[2] + 4, y + height), fill=color)
    draw.text((corner[0] + 2, y), text, fill="white", font=font)


def _with_crops(photograph: Image.Image, faces: Sequence[EmbeddedFace]) -> Image.Image:
    """The photograph above rows of its crops, each framed in the color of its box."""
    crops = [Image.fromarray(found.crop) for found in faces if found.crop is not None]
    crops = [crop.resize((max(1, round(crop.width * STRIP / crop.height)), STRIP)) for crop in crops]
    across = max(1, photograph.width // (crops[0].width + 8))
    rows = -(-len(crops) // across)
    width = max(photograph.width, crops[0].width + 8)
    sheet = Image.new("RGB", (width, photograph.height + rows * (STRIP + 8)), "white")
    sheet.paste(photograph, (0, 0))
    draw = ImageDraw.Draw(sheet)
    for k, crop in enumerate(crops):
        x = (k % across) * (crop.width + 8) + 4
        y = photograph.height + (k // across) * (STRIP + 8) + 4
        color = COLORS[k % len(COLORS)]
        draw.rectangle((x - 3, y - 3, x + crop.width + 2, y + STRIP + 2), fill=color)
        sheet.paste(crop, (x, y))
    return sheet
