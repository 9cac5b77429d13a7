"""Hand-made features of light curves, for the baselines."""

from armillary.domains.transients.features.extract import FeatureTable, extract_features
from armillary.domains.transients.features.table import cached_features

__all__ = ["FeatureTable", "cached_features", "extract_features"]
