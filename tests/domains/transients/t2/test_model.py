"""The network: its published size, its redshift modes, its maps, its scaler."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from armillary.core.trunk import Trunk
from armillary.domains.transients.settings import TransientsPredict
from armillary.domains.transients.t2.items import T2Items
from armillary.domains.transients.t2.model import T2, trunk_settings

LSST = ("lsst_g", "lsst_i", "lsst_r", "lsst_u", "lsst_y", "lsst_z")


def build(run, seed=0):
    torch.manual_seed(seed)
    return T2(run.data, run.model).eval()


def parameters(model):
    return sum(p.numel() for p in model.parameters())


def make_batch(size=5, steps=40, bands=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        "gp_flux": torch.randn(size, steps, bands, generator=generator),
        "redshift": torch.rand(size, 2, generator=generator),
        "target": torch.arange(size) % 2,
        "index": torch.arange(size),
    }


@pytest.mark.parametrize(
    ("redshift", "mode", "count"),
    [("photometric", "M", 13_454), ("photometric", "L", 13_390), ("none", "M", 13_390), ("none", "L", 13_390)],
)
def test_the_headline_network_has_the_published_number_of_parameters(make_run, redshift, mode, count):
    assert parameters(build(make_run(redshift, LSST, 14, redshift_mode=mode))) == count


def test_mode_m_adds_channels_and_mode_l_adds_steps(make_run):
    batch = make_batch()
    wide, long = (build(make_run(redshift_mode=mode)) for mode in ("M", "L"))
    assert wide.embedding.project.in_features == 6
    assert wide.encode(batch["gp_flux"], batch["redshift"]).values.shape == (5, 40, 32)
    assert long.embedding.project.in_features == 4
    assert long.encode(batch["gp_flux"], batch["redshift"]).values.shape == (5, 42, 32)


@pytest.mark.parametrize("mode", ["M", "L"])
def test_the_redshift_matters_only_to_a_model_that_reads_it(make_run, mode):
    batch = make_batch()
    other = {**batch, "redshift": batch["redshift"] + 0.5}
    reads, blind = build(make_run(redshift_mode=mode)), build(make_run("none", redshift_mode=mode))
    assert not torch.allclose(reads(batch), reads(other))
    assert torch.equal(blind(batch), blind(other))


@pytest.mark.parametrize("steps", [1, 17, 100])
def test_any_number_of_steps_and_bands_goes_through(make_run, steps):
    model = build(make_run(bands=("ztf_g", "ztf_r"), classes=5))
    assert model(make_batch(3, steps, 2)).shape == (3, 5)


@pytest.mark.parametrize("mode", ["M", "L"])
def test_an_activation_map_averages_to_the_score_less_its_bias(make_run, mode):
    model, batch = build(make_run(redshift_mode=mode)), make_batch()
    (output,) = model.predict(batch, TransientsPredict(maps=True))
    steps = 40 + (2 if mode == "L" else 0)
    assert output["activation_map"].shape == (5, 2, steps)
    scores = output["activation_map"].mean(-1) + model.head.classify.bias
    # Float32 means over 42 steps.
    torch.testing.assert_close(scores, model(batch), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(output["probability"], model(batch).softmax(-1))


def test_maps_are_given_on_request_only(make_run):
    (output,) = build(make_run()).predict(make_batch(), TransientsPredict())
    assert "activation_map" not in output
    assert "early_probability" not in output


def test_early_probabilities_are_those_of_the_early_fluxes(make_run):
    model, batch = build(make_run()), make_batch()
    early = torch.stack([batch["gp_flux"] * 0.3, batch["gp_flux"]], 1)
    (output,) = model.predict({**batch, "early_flux": early}, TransientsPredict())
    assert output["early_probability"].shape == (5, 2, 2)
    torch.testing.assert_close(output["early_probability"][:, 1], output["probability"], rtol=0, atol=0)


def test_permuting_objects_permutes_probabilities(make_run):
    model, batch, order = build(make_run()), make_batch(), torch.tensor([3, 0, 4, 1, 2])
    moved = {name: value[order] for name, value in batch.items()}
    torch.testing.assert_close(model(moved), model(batch)[order], rtol=1e-5, atol=1e-6)


def fitted(run, curves):
    model = build(run)
    model.fit(T2Items(run, curves, np.zeros(len(curves), np.int64), []))
    return model


def test_the_scaler_is_the_median_and_the_inter_quartile_range_of_the_items_it_is_fitted_on(make_curves, make_run):
    run, curves = make_run(steps=25), make_curves([20, 31, 25])
    model = fitted(run, curves)
    flux = T2Items(run, curves, np.zeros(3, np.int64), []).interpolated.flux.reshape(-1, 4)
    low, median, high = np.percentile(flux, (25, 50, 75), axis=0)
    np.testing.assert_allclose(model.centre, median, rtol=1e-6)
    np.testing.assert_allclose(model.spread, high - low, rtol=1e-6)


def test_other_objects_leave_the_scaler_as_training_made_it(make_curves, make_run):
    run = make_run(steps=25)
    model = fitted(run, make_curves([20, 31, 25]))
    before = {name: value.clone() for name, value in model.named_buffers()}
    batch = make_batch(steps=25)
    list(model.predict({**batch, "gp_flux": batch["gp_flux"] * 1e4}, TransientsPredict()))
    model.calibrate(lambda: iter([batch]))
    assert all(torch.equal(value, before[name]) for name, value in model.named_buffers())
    assert set(before) >= {"centre", "spread", "usual_redshift"}


def test_scaling_makes_the_answer_independent_of_the_unit_of_flux(make_curves, make_run):
    run, batch = make_run(), make_batch()
    one, other = build(run), build(run)
    one.spread.fill_(2.0)
    other.spread.fill_(2000.0)
    torch.testing.assert_close(other({**batch, "gp_flux": batch["gp_flux"] * 1000}), one(batch), rtol=1e-4, atol=1e-5)


def test_a_band_without_any_spread_is_not_divided_by_zero(make_curves, make_run):
    run, curves = make_run(steps=25), make_curves([20, 31])
    items = T2Items(run, curves, np.zeros(2, np.int64), [])
    flux = np.array(items.interpolated.flux)
    flux[..., 1] = 3.0
    items.interpolated = replace(items.interpolated, flux=flux)
    model = build(run)
    model.fit(items)
    assert model.spread[1] == 1
    assert model.centre[1] == 3


def test_an_unknown_redshift_is_taken_for_the_usual_one(make_curves, make_run):
    run = make_run()
    model = fitted(run, make_curves([20, 31, 25]))
    batch = make_batch()
    unknown = {**batch, "redshift": torch.full((5, 2), torch.nan)}
    usual = {**batch, "redshift": model.usual_redshift.expand(5, 2)}
    assert torch.isfinite(model(unknown)).all()
    assert torch.equal(model(unknown), model(usual))
    assert 0.1 < model.usual_redshift[0] < 1


def test_redshifts_that_are_all_unknown_leave_a_usable_model(make_curves, make_run):
    model = fitted(make_run("spectroscopic"), make_curves([20, 31]))
    assert torch.isfinite(model.usual_redshift).all()


def test_training_lowers_the_loss_and_two_trainings_agree_bit_for_bit(make_run):
    def train():
        model, batch = build(make_run()).train(), make_batch(16)
        torch.manual_seed(1)
        optimiser, losses = torch.optim.Adam(model.parameters(), 0.01), []
        for _ in range(60):
            loss = model.loss(batch, torch.Generator())["total"]
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            model.after_step()
            losses.append(loss.item())
        return losses

    first = train()
    assert first[-1] < 0.7 * first[0]
    assert first == train()


def test_a_trunk_handed_in_replaces_the_own_one(make_run):
    run = make_run()
    trunk = Trunk(trunk_settings(run.model))
    assert T2(run.data, run.model, trunk).trunk is trunk


def test_the_blocks_are_those_of_the_paper(make_run):
    settings = trunk_settings(make_run().model)
    assert (settings.placement, settings.final_norm, settings.norm.eps) == ("post", False, 1e-6)
    assert (settings.channel.activation, settings.channel.hidden) == ("relu", 128)


def test_heads_that_do_not_divide_the_width_are_refused(make_run):
    with pytest.raises(ValueError, match="width 32 is not a multiple of heads 5"):
        make_run(heads=5)


def test_settings_load_without_torch():
    code = "import sys, armillary.domains.transients.t2.settings; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
