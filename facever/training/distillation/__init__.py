"""Learning from trained weights: a teacher, mixup for it, an anchor to the initial embedding."""
