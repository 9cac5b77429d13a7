"""Simple methods reported beside every model."""

from armillary.domains.medical.baselines.choose import baselines

__all__ = ["baselines"]
