"""The masked objective: hide tokens, mix the rest, put them back among copies of a mask token, judge the hidden ones.

It knows nothing of what a token is, so it serves patches of images and fields, steps of series, and observations alike.

References:
    He et al. 2022, "Masked autoencoders are scalable vision learners", section 3.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from armillary.core.tokens import Tokens

_ROUNDING = 1e-9  # 10 (1 - 0.9) is a little below one in binary


@dataclass(frozen=True)
class Hiding:
    """Which tokens are hidden; all numbers count from the first token after the prefix.

    visible: places of the tokens that stay, in ascending order, as many in every row.
    restore: where each place's token stands in the row of visible, then hidden tokens; the inverse permutation.
    hidden: True for the real tokens that are taken away: those that are judged.
    kept: True where `visible` names a token that stays; False where it only fills a row with fewer; None when all do.
    """

    visible: Int[Tensor, "b v"]
    restore: Int[Tensor, "b l"]
    hidden: Bool[Tensor, "b l"]
    kept: Bool[Tensor, "b v"] | None = None


def num_visible(length: int, ratio: float) -> int:
    """floor(length (1 - ratio)), but one at least where there is any token.

    Raises ValueError for a ratio that is not between zero and one.
    """
    if not 0 < ratio < 1:
        raise ValueError(f"the ratio is the share of tokens that are hidden, between 0 and 1; got {ratio}")
    return min(length, max(1, int(length * (1 - ratio) + _ROUNDING)))


def draw_hiding(tokens: Tokens, ratio: float, generator: torch.Generator) -> Hiding:
    """Hides a random `ratio` of the real tokens of each row; prefix tokens always stay."""
    values, prefix = tokens.values, tokens.prefix
    shape = values.shape[0], values.shape[1] - prefix
    noise = torch.rand(shape, generator=generator, device=generator.device, dtype=torch.float32)
    return hide(noise.to(values.device), ratio, None if tokens.mask is None else tokens.mask[:, prefix:])


def item_hiding(tokens: Tokens, ratio: float, index: Int[Tensor, " b"]) -> Hiding:
    """The same as a function of each item's index alone, so that an evaluation repeats its masks."""
    noise = item_noise(index.to(tokens.values.device), tokens.values.shape[1] - tokens.prefix)
    return hide(noise, ratio, None if tokens.mask is None else tokens.mask[:, tokens.prefix :])


def hide(noise: Float[Tensor, "b l"], ratio: float, mask: Bool[Tensor, "b l"] | None = None) -> Hiding:
    """Keeps the real tokens of lowest noise, `num_visible` of each row's; True in the mask is real."""
    length = noise.shape[1]
    width = num_visible(length, ratio)
    ranks = _inverse((noise if mask is None else noise.masked_fill(~mask, torch.inf)).argsort(1))
    if mask is None:
        stays, real, kept = ranks < width, torch.ones_like(ranks, dtype=torch.bool), None
    else:
        number = _numbers_visible(mask, ratio)
        stays, real = ranks < number, mask
        kept = torch.arange(width, device=mask.device) < number
    # In the order of their places, so that a mixer which reads neighbours or runs of tokens still does.
    order = (torch.arange(length, device=noise.device) + length * ~stays).argsort(1)
    return Hiding(order[:, :width], _inverse(order), real & ~stays, kept)


def keep_visible(tokens: Tokens, hiding: Hiding) -> Tokens:
    """The prefix and the visible tokens alone, with their positions; they lie on no grid any more."""

    def chosen(field: Shaped[Tensor, "b l *f"]) -> Shaped[Tensor, "b v *f"]:
        body = _take(field[:, tokens.prefix :], hiding.visible)
        return torch.cat((field[:, : tokens.prefix], body), dim=1)

    mask = None if tokens.mask is None else chosen(tokens.mask)
    if mask is not None and hiding.kept is not None:
        mask = torch.cat((mask[:, : tokens.prefix], hiding.kept), dim=1)
    return Tokens(
        values=chosen(tokens.values),
        mask=mask,
        positions=None if tokens.positions is None else chosen(tokens.positions),
        segments=None if tokens.segments is None else chosen(tokens.segments),
        prefix=tokens.prefix,
    )


def put_back(seen: Tokens, hiding: Hiding, fill: Float[Tensor, " d"], places: Tokens) -> Tokens:
    """The visible tokens where they stood and `fill`, the mask token, everywhere else; `places` as before the hiding.

    seen: what `keep_visible` gave, of any width, mixed or not.
    """
    leading, body = seen.values[:, : seen.prefix], seen.values[:, seen.prefix :]
    fill = fill.to(body.dtype)
    if hiding.kept is not None:
        body = body.where(hiding.kept.unsqueeze(-1), fill)
    missing = hiding.restore.shape[1] - body.shape[1]
    row = torch.cat((body, fill.expand(body.shape[0], missing, -1)), dim=1)
    return replace(places, values=torch.cat((leading, _take(row, hiding.restore)), dim=1))


def masked_loss(
    prediction: Float[Tensor, "b l f"], target: Float[Tensor, "b l f"], hidden: Bool[Tensor, "b l"]
) -> Float[Tensor, ""]:
    """Squared error, mean over the features, then over the hidden tokens of all rows; zero where nothing is hidden."""
    weight = hidden.float()
    return (_token_errors(prediction, target) * weight).sum() / weight.sum().clamp(min=1)


def masked_errors(
    prediction: Float[Tensor, "b l f"], target: Float[Tensor, "b l f"], hidden: Bool[Tensor, "b l"]
) -> Float[Tensor, " b"]:
    """The same of each row by itself; NaN for a row that hides nothing."""
    weight = hidden.float()
    return (_token_errors(prediction, target) * weight).sum(1) / weight.sum(1)


def item_noise(index: Int[Tensor, " b"], length: int) -> Float[Tensor, "b l"]:
    """Numbers in [0, 1) that depend on an item's index and the place alone.

    The same on every device and in every batch. Made of integer products and remainders, so that it can be traced for
    an export, as a generator cannot. Two rounds of multiplying and folding the upper bits of 32 down.
    """
    row = _scrambled(index.to(torch.int64).unsqueeze(1) + 1)
    place = torch.arange(1, length + 1, device=index.device)
    return _scrambled(row + place * 0x9E3779B1).float() * 2.0**-32 * (1 - 2.0**-24)


def _scrambled(number: Int[Tensor, "..."]) -> Int[Tensor, "..."]:
    """Each number's lower 32 bits, mixed by a bijection; multipliers below 2^31 keep the products below 2^63."""
    number = number % 2**32
    for factor in (0x7FEB352D, 0x45D9F3B5):
        number = (number ^ (number // 2**16)) * factor % 2**32
    return number ^ (number // 2**15)


def _numbers_visible(mask: Bool[Tensor, "b l"], ratio: float) -> Int[Tensor, "b 1"]:
    real = mask.sum(1, keepdim=True)
    floor = (real.double() * (1 - ratio) + _ROUNDING).floor().to(real.dtype)
    return torch.minimum(floor.clamp(min=1), real)


def _inverse(order: Int[Tensor, "b l"]) -> Int[Tensor, "b l"]:
    """The permutation that undoes one."""
    places = torch.arange(order.shape[1], device=order.device).expand_as(order)
    return torch.zeros_like(order).scatter(1, order, places)


def _take(field: Shaped[Tensor, "b l *f"], places: Int[Tensor, "b v"]) -> Shaped[Tensor, "b v *f"]:
    index = places.reshape(*places.shape, *(1,) * (field.ndim - 2))
    return field.gather(1, index.expand(-1, -1, *field.shape[2:]))


def _token_errors(prediction: Float[Tensor, "b l f"], target: Float[Tensor, "b l f"]) -> Float[Tensor, "b l"]:
    return (prediction.float() - target.float()).square().mean(-1)
