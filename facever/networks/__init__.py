"""The embedding networks: crops in, one unnormalized feature each out.

- `face_resnet`: Y. Wen, K. Zhang, Z. Li, Y. Qiao, *A Discriminative Feature Learning Approach for Deep Face
  Recognition*, 2016 (figure of the network for LFW), as R. Ranjan, C. D. Castillo, R. Chellappa use it in
  *L2-constrained Softmax Loss for Discriminative Face Verification*, 2017.
- `face_resnet_slim`: the same plan for CPUs: fewer channels, strided convolutions, batch normalization.
- `mobilefacenet`: S. Chen et al., *MobileFaceNets: Efficient CNNs for Accurate Real-Time Face Verification on Mobile
  Devices*, 2018.
- `mobilefacenet_gated`: grown out of it, its upper half doubled, and a gate that chooses for each crop.
- `onnx`: a network of others, which ONNX Runtime runs.
- `resnet29`: the layout of dlib's `dlib_face_recognition_resnet_model_v1` (D. E. King, 2017).
- `resnet29_twin`: grown out of it, its last two stages doubled, so that one may keep what the other unlearns.

Shapes: N crops, C channels, H and W pixels, d components of the feature.
"""

from facever.networks.base import EmbeddingNetwork
from facever.networks.dlib_resnet import DlibBlock, ResNet29
from facever.networks.face_resnet import FaceResNet, FaceResNetSlim, ResidualBlock
from facever.networks.mobilefacenet import MobileFaceNet
from facever.networks.mobilefacenet_gated import GatedMobileFaceNet
from facever.networks.onnx_network import OnnxNetwork
from facever.networks.registry import NETWORKS, build_network, register
from facever.networks.twin import ResNet29Twin

__all__ = [
    "NETWORKS",
    "DlibBlock",
    "EmbeddingNetwork",
    "FaceResNet",
    "FaceResNetSlim",
    "GatedMobileFaceNet",
    "MobileFaceNet",
    "OnnxNetwork",
    "ResNet29",
    "ResNet29Twin",
    "ResidualBlock",
    "build_network",
    "register",
]
