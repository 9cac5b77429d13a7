"""Metrics of medical images: each turns prediction records and item weights into one number. Free of torch."""

from armillary.domains.medical.metrics.metric_set import metrics

__all__ = ["metrics"]
