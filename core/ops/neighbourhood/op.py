"""The public call of neighbourhood attention: what it computes, and checks of what it is given."""

from jaxtyping import Bool, Float, Int
from torch import Tensor

from armillary.core.ops.checks import check_alike, check_shape
from armillary.core.ops.dispatch import Op

_FOLDER = "armillary.core.ops.neighbourhood"
OP = Op(
    "neighbourhood_attention",
    reference=f"{_FOLDER}.reference:neighbourhood_attention_reference",
    portable=f"{_FOLDER}.portable:neighbourhood_attention_portable",
    native=f"{_FOLDER}.native:neighbourhood_attention_native",
    triton=f"{_FOLDER}.triton:neighbourhood_attention_triton",
)


def neighbourhood_attention(
    q: Float[Tensor, "b *grid h e"],
    k: Float[Tensor, "b *grid h e"],
    v: Float[Tensor, "b *grid h f"],
    bias: Float[Tensor, "h *offsets"] | None = None,
    mask: Bool[Tensor, "b *grid"] | None = None,
    extents: Int[Tensor, "b r"] | None = None,
    *,
    window: tuple[int, ...],
    dilation: tuple[int, ...],
    causal: tuple[bool, ...],
    periodic: tuple[bool, ...],
    scale: float | None = None,
) -> Float[Tensor, "b *grid h f"]:
    """softmax(scale · q·k + bias) v, each query over the keys of its neighbourhood on a grid of rank 1, 2 or 3.

    A query attends the product of K keys an axis, `dilation` δ apart. Query i of an axis of extent L belongs to the
    class g = i mod δ with n = ceil((L - g) / δ) members and is its member p = i div δ. By kind of axis its keys are
    - plain: members start … start + K - 1 of the class, start = clamp(p - floor(K/2), 0, n - K). At a border
      the window shifts inwards; it neither shrinks nor meets padding;
    - causal: i - (K-1)δ … i, fewer at the start;
    - periodic: i + δ(j - floor(K/2)) mod L, j = 0 … K - 1.
    Every axis holds its window: K·δ <= L. A grid without tokens gives an empty result.

    bias: added to the scores, (h, 2K-1, ...) by offset: index (key - query) / δ + K - 1 of each axis.
    mask: True where a key may be attended. A query that sees no key gives zero, with zero gradients.
    extents: row b is the corner [0, extents[b]) of the grid and gives what that block gives alone: borders and periods
        are its own, keys outside are never attended, queries outside give zero. On an axis shorter than its window
        the window is what exists: the whole class, or each key of the ring once.
    scale: e^-1/2 if None.

    Scores and weights are float32, or float64 if q is; the result has the dtype of q. Once differentiable outside the
    portable tier. A NaN or infinity may reach queries near those that attend it; masked tokens and tokens outside
    the extents never reach another.

    References:
        Hassani et al. 2023, "Neighborhood attention transformer", eq. 2-4.
        Hassani and Shi 2022, "Dilated neighborhood attention transformer", eq. 2.
        Hassani et al. 2025, "Generalized neighborhood attention", section 3 (causal axes).

    Raises:
        ValueError: shapes, dtypes or devices that do not fit, a window larger than its axis, an axis both causal and
            periodic.
    """
    check_neighbourhood(q, k, v, bias, mask, extents, window, dilation, causal, periodic)
    if v.numel() == 0:
        return v.to(q.dtype)
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    return OP(q, k, v, bias, mask, extents, window, dilation, causal, periodic, scale)


def check_neighbourhood(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor | None,
    mask: Tensor | None,
    extents: Tensor | None,
    window: tuple[int, ...],
    dilation: tuple[int, ...],
    causal: tuple[bool, ...],
    periodic: tuple[bool, ...],
) -> None:
    """Refuse what neighbourhood attention cannot serve.

    Raises:
        ValueError: naming the argument or axis, what was expected, and what was got.
    """
    op, rank = OP.name, q.ndim - 3
    if rank not in (1, 2, 3):
        raise ValueError(
            f"{op}: q has shape {tuple(q.shape)}, expected (b, *grid, h, e) with a grid of rank 1, 2 or 3."
        )
    for name, setting in (("window", window), ("dilation", dilation), ("causal", causal), ("periodic", periodic)):
        if len(setting) != rank:
            raise ValueError(f"{op}: {name} has {len(setting)} entries, expected one for each of {rank} grid axes.")
    check_alike(op, q=q, k=k, v=v, bias=bias)
    check_shape(op, "k", k, q.shape, "b, *grid, h, e")
    check_shape(op, "v", v, (*q.shape[:-1], v.shape[-1]), "b, *grid, h, f")
    check_shape(op, "bias", bias, (q.shape[-2], *(2 * K - 1 for K in window)), "h, 2·window - 1 of each axis")
    check_shape(op, "mask", mask, q.shape[:-2], "b, *grid")
    check_shape(op, "extents", extents, (q.shape[0], rank), "b, rank of the grid")
    for axis in range(rank):
        _check_axis(axis, q.shape[1 + axis], window[axis], dilation[axis], causal[axis], periodic[axis])


def _check_axis(axis: int, extent: int, window: int, dilation: int, causal: bool, periodic: bool) -> None:
    if window < 1 or dilation < 1:
        raise ValueError(
            f"{OP.name}: grid axis {axis} has window {window} and dilation {dilation}, expected both at least 1."
        )
    if causal and periodic:
        raise ValueError(f"{OP.name}: grid axis {axis} is both causal and periodic; a ring has no first token.")
    if extent and window * dilation > extent:
        raise ValueError(
            f"{OP.name}: grid axis {axis} has extent {extent}, less than window {window} times dilation {dilation}; "
            "make one of them smaller, or pad the grid and give extents."
        )
