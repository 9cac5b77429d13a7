"""The log loss with the class weights of the PLAsTiCC challenge [nat], lower is better."""

from collections.abc import Callable, Mapping

import numpy as np
import xarray as xr

from armillary.core.classification.log_loss import class_mean, log_loss_sums, true_class_loss
from armillary.core.classification.scored import scored


def plasticc_log_loss(records: xr.Dataset, class_weights: Mapping[str, float]) -> Callable[[np.ndarray], float]:
    """-sum_c w_c mean_{i in c} ln p_ic / sum_c w_c, after each row of probabilities is divided by its sum.

    class_weights: w_c of every class by name; the challenge's own are `challenge_weights`.

    References:
        The PLAsTiCC team 2018, arXiv 1810.00001; Malz et al. 2019, AJ 158, 171.
    """
    known = scored(records)
    totals = known.probability.sum(1, keepdims=True)
    # A row of zeros stays one: clipping makes it a certain mistake.
    rows = known.probability / np.where(totals > 0, totals, 1)
    loss = true_class_loss(rows, known.truth)
    shares = np.array([class_weights[name] for name in known.classes])
    return lambda weight: class_mean(log_loss_sums(loss, known, weight[known.known]), shares)


CHALLENGE_WEIGHTS = {"15": 1 / 9, "64": 1 / 9, "99": 1 / 19}
OTHER_WEIGHT = 1 / 18


def challenge_weights(classes: Mapping[str, tuple[str, ...]]) -> dict[str, float]:
    """PLAsTiCC's weight of each class (name -> survey codes): 1/9 for codes 15 and 64, 1/19 for 99, else 1/18.

    A class of several codes has its highest weight. Labels of other surveys weigh 1/18 each, that is, alike.
    """
    return {
        name: max((CHALLENGE_WEIGHTS.get(label, OTHER_WEIGHT) for label in labels), default=OTHER_WEIGHT)
        for name, labels in classes.items()
    }
