"""Invariants of augmented light curves."""

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armillary.core.random import derive_rng
from armillary.domains.transients.augment import MIN_OBSERVATIONS, Observations, augment, augment_batch, changes
from armillary.domains.transients.cosmology import log_luminosity_distance
from armillary.domains.transients.settings import AugmentSettings
from armillary.domains.transients.shift_bands import interpolate_bands

WAVELENGTH = np.array([3685.0, 4802.0, 6231.0, 7542.0, 8690.0, 9736.0])
EVERYTHING = AugmentSettings(truncate=0.5, drop=0.5, noise=0.6, redshift=0.6, depth=0.5, photo_z=0.5)
SETTINGS = st.builds(
    AugmentSettings,
    truncate=st.sampled_from([0.0, 0.5, 1.0]),
    drop=st.sampled_from([0.0, 0.4, 0.9]),
    noise=st.sampled_from([0.0, 0.5, 2.0]),
    redshift=st.sampled_from([0.0, 0.5, 1.0]),
    shift_bands=st.booleans(),
    depth=st.sampled_from([0.0, 0.5, 1.0]),
    detections_only=st.booleans(),
    photo_z=st.sampled_from([0.0, 1.0]),
)


def light_curve(seed, length=40, redshift=0.4, peak=200.0):
    """An item: a bump of `peak` in random bands, sky errors near 5, times from the first detection."""
    rng = np.random.default_rng(seed)
    time = np.sort(rng.uniform(-40, 100, length))
    band = rng.integers(0, 6, length)
    error = rng.uniform(2, 8, length)
    flux = peak * np.exp(-0.5 * ((time - 10) / 15) ** 2) * (0.3 + 0.14 * band) + error * rng.standard_normal(length)
    seen = np.flatnonzero(np.abs(flux) >= 5 * error)
    return {
        "time": (time - time[seen[0] if len(seen) else 0]).astype(np.float32),
        "flux": flux.astype(np.float32),
        "flux_error": error.astype(np.float32),
        "band": band.astype(np.int8),
        "redshift": redshift,
        "redshift_error": 0.03,
        "target": 2,
        "index": 7,
    }


def changed(item, settings, *keys):
    return augment(item, settings, WAVELENGTH, derive_rng(0, *keys))


def padded(items):
    width = max(len(item["time"]) for item in items)

    def stack(name):
        return np.stack([np.pad(item[name], (0, width - len(item[name]))) for item in items])

    lengths = np.array([len(item["time"]) for item in items])
    return Observations(
        time=stack("time"),
        flux=stack("flux"),
        flux_error=np.where(np.arange(width) < lengths[:, None], stack("flux_error"), 1).astype(np.float32),
        band=stack("band"),
        mask=np.arange(width) < lengths[:, None],
        redshift=np.array([item["redshift"] for item in items]),
        redshift_error=np.array([item["redshift_error"] for item in items]),
    )


def snr(item):
    return np.abs(item["flux"]) / item["flux_error"]


items = st.builds(
    light_curve,
    seed=st.integers(0, 10_000),
    length=st.integers(1, 60),
    redshift=st.sampled_from([0.0, 0.05, 0.4, 1.3, float("nan")]),
    peak=st.sampled_from([0.0, 30.0, 5000.0]),
)


@given(items, SETTINGS, st.integers(0, 1000))
def test_any_change_gives_a_finite_ordered_light_curve_of_the_same_kind(item, settings, key):
    result = changed(item, settings, key)
    assert 1 <= len(result["time"]) <= len(item["time"])
    for name in ("time", "flux", "flux_error", "band"):
        assert np.isfinite(result[name]).all()
        assert result[name].dtype == item[name].dtype
        assert len(result[name]) == len(result["time"])
    assert (np.diff(result["time"]) >= 0).all()
    assert (result["flux_error"] > 0).all()
    assert set(result["band"]) <= set(item["band"])
    assert np.isnan(result["redshift"]) == np.isnan(item["redshift"])
    assert (result["redshift"] == 0) == (item["redshift"] == 0)
    assert (result["target"], result["index"]) == (2, 7)


@given(items, SETTINGS, st.integers(0, 1000))
def test_no_change_lets_an_error_shrink(item, settings, key):
    settings = settings.model_copy(update={"truncate": 0.0, "drop": 0.0, "detections_only": False})
    result = changed(item, settings, key)
    assert (result["flux_error"] >= item["flux_error"] * (1 - 1e-6)).all()
    np.testing.assert_array_equal(result["band"], item["band"])


@given(items, st.integers(0, 1000))
def test_nothing_asked_for_changes_nothing(item, key):
    assert not changes(AugmentSettings())
    result = changed(item, AugmentSettings(), key)
    for name in item:
        np.testing.assert_array_equal(result[name], item[name])


@given(items, SETTINGS, st.integers(0, 1000))
def test_the_input_is_left_as_it_was(item, settings, key):
    before = {name: np.copy(value) for name, value in item.items()}
    changed(item, settings, key)
    for name, value in before.items():
        np.testing.assert_array_equal(item[name], value)


@given(items, st.integers(0, 1000))
def test_truncation_removes_later_observations_only(item, key):
    result = changed(item, AugmentSettings(truncate=1.0), key)
    kept = len(result["time"])
    np.testing.assert_array_equal(result["flux"], item["flux"][:kept])
    np.testing.assert_array_equal(result["band"], item["band"][:kept])
    assert (item["time"] <= 3).sum() <= kept


@given(items, st.integers(0, 1000))
def test_dropping_keeps_a_subsequence_and_enough_of_it(item, key):
    result = changed(item, AugmentSettings(drop=0.9), key)
    rest = iter(zip(item["flux"], item["flux_error"], item["band"], strict=True))
    assert all(row in rest for row in zip(result["flux"], result["flux_error"], result["band"], strict=True))
    assert len(result["flux"]) >= min(len(item["flux"]), MIN_OBSERVATIONS)


@given(items, SETTINGS, st.integers(0, 1000))
def test_times_count_from_the_first_detection(item, settings, key):
    result = changed(item, settings, key)
    if changes(settings) and (snr(result) >= 5).any():
        assert result["time"][(snr(result) >= 5).argmax()] == 0


@given(st.integers(0, 500))
def test_redshift_stretches_time_and_dims_flux_as_cosmology_says(key):
    item = light_curve(1, peak=1e6)
    item["flux_error"] = np.full(40, 1e-2, np.float32)  # no noise to speak of
    item["time"] = np.arange(40, dtype=np.float32)
    settings = AugmentSettings(redshift=1.0, redshift_scatter=0.2, shift_bands=False)
    result = changed(item, settings, key)
    stretch = (1 + result["redshift"]) / 1.4
    np.testing.assert_allclose(np.diff(result["time"]), stretch, rtol=1e-4)
    distances = log_luminosity_distance(np.array([0.4, result["redshift"]]))
    scale = stretch * np.exp(2 * (distances[0] - distances[1]))
    top = item["flux"].argmax()
    assert result["flux"][top] == pytest.approx(item["flux"][top] * scale, rel=1e-3)
    assert result["redshift_error"] == pytest.approx(0.03 * stretch)
    assert 0.75 <= stretch <= 1.5


def test_a_dimmed_object_has_the_noise_of_its_errors():
    item = light_curve(0, length=3000, redshift=0.4, peak=0.0)
    item["flux"] = np.full(3000, 400.0, np.float32)
    item["flux_error"] = np.full(3000, 5.0, np.float32)
    result = changed(item, AugmentSettings(depth=1.0), 3)
    np.testing.assert_allclose(result["flux_error"], 5.0)
    level = result["flux"].mean()
    assert 20 < level < 390
    # The input is noiseless, so only what was added shows: variance e'^2 - (s e)^2.
    assert result["flux"].std() == pytest.approx(5 * np.sqrt(1 - (level / 400) ** 2), rel=0.05)


@given(items, st.integers(0, 300))
def test_dimming_leaves_a_detection_where_there_was_one(item, key):
    result = changed(item, AugmentSettings(depth=1.0, redshift=1.0), key)
    # Without one before, a move to a smaller redshift may bring the first.
    assert not (snr(item) >= 5).any() or (snr(result) >= 5).any()


def test_a_survey_of_detections_loses_what_falls_below_five_sigma():
    item = light_curve(3, length=60)
    seen = snr(item) >= 5
    for name in ("time", "flux", "flux_error", "band"):
        item[name] = item[name][seen]
    results = [changed(item, AugmentSettings(depth=1.0, detections_only=True), key) for key in range(30)]
    assert min(len(result["flux"]) for result in results) < seen.sum()
    assert all((snr(result) >= 5).all() for result in results)


def test_extra_noise_has_the_size_that_the_errors_gain():
    item = light_curve(0, length=4000, peak=0.0)
    result = changed(item, AugmentSettings(noise=1.5), 1)
    gained = np.sqrt(result["flux_error"] ** 2 - item["flux_error"] ** 2)
    pull = (result["flux"] - item["flux"]) / gained
    assert pull.std() == pytest.approx(1.0, abs=0.05)
    np.testing.assert_allclose(gained / item["flux_error"], (gained / item["flux_error"])[0], rtol=1e-3)


def test_photometric_redshifts_are_redrawn_within_their_errors():
    item = light_curve(0)
    drawn = np.array([changed(item, AugmentSettings(photo_z=1.0), key)["redshift"] for key in range(500)])
    assert drawn.mean() == pytest.approx(0.4, abs=0.005)
    assert drawn.std() == pytest.approx(0.03, rel=0.1)


def test_an_item_depends_on_its_keys_alone_and_epochs_differ():
    item = light_curve(5)
    once, again = changed(item, EVERYTHING, "augment", 3, 7), changed(item, EVERYTHING, "augment", 3, 7)
    np.testing.assert_array_equal(once["flux"], again["flux"])
    other = changed(item, EVERYTHING, "augment", 4, 7)
    assert once["flux"].shape != other["flux"].shape or not np.array_equal(once["flux"], other["flux"])


@given(st.lists(items, min_size=1, max_size=6), SETTINGS, st.integers(0, 1000))
def test_a_batch_equals_its_objects_one_by_one(curves, settings, key):
    batch = augment_batch(padded(curves), settings, WAVELENGTH, [derive_rng(0, key, i) for i in range(len(curves))])
    for i, item in enumerate(curves):
        alone = changed(item, settings, key, i)
        kept = batch.mask[i]
        assert kept.sum() == len(alone["time"])
        for name in ("time", "flux", "flux_error", "band"):
            np.testing.assert_allclose(getattr(batch, name)[i][kept], alone[name], rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(batch.redshift[i], alone["redshift"])


def test_one_object_does_not_change_with_its_neighbours():
    curves = [light_curve(seed, length) for seed, length in ((0, 20), (1, 50), (2, 35))]
    rngs = [derive_rng(0, i) for i in range(3)]
    whole = augment_batch(padded(curves), EVERYTHING, WAVELENGTH, rngs)
    alone = augment_batch(padded(curves[1:2]), EVERYTHING, WAVELENGTH, [derive_rng(0, 1)])
    kept = whole.mask[1]
    for field in fields(Observations):
        one, many = getattr(alone, field.name)[0], getattr(whole, field.name)[1]
        np.testing.assert_array_equal(
            one if np.ndim(one) == 0 else one[alone.mask[0]], many if np.ndim(many) == 0 else many[kept]
        )


def dense(flux_of, ratio):
    """All bands at every time; interpolated to wavelength / ratio."""
    time, band = np.repeat(np.arange(10.0), 6)[None], np.tile(np.arange(6), 10)[None]
    flux = flux_of(WAVELENGTH[band], time)
    error, mask = np.ones_like(flux), np.ones(flux.shape, bool)
    shifted, spread = interpolate_bands(time, flux, error, band, mask, WAVELENGTH, np.array([ratio]))
    return time, WAVELENGTH[band], shifted, spread


@pytest.mark.parametrize("ratio", [0.8, 1.2, 1.4])
def test_a_spectrum_linear_in_wavelength_is_shifted_exactly_inside_the_bands(ratio):
    time, wavelength, shifted, spread = dense(lambda w, t: 1e-3 * w * (1 + t), ratio)
    target = np.clip(wavelength / ratio, WAVELENGTH[0], WAVELENGTH[-1])
    np.testing.assert_allclose(shifted, 1e-3 * target * (1 + time))
    assert (spread <= 1 + 1e-9).all()


def test_without_a_neighbouring_band_nearby_the_flux_stays():
    time = np.array([[0.0, 100.0]])
    band, flux, error = np.array([[1, 2]]), np.array([[10.0, 20.0]]), np.ones((1, 2))
    shifted, _ = interpolate_bands(time, flux, error, band, np.ones((1, 2), bool), WAVELENGTH, np.array([1.2]))
    np.testing.assert_array_equal(shifted, flux)


def test_an_object_without_observations_passes_through():
    item = {**light_curve(0), **{name: np.zeros(0, np.float32) for name in ("time", "flux", "flux_error")}}
    item["band"] = np.zeros(0, np.int8)
    assert len(changed(item, EVERYTHING, 0)["time"]) == 0
