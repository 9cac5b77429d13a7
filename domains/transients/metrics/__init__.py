"""Metrics of transient classification: each turns prediction records and item weights into one number."""

from armillary.domains.transients.metrics.metric_set import metrics

__all__ = ["metrics"]
