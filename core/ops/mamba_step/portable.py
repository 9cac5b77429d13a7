"""One token through a Mamba layer, in plain torch."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from armillary.core.ops.precision import accumulation_dtype


def mamba_step_portable(
    u: Float[Tensor, "b d"],
    window: Float[Tensor, "b k e"] | None,
    state: Float[Tensor, "b e n"] | None,
    in_proj: Float[Tensor, "ee d"],
    conv_weight: Float[Tensor, "e taps"],
    conv_bias: Float[Tensor, " e"],
    x_proj: Float[Tensor, "m e"],
    dt_proj: Float[Tensor, "e r"],
    dt_bias: Float[Tensor, " e"],
    A_log: Float[Tensor, "e n"],
    D: Float[Tensor, " e"],
    out_proj: Float[Tensor, "d e"],
) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b k e"], Float[Tensor, "b e n"]]:
    """See `mamba_step`."""
    states, rank = A_log.shape[1], dt_proj.shape[1]
    x, z = project(u, in_proj).chunk(2, dim=-1)
    x, window = convolve_newest(x, window, conv_weight, conv_bias)
    dtype = accumulation_dtype(u)
    low, *rows = project(x, x_proj).split([rank, states, states], dim=-1)
    wide, z, B, C = (tensor.to(dtype) for tensor in (x, z, *rows))
    dt = functional.softplus(project(low, dt_proj).to(dtype) + dt_bias.to(dtype))
    after = (dt * wide)[..., None] * B[:, None]
    if state is not None:
        after = torch.addcmul(after, torch.exp(-dt[..., None] * A_log.to(dtype).exp()), state.to(dtype))
    y = torch.matmul(after, C[..., None])[..., 0] + D.to(dtype) * wide
    return project((y * functional.silu(z)).to(u.dtype), out_proj), window, after


def project(x: Float[Tensor, "b i"], weight: Float[Tensor, "o i"]) -> Float[Tensor, "b o"]:
    """weight x, in the dtype of x whatever the weight has; autocast may narrow the product alone."""
    return functional.linear(x, weight.to(x.dtype)).to(x.dtype)


def convolve_newest(
    x: Float[Tensor, "b c"],
    window: Float[Tensor, "b k c"] | None,
    weight: Float[Tensor, "c taps"],
    bias: Float[Tensor, " c"],
) -> tuple[Float[Tensor, "b c"], Float[Tensor, "b k c"]]:
    """silu of the causal depthwise convolution at the newest of its inputs, and the inputs the next one needs."""
    if window is None:
        window = x.new_zeros(x.shape[0], weight.shape[1] - 1, x.shape[1])
    inputs = torch.cat([window.to(x.dtype), x[:, None]], dim=1)
    return functional.silu((inputs * weight.to(x.dtype).T).sum(1) + bias.to(x.dtype)), inputs[:, 1:]
