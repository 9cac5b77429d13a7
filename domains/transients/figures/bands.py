"""How each band is drawn: one colour and one marker, in every figure the same."""

from armillary.core.plotting import BLACK, BLUE, GREEN, MARKERS, ORANGE, PALETTE, PURPLE, VERMILLION
from armillary.domains.transients.bands import BANDS

_COLOURS = {"u": BLUE, "g": GREEN, "r": VERMILLION, "i": PURPLE, "z": ORANGE, "y": BLACK}
_SHAPES = dict(zip(_COLOURS, ("v", "o", "s", "^", "D", "P"), strict=True))


def band_style(name: str) -> dict[str, str]:
    """Colour and marker of a band such as "lsst_u": by its filter's letter, else by its place in the band table."""
    letter = name.rpartition("_")[2].lower()
    if letter in _COLOURS:
        return {"color": _COLOURS[letter], "marker": _SHAPES[letter]}
    names = [band.name for band in BANDS]
    place = names.index(name) if name in names else 0
    return {"color": PALETTE[place % len(PALETTE)], "marker": MARKERS[place % len(MARKERS)]}
