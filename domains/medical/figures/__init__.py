"""Figures of medical runs for the report."""

from armillary.domains.medical.figures.report import figures

__all__ = ["figures"]
