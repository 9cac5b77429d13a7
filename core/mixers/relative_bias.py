"""A learned number for each head and offset, that fits windows of another size too."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

_MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}


class RelativeBias(nn.Module):
    """Bias of the scores by the offset of key and query along each axis, from -(window - 1) to window - 1.

    A table of another window is resized when it is loaded, so that weights serve windows of any size.

    References:
        Liu et al. 2021, "Swin transformer", eq. 4.
    """

    def __init__(self, heads: int, window: tuple[int, ...]) -> None:
        super().__init__()
        self.window = window
        self.table = nn.Parameter(torch.empty(heads, *(2 * extent - 1 for extent in window)))
        nn.init.trunc_normal_(self.table, std=0.02)
        self.register_load_state_dict_pre_hook(_resize_on_load)

    def pairs(self) -> Float[Tensor, "h m m"]:
        """Bias of every query (first m) and key (second m) of one window, its m tokens in row-major order."""
        index = torch.zeros(1, 1, dtype=torch.int64, device=self.table.device)
        for extent in self.window:
            places = torch.arange(extent, device=self.table.device)
            offset = places - places[:, None] + extent - 1
            index = index[:, None, :, None] * (2 * extent - 1) + offset[:, None, :]
            index = index.flatten(2).flatten(0, 1)
        return self.table.flatten(1)[:, index]


def resize_bias(table: Float[Tensor, "h *offsets"], window: tuple[int, ...]) -> Float[Tensor, "h *resized"]:
    """A table of offsets for windows of another extent, by linear interpolation along each axis.

    The longest offsets stay the longest and the offset zero stays zero. A window of one token keeps the offset zero.
    """
    for axis, extent in enumerate(window, start=1):
        if extent == 1:
            table = table.narrow(axis, table.shape[axis] // 2, 1)
    sizes = [2 * extent - 1 for extent in window]
    if list(table.shape[1:]) == sizes:
        return table
    return functional.interpolate(table[None], sizes, mode=_MODES[len(window)], align_corners=True)[0]


def _resize_on_load(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    table = state.get(f"{prefix}table")
    if isinstance(module, RelativeBias) and isinstance(table, Tensor) and table.ndim == module.table.ndim:
        state[f"{prefix}table"] = resize_bias(table, module.window)
