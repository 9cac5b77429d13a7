"""Hybrid stacks in one line of text: which layer mixes tokens and how, and which only mixes features."""

from collections.abc import Mapping

from armillary.core.config.channels import ChannelSettings
from armillary.core.config.mixers import MixerSettings
from armillary.core.config.trunk import StageSettings

FEATURES = "-"  # the letter of a layer that only mixes features


def hybrid_notation(depth: int) -> str:
    """A hybrid of state space M, attention * and channel mixer - in the published proportion of 43, 7 and 50 %.

    Token and channel mixers take turns, beginning with an M. One token mixer in seven is attention, at least one from
    three layers on; they stand in the middle of equal spans, so that none comes first.

    Raises ValueError where `depth` is not positive.

    References:
        Waleffe et al. 2024, "An empirical study of Mamba-based language models" (proportion; the
        published order of 56 layers has the same numbers, but channel mixers in places of their own).
    """
    if depth < 1:
        raise ValueError(f"depth={depth} is not a number of layers; expected 1 or more")
    mixers = -(-depth // 2)
    attentions = max(round(mixers / 7), 1 if mixers > 1 else 0)
    places = {(2 * index + 1) * mixers // (2 * attentions) for index in range(attentions)}
    letters = ["*" if place in places else "M" for place in range(mixers)]
    return FEATURES.join(letters) + FEATURES * (depth % 2 == 0)


def hybrid_stage(notation: str, letters: Mapping[str, MixerSettings], channel: ChannelSettings) -> StageSettings:
    """A stage with one block for each letter, such as "M-M-*-": a token mixer, or `channel` where it is "-".

    Raises ValueError where the notation is empty or has a letter that `letters` does not explain.
    """
    if not notation:
        raise ValueError('notation is empty; expected one letter a layer, such as "M-M-*-"')
    if FEATURES in letters:
        raise ValueError(f"letters explain {FEATURES!r}, which always is the channel mixer; choose another letter")
    for place, letter in enumerate(notation):
        if letter != FEATURES and letter not in letters:
            known = ", ".join(repr(name) for name in (*letters, FEATURES))
            raise ValueError(f"notation {notation!r} has {letter!r} at place {place}; expected one of {known}")
    return StageSettings(
        depth=len(notation),
        pattern=tuple(None if letter == FEATURES else letters[letter] for letter in notation),
        channels=tuple(channel if letter == FEATURES else None for letter in notation),
    )
