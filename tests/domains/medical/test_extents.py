"""Images of several sizes in one batch."""

import torch

from armillary.domains.medical.extents import all_whole, inside_of, places_of

SHAPE = torch.tensor([[2, 5], [4, 3]])


def test_every_place_of_an_image_and_no_other_is_inside():
    inside = inside_of(SHAPE, torch.zeros(2, 3, 4, 5))
    assert inside is not None
    assert inside.shape == (2, 1, 4, 5)
    assert inside.flatten(1).sum(1).tolist() == [10, 12]
    for row, place in enumerate(places_of(SHAPE)):
        assert inside[row][place].all()
    assert inside_of(None, torch.zeros(2, 3, 4, 5)) is None


def test_a_batch_is_whole_where_no_image_is_padded():
    assert not all_whole(SHAPE, torch.zeros(2, 1, 4, 5))
    assert all_whole(torch.tensor([[4, 5], [4, 5]]), torch.zeros(2, 1, 4, 5))
