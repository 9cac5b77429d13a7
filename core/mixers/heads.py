"""Heads of an attention: how wide they are, and moving between features and heads."""

from jaxtyping import Float
from torch import Tensor, nn

from armillary.core.errors import ConfigError


def head_width(name: str, width: int, heads: int) -> int:
    """Features of each of `heads` equal heads.

    Raises ConfigError where they do not fill the width.
    """
    if width % heads:
        raise ConfigError(
            f"{name} at width {width} cannot have {heads} heads of equal width.\n  Choose heads that divide the width."
        )
    return width // heads


def in_heads(
    project: nn.Linear, values: Float[Tensor, "b l d"], heads: int
) -> tuple[Float[Tensor, "b l h e"], Float[Tensor, "b l h e"], Float[Tensor, "b l h e"]]:
    """Queries, keys and values of every head, from one projection that gives all three."""
    queries, keys, contents = project(values).unflatten(-1, (3, heads, -1)).unbind(2)
    return queries, keys, contents
