"""Metrics of modulation recognition: each turns prediction records and item weights into one number."""

from armillary.domains.modulation.metrics.metric_set import metrics

__all__ = ["metrics"]
