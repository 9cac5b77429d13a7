"""What the network is fed."""

import numpy as np
import torch

from armillary.core.paths import cache_root
from armillary.domains.transients.settings import TransientsPredict
from armillary.domains.transients.t2.items import T2Items


def make(run, curves, target=None):
    return T2Items(run, curves, np.zeros(len(curves), np.int64) if target is None else target, [])


def test_items_are_matrices_of_steps_by_bands_with_target_and_place(make_curves, make_run):
    items = make(make_run(steps=30), make_curves([20, 31, 25]), np.array([0, 1, -1]))
    batch = items.collate([items[(0, i)] for i in (2, 0)])
    assert batch["gp_flux"].shape == batch["gp_error"].shape == (2, 30, 4)
    assert batch["gp_flux"].dtype == torch.float32
    assert batch["target"].tolist() == [-1, 0]
    assert batch["index"].tolist() == [2, 0]
    assert items.ids.tolist() == ["object0", "object1", "object2"]


def test_every_epoch_gives_the_same_item(make_curves, make_run):
    items = make(make_run(), make_curves([20, 31]))
    np.testing.assert_array_equal(items[(0, 1)]["gp_flux"], items[(7, 1)]["gp_flux"])


def test_permuting_objects_permutes_items(make_curves, make_run):
    curves = make_curves([20, 31, 25, 44])
    there, here = make(make_run(), curves), make(make_run(), curves.select([3, 1, 0, 2]))
    for place, origin in enumerate([3, 1, 0, 2]):
        # A padded row may be summed in another order; fluxes reach 1e2.
        np.testing.assert_allclose(here[(0, place)]["gp_flux"], there[(0, origin)]["gp_flux"], rtol=1e-4, atol=1e-2)
        np.testing.assert_array_equal(here[(0, place)]["redshift"], there[(0, origin)]["redshift"])


def test_a_spectroscopic_redshift_comes_without_error(make_curves, make_run):
    curves = make_curves([20])
    items = make(make_run("spectroscopic"), curves)
    assert np.isnan(items[(0, 0)]["redshift"][0])
    assert items[(0, 0)]["redshift"][1] == 0
    photometric = make(make_run("photometric"), curves)[(0, 0)]["redshift"]
    np.testing.assert_array_equal(photometric, [curves.redshift[0], curves.redshift_error[0]])


def test_a_track_adds_causal_interpolations_on_each_day(make_curves, make_run):
    run = make_run(steps=12).model_copy(update={"predict": TransientsPredict(track=True, days=(0.0, 30.0, 1e4))})
    items = make(run, make_curves([20, 31]))
    batch = items.collate([items[(0, 0)], items[(0, 1)]])
    assert batch["early_flux"].shape == (2, 3, 12, 4)
    torch.testing.assert_close(batch["early_flux"][:, -1], batch["gp_flux"], rtol=0, atol=0)


def test_unlabelled_light_curves_are_not_kept_in_the_cache(make_curves, make_run):
    folder = cache_root() / "transients" / "t2"
    before = set(folder.glob("*"))
    make(make_run(), make_curves([22], seed=21), np.array([-1]))
    assert set(folder.glob("*")) == before
    make(make_run(), make_curves([22], seed=21), np.array([1]))
    assert len(set(folder.glob("*"))) == len(before) + 1


def test_no_objects_make_no_items(make_curves, make_run):
    assert len(make(make_run(), make_curves([10]).select([]))) == 0
