"""DenseNet-121 through MONAI."""

import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from armillary.core.errors import ConfigError
from armillary.domains.medical.systems.densenet import DenseNet
from armillary.domains.medical.systems.settings import DenseNetSettings


def test_it_has_the_published_parameters():
    with torch.device("meta"):
        model = DenseNet(DenseNetSettings(), 1000, 3, (224, 224))
        assert model(torch.ones(2, 3, 224, 224)).shape == (2, 1000)
    assert sum(one.numel() for one in model.parameters()) == 7_978_856


def test_scores_are_a_linear_map_of_the_features():
    torch.manual_seed(0)
    model = DenseNet(DenseNetSettings(), 3, 1, (29, 31)).eval()
    image = torch.randn(2, 1, 29, 31)
    with torch.no_grad():
        features = model.features(image)
        assert features.shape == (2, 1024)
        last = model.network.class_layers[-1]
        assert_close(model(image), functional.linear(features, last.weight, last.bias))


def test_a_volume_has_a_network_of_three_axes():
    with torch.device("meta"):
        model = DenseNet(DenseNetSettings(dropout=0.1), 3, 1, (32, 33, 34))
        assert model.features(torch.ones(2, 1, 32, 33, 34)).shape == (2, 1024)


def test_an_image_that_cannot_be_halved_five_times_is_refused():
    with pytest.raises(ConfigError, match=r"\(28, 64\) pixels leave nothing.\n  Set data.size to 29 or more"):
        DenseNet(DenseNetSettings(), 3, 1, (28, 64))
