"""Simple methods reported beside every model, and two that know the answer."""

from armillary.domains.speech.baselines.table import baselines

__all__ = ["baselines"]
