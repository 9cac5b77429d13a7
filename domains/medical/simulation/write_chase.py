"""The twin of CHASE_DB1: photographs of simulated eyes, each with the vessels that two observers would draw."""

from pathlib import Path

from armillary.core.domain import Size
from armillary.domains.medical.simulation.lesion import draw_fundus
from armillary.domains.medical.simulation.pictures import cut_in_half, write_colour, write_mask

_PIXELS = 120
_CHILDREN = 12


def write_chase_twin(folder: Path, seed: int, size: Size) -> tuple[int, str | None]:
    """Image_<NN><L|R>.jpg with _1stHO.png and _2ndHO.png of children 01 to 12; one photograph is cut in half."""
    for child in range(1, _CHILDREN + 1):
        for eye in "LR":
            phantom, stem = draw_fundus(seed, child, eye, _PIXELS), f"Image_{child:02d}{eye}"
            write_colour(folder / f"{stem}.jpg", phantom.image)
            write_mask(folder / f"{stem}_1stHO.png", phantom.mask)
            write_mask(folder / f"{stem}_2ndHO.png", phantom.second)
    cut_in_half(folder / "Image_02R.jpg")
    return 2 * _CHILDREN, "Image_02R"
