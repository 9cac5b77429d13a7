"""Joining the windows of long files."""

from armillary.domains.speech.joining.joiner import Joiner, Piece

__all__ = ["Joiner", "Piece"]
