"""Figures of a report on modulation recognition, of one run and of several."""

from armillary.domains.modulation.figures.report import figures
from armillary.domains.modulation.figures.runs import joint_figures

__all__ = ["figures", "joint_figures"]
