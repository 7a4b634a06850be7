"""Labeled photographs: identity folders, sources, pair lists, LFW; embeddings made elsewhere; augmentation."""
