"""Studies: what they carry, and choosing them by view."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from armillary.core.errors import ConfigError
from armillary.domains.medical.sources import RasterMask, RasterSource
from armillary.domains.medical.studies import Absent, Study, of_views

IMAGE = RasterSource(Path("a.png"))


def test_an_image_of_nobody_known_is_its_own_group():
    assert Study("a", IMAGE).group == "a"
    assert Study("a", IMAGE, patient="p").group == "p"


def test_a_study_goes_to_a_worker_and_comes_back():
    study = Study("a", IMAGE, "p", "train", np.array([1, np.nan], np.float32), (None, Absent(), RasterMask(Path("m"))))
    back = pickle.loads(pickle.dumps(study))
    assert (back.id, back.image, back.masks) == (study.id, study.image, study.masks)
    np.testing.assert_array_equal(back.target, study.target)


def test_views_are_chosen_whatever_their_case():
    studies = [Study(view, IMAGE, view=view) for view in ("PA", "ap", "lateral", "")]
    assert [study.id for study in of_views(studies, ("AP", "pa"))] == ["PA", "ap"]
    assert len(of_views(studies, ())) == 4


def test_a_view_that_no_image_has_is_a_mistake_of_the_configuration():
    with pytest.raises(ConfigError, match="no image has the view PAA; did you mean 'PA'"):
        of_views([Study("a", IMAGE, view="PA")], ("PAA",))
    with pytest.raises(ConfigError, match="the images' views are not told"):
        of_views([Study("a", IMAGE)], ("PA",))
