"""Metrics of transient classification: each turns prediction records and item weights into one number."""

from armillary.domains.transients.metrics.metric_set import metrics
from armillary.domains.transients.metrics.scored import Scored, Sums, scored

__all__ = ["Scored", "Sums", "metrics", "scored"]
