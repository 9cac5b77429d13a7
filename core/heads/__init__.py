"""Heads: tokens to answers."""

from armillary.core.heads.pooled import PooledClassifier

__all__ = ["PooledClassifier"]
