"""Training: settings, the step, checkpoints, validation, and the run that joins them."""

from facever.training.run import train
from facever.training.settings import TrainingSettings

__all__ = ["TrainingSettings", "train"]
