"""Figures and sounds of a report on speech separation."""

from armillary.domains.speech.figures.report import figures, sounds

__all__ = ["figures", "sounds"]
