"""Cutting around the detections, causality, sample times and the cache."""

from dataclasses import replace

import numpy as np
import pytest

from armillary.core.paths import cache_root
from armillary.domains.transients.t2 import gaussian_process, preparation
from armillary.domains.transients.t2.preparation import (
    Window,
    interpolate,
    interpolate_early,
    sample_times,
    to_points,
    trim,
    until,
)
from armillary.domains.transients.t2.settings import GaussianProcessSettings

SETTINGS = GaussianProcessSettings()
WINDOW = Window(50.0, 50.0)


def one_object(make_curves, time, detected):
    curves = make_curves([len(time)])
    return replace(curves, time=np.array(time, np.float64), detected=np.array(detected))


def test_trimming_keeps_the_open_window_around_the_detections_and_starts_at_zero(make_curves):
    time = [0, 10, 11, 60, 70, 119, 120, 121]
    curves = one_object(make_curves, time, [day in (60, 70) for day in time])
    kept = trim(curves, WINDOW)
    # From 60 - 50 to 70 + 50, both ends left out.
    np.testing.assert_array_equal(kept.time, [0, 49, 59, 108])
    np.testing.assert_array_equal(kept.flux, curves.flux[2:6])


def test_a_window_that_holds_nothing_becomes_a_thousand_days(make_curves):
    curves = one_object(make_curves, [0, 500, 1200, 1501], [False, True, False, False])
    kept = trim(curves, Window(0.0, 0.0))
    np.testing.assert_array_equal(kept.time, [0, 500, 1200])


def test_trimming_treats_every_object_by_its_own_detections(make_curves):
    curves = make_curves([40, 25, 60])
    together = trim(curves, WINDOW)
    for i in range(3):
        alone = trim(curves.select([i]), WINDOW)
        np.testing.assert_array_equal(together.time[together.rows(i)], alone.time)


def test_an_object_without_detection_is_named(make_curves):
    curves = make_curves([10, 12])
    curves.detected[curves.rows(1)] = False
    with pytest.raises(ValueError, match="object object1 has no detection"):
        trim(curves, WINDOW)


def test_times_run_evenly_from_the_first_to_the_last_kept_observation(make_curves):
    kept = trim(make_curves([30, 1]), WINDOW)
    times = sample_times(kept, 100)
    assert times.shape == (2, 100)
    assert times[0, 0] == 0
    assert times[0, -1] == kept.time[kept.rows(0)].max()
    np.testing.assert_allclose(np.diff(times[0]), times[0, -1] / 99)
    np.testing.assert_array_equal(times[1], 0)


def test_the_interpolation_is_that_of_the_process_in_every_band(make_curves):
    curves = make_curves([30, 45])
    found = interpolate(curves, WINDOW, 20, SETTINGS)
    kept = trim(curves, WINDOW)
    points = to_points(kept)
    mean, deviation = gaussian_process.predict(
        points, gaussian_process.fit(points), sample_times(kept, 20), curves.wavelength
    )
    np.testing.assert_array_equal(found.flux, mean)
    np.testing.assert_array_equal(found.error, deviation)
    assert found.flux.shape == (2, 20, 4)


def test_a_cache_hit_equals_a_miss_and_fits_nothing(make_curves, monkeypatch):
    curves = make_curves([30, 45], seed=7)
    fresh = interpolate(curves, WINDOW, 20, SETTINGS, cached=False)
    missed = interpolate(curves, WINDOW, 20, SETTINGS)
    monkeypatch.setattr(preparation, "_interpolate", None)
    hit = interpolate(curves, WINDOW, 20, SETTINGS)
    for name in ("flux", "error"):
        np.testing.assert_array_equal(getattr(missed, name), getattr(fresh, name))
        np.testing.assert_array_equal(getattr(hit, name), getattr(fresh, name))
    assert isinstance(hit.flux, np.memmap)


def test_whatever_decides_the_numbers_makes_another_cache_entry(make_curves):
    folder = cache_root() / "transients" / "t2"

    def entries() -> int:
        return len(list(folder.glob("*.npy")))

    curves = make_curves([25], seed=11)
    interpolate(curves, WINDOW, 20, SETTINGS)
    before = entries()
    interpolate(curves, Window(40.0, 50.0), 20, SETTINGS)
    interpolate(curves, WINDOW, 21, SETTINGS)
    interpolate(curves, WINDOW, 20, GaussianProcessSettings(start_length=30))
    interpolate(replace(curves, flux=curves.flux + 1), WINDOW, 20, SETTINGS)
    assert entries() == before + 4
    assert not [path for path in folder.iterdir() if path.suffix != ".npy"]


def test_a_computation_that_dies_leaves_nothing_in_the_cache(make_curves, monkeypatch):
    def full_disk(*_):
        raise OSError(28, "No space left on device")

    curves, folder = make_curves([25], seed=12), cache_root() / "transients" / "t2"
    before = set(folder.iterdir()) if folder.exists() else set()
    monkeypatch.setattr(np, "save", full_disk)
    with pytest.raises(OSError, match="No space"):
        interpolate(curves, WINDOW, 20, SETTINGS)
    assert set(folder.iterdir()) == before


def test_what_comes_later_does_not_change_an_early_interpolation(make_curves):
    curves = make_curves([60, 50], seed=3)
    later = curves.time > np.repeat(_trigger(curves), curves.row_size) + 20
    changed = replace(
        curves, flux=np.where(later, curves.flux * 5 + 100, curves.flux), detected=curves.detected | later
    )
    early = interpolate_early(curves, WINDOW, 15, SETTINGS, (0.0, 20.0), cached=False)
    np.testing.assert_array_equal(interpolate_early(changed, WINDOW, 15, SETTINGS, (0.0, 20.0), cached=False), early)
    assert not np.array_equal(
        interpolate(changed, WINDOW, 15, SETTINGS).flux, interpolate(curves, WINDOW, 15, SETTINGS).flux
    )


def test_a_late_enough_day_sees_the_whole_light_curve(make_curves):
    curves = make_curves([40], seed=4)
    late = interpolate_early(curves, WINDOW, 15, SETTINGS, (1e4,), cached=False)
    np.testing.assert_array_equal(late[:, 0], interpolate(curves, WINDOW, 15, SETTINGS, cached=False).flux)


def test_even_before_the_first_detection_that_detection_is_known(make_curves):
    curves = make_curves([40], seed=5)
    assert until(curves, -10.0).time.max() == _trigger(curves)[0]


def _trigger(curves):
    return np.minimum.reduceat(np.where(curves.detected, curves.time, np.inf), curves.offsets[:-1])


def test_errors_far_below_the_flux_do_not_break_the_interpolation(make_curves):
    curves = make_curves([40, 12], seed=6)
    exact = replace(curves, flux=curves.flux * np.float32(1e6), flux_error=np.full(52, 1e-6, np.float32))
    found = interpolate(exact, WINDOW, 15, SETTINGS, cached=False)
    assert np.isfinite(found.flux).all()
    assert (np.isfinite(found.error) & (found.error > 0)).all()
