"""A dataset of faces as people: whom of them a photograph shows."""

from facever.gallery.gallery import Gallery
from facever.gallery.results import FaceMatches, Match, SearchResult

__all__ = ["FaceMatches", "Gallery", "Match", "SearchResult"]
