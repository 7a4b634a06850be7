"""Training: settings and recipes, the step, checkpoints, validation, export."""

from facever.training.recipes import make_settings, parse_assignments
from facever.training.run import train
from facever.training.settings import TrainingSettings

__all__ = ["TrainingSettings", "make_settings", "parse_assignments", "train"]
