"""Verify two photographs with ONNX Runtime, OpenCV and NumPy alone: `python examples/verify_onnx.py MODELS A B`.

MODELS is a folder: `facever export --detector -o MODELS && facever export default -o MODELS/embedder.onnx`.
"""

import json
import sys

import cv2
import numpy as np
import onnxruntime

models, *photographs = sys.argv[1:]
NETS = {name: onnxruntime.InferenceSession(f"{models}/{name}.onnx") for name in ("pnet", "rnet", "onet", "embedder")}
RECORD = {name: json.loads(net.get_modelmeta().custom_metadata_map["facever"]) for name, net in NETS.items()}
DETECTOR, WEIGHTS = RECORD["pnet"]["detector"], RECORD["embedder"]["weights"]


def best(boxes, scores, stage, overlap):  # above the stage's threshold, after non-maximum suppression
    sides = np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]])
    return np.array(cv2.dnn.NMSBoxes(sides, scores, DETECTOR["thresholds"][stage], overlap), int)


def look(name, image, boxes, size):  # what a network says of parts of the photograph
    corners = np.clip(boxes.astype(int) - [1, 1, 0, 0], 0, np.tile(image.shape[1::-1], 2))
    boxes, corners = (each[(corners[:, 2:] > corners[:, :2]).all(1)] for each in (boxes, corners))
    parts = [cv2.resize(image[y0:y1, x0:x1], (size, size), interpolation=cv2.INTER_AREA) for x0, y0, x1, y1 in corners]
    return boxes, *NETS[name].run(None, {"pixels": np.array(parts), "windows": boxes})


def embedding(path):
    image = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)
    scale, levels = 12 / DETECTOR["min_face"], []
    while min(image.shape[:2]) * scale >= 12:  # the image pyramid
        size = [int(side * scale + 1) for side in image.shape[1::-1]]
        level = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        found = NETS["pnet"].run(None, {"pixels": level[None], "scale": np.array(scale, np.float32)})
        levels.append([each[best(found[1], found[0], 0, 0.5)] for each in found])
        scale *= DETECTOR["pyramid_factor"]
    scores, windows, boxes = (np.concatenate(each) for each in zip(*levels, strict=True))
    windows, scores, boxes = look("rnet", image, boxes[best(windows, scores, 0, 0.7)], 24)
    _, scores, boxes, landmarks = look("onet", image, boxes[best(windows, scores, 1, 0.7)], 48)
    largest = max(best(boxes, scores, 2, 0.5), key=lambda i: boxes[i, 2] - boxes[i, 0])
    template = WEIGHTS["alignment"]  # least squares: no point is an outlier
    similarity, _ = cv2.estimateAffinePartial2D(landmarks[largest], np.array(template["landmarks"]), None, 8, 1e9)
    crop = cv2.warpAffine(image, similarity, (template["width"], template["height"]))
    return NETS["embedder"].run(["embeddings"], {"crops": crop[None]})[0][0]


cosine = float(embedding(photographs[0]) @ embedding(photographs[1]))
threshold = next(each["cosine"] for each in WEIGHTS["thresholds"] if each["far"] == 0.001)
print(json.dumps({"cosine": cosine, "threshold": threshold, "same": cosine >= threshold}))
