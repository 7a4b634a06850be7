"""Learning from finished weights: a teacher, mixup for it, an anchor to where training began."""
