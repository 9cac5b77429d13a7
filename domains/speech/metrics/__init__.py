"""Metrics of speech separation: each turns prediction records and item weights into one number."""

from armillary.domains.speech.metrics.metric_set import metrics
from armillary.domains.speech.metrics.quick import quick

__all__ = ["metrics", "quick"]
