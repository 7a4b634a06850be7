"""Photographs with labels: identity folders, their crop cache, augmentation, pair lists."""
