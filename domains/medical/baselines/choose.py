"""Which simple methods stand beside a run."""

from collections.abc import Mapping

from armillary.core.domain import Baseline
from armillary.domains.medical.baselines.atlas import AtlasBaseline
from armillary.domains.medical.baselines.brightness import BrightnessBaseline
from armillary.domains.medical.baselines.principal_components import PrincipalComponentsBaseline
from armillary.domains.medical.settings import MedicalRun


def baselines(config: MedicalRun) -> Mapping[str, Baseline]:
    """The baselines of a run, by name. Pre-training has none: its records hold the error of the mean themselves."""
    if config.data.task in ("labels", "classes"):
        return {"pca_logistic": PrincipalComponentsBaseline(config)}
    if config.data.task == "masks":
        return {"atlas": AtlasBaseline(config), "brightness": BrightnessBaseline(config)}
    return {}
