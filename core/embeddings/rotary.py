"""Rotary positions: queries and keys turn by an angle proportional to where they stand."""

import torch
from jaxtyping import Float
from torch import Tensor


def apply_rotary(
    x_BHLD: Float[Tensor, "b h l d"], positions_BL: Float[Tensor, "b l"], base: float = 10000.0
) -> Float[Tensor, "b h l d"]:
    """Turn the feature pair (i, i + d//2) by the angle position * base**(-i / (d//2)).

    Any real position will do, negative or irregular ones too; the unit sets the scale: the fastest pair turns by
    one radian per unit. The product of a turned query and a turned key depends on their positions' difference
    alone. With odd d the last feature stays as it is. Angles are computed in float32 at least, so positions far
    from zero (modified Julian dates, say) should be given relative to a near origin.

    References:
        Su et al. 2021, "RoFormer", eq. 34, which pairs neighbours (2i, 2i+1); pairing halves is the same up to
        a permutation of features.
    """
    half = x_BHLD.shape[-1] // 2
    dtype = torch.promote_types(x_BHLD.dtype, torch.float32)
    exponents = torch.arange(half, device=x_BHLD.device, dtype=dtype) / max(half, 1)
    angles = positions_BL.to(dtype)[:, None, :, None] * base**-exponents
    cosine, sine = angles.cos(), angles.sin()
    left, right, rest = x_BHLD[..., :half], x_BHLD[..., half : 2 * half], x_BHLD[..., 2 * half :]
    turned = torch.cat((left * cosine - right * sine, left * sine + right * cosine), dim=-1)
    return torch.cat((turned.to(x_BHLD.dtype), rest), dim=-1)
