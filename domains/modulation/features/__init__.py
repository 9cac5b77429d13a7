"""Expert features of frames, one group a file: what a radio engineer would look at."""

from armillary.domains.modulation.features.table import expert_features, feature_names

__all__ = ["expert_features", "feature_names"]
