"""Figures of a report on transients."""

from armillary.domains.transients.figures.report import figures

__all__ = ["figures"]
