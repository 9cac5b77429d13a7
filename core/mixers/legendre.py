"""Legendre memory: the recent past of a learned signal as coefficients of Legendre polynomials."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy.linalg import expm
from torch import Tensor, nn
from torch.nn import functional

from armillary.core.channels.activations import ACTIVATIONS
from armillary.core.config.mixers import LegendreSettings
from armillary.core.mixers.protocol import Capabilities
from armillary.core.mixers.sequences import refuse_unsupported
from armillary.core.ops.precision import accumulation_dtype, full_precision
from armillary.core.tokens import Grid, Tokens

CHUNK = 32  # tokens; a power of two


class LegendreState(NamedTuple):
    """The memory after the last real token, n coefficients."""

    memory: Float[Tensor, "b n"]


class Legendre(nn.Module):
    """y_t = act(W [m_t; x_t] + b) with m_t = Ā m_{t-1} + B̄ u_t and one signal u_t = act(w x_t + c).

    m_t holds the last `theta` tokens of u as coefficients of shifted Legendre polynomials; Ā and B̄ are fixed: the
    zero-order hold of the memory's differential equation over one token, computed in float64. Tokens are taken to be
    equally spaced.

    Whole sequences run in chunks of 32 tokens, with W Ā^p in place of Ā^p, so that no memory but that at the chunks'
    beginnings is kept. The published form, a Fourier transform over the whole sequence, is exact only to the rounding
    error of the largest value anywhere and lets a later token reach an earlier output by that much; here it cannot.

    References:
        Voelker et al. 2019, "Legendre memory units: continuous-time representation in recurrent neural networks".
        Liu et al. 2024, "LMUFormer: low complexity yet powerful spiking model with Legendre memory units".
    """

    impulse: Tensor
    powers: Tensor

    def __init__(self, width: int, settings: LegendreSettings) -> None:
        super().__init__()
        self.width, self.order = width, settings.order
        self.activation = ACTIVATIONS[settings.activation]
        self.signal = nn.Linear(width, 1)
        self.out = nn.Linear(settings.order + width, width)
        impulse, powers = _responses(settings.order, settings.theta)
        self.register_buffer("impulse", _guarded(impulse), persistent=False)
        self.register_buffer("powers", _guarded(powers), persistent=False)
        self.capabilities = Capabilities(causal=True, streaming=True, cost_order="l")

    def forward(
        self, tokens: Tokens, state: LegendreState | None = None, context: Tokens | None = None
    ) -> tuple[Float[Tensor, "b l d"], LegendreState]:
        refuse_unsupported("legendre", self.capabilities, tokens, state, context)
        values, dtype = tokens.values, accumulation_dtype(tokens.values)
        signal = self.activation(self.signal(values))[..., 0].to(dtype)
        start = signal.new_zeros(len(signal), self.order) if state is None else state.memory.to(dtype)
        to_memory, to_values = self.out.weight.split([self.order, self.width], dim=1)
        mixed = functional.linear(values, to_values, self.out.bias)
        if values.shape[1] == 0:
            return self.activation(mixed), LegendreState(start)
        with full_precision(values):
            recalled, memory = self._recall(signal, start, to_memory.to(dtype), tokens.lengths())
        return self.activation(mixed + recalled.to(mixed.dtype)).to(values.dtype), LegendreState(memory)

    def step(self, tokens: Tokens, state: LegendreState | None) -> tuple[Float[Tensor, "b l d"], LegendreState]:
        return self(tokens, state)

    def cost(self, batch: int, length: int, grid: Grid | None = None) -> float:
        """Multiply-adds [MAC] that grow with the tokens; beside them W Ā^p costs 32 d n² a call."""
        maps = self.width + (self.order + self.width) * self.width
        return float(batch) * length * (maps + CHUNK * self.width + self.order + 2 * self.order**2 / CHUNK)

    def _recall(
        self, signal: Float[Tensor, "b l"], start: Float[Tensor, "b n"], weight: Float[Tensor, "d n"], counts: Tensor
    ) -> tuple[Float[Tensor, "b l d"], Float[Tensor, "b n"]]:
        """W m_t after every token, going on from m = `start`, and m itself after the first `counts` tokens of a row."""
        length = signal.shape[1]
        chunk = min(CHUNK, length)
        impulse, powers = (buffer.view(torch.float64).to(signal.dtype) for buffer in (self.impulse, self.powers))
        impulse = impulse[:chunk]
        pieces = functional.pad(signal, (0, -length % chunk)).unflatten(1, (-1, chunk))
        memory, starts = start, [start]
        for gained in (pieces @ impulse.flip(0))[:, :-1].unbind(1):
            memory = memory @ powers[-1].mT + gained
            starts.append(memory)
        begun = torch.stack(starts, 1)
        readouts = _readouts(weight, powers)[:chunk]
        inside = torch.einsum("bcq,pqd->bcpd", pieces, _lagged(readouts @ impulse[0]))
        carried = torch.einsum("bcn,pdn->bcpd", begun @ powers[0].mT, readouts)
        recalled = (inside + carried).flatten(1, 2)[:, :length]
        return recalled, _memory_after(counts, pieces, begun, impulse, powers)


def _responses(order: int, theta: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ā^t B̄ for t below the chunk, and Ā to the powers 1, 2, 4 and so on up to the chunk; a hold over one token.

    References:
        Voelker et al. 2019, "Legendre memory units" (A and B).
    """
    index = np.arange(order)
    rate = (2 * index + 1) / theta
    row, column = index[:, None], index[None, :]
    system = np.zeros((order + 1, order + 1))
    system[:order, :order] = rate[:, None] * np.where(row < column, -1.0, (-1.0) ** (row - column + 1))
    system[:order, order] = rate * (-1.0) ** index
    held: NDArray[np.float64] = np.asarray(expm(system), np.float64)
    impulse, powers = [held[:order, order]], [held[:order, :order]]
    for _ in range(CHUNK - 1):
        impulse.append(powers[0] @ impulse[-1])
    for _ in range(CHUNK.bit_length() - 1):
        powers.append(powers[-1] @ powers[-1])
    return np.stack(impulse), np.stack(powers)


def _guarded(values: NDArray[np.float64]) -> Tensor:
    # As integers, the bits survive a cast of the whole module to half precision, which would spoil the recurrence.
    return torch.tensor(values.view(np.int64))


def _readouts(weight: Float[Tensor, "d n"], powers: Float[Tensor, "k n n"]) -> Float[Tensor, "p d n"]:
    """W Ā^p for p below the chunk."""
    readouts = weight[None]
    for power in powers[:-1].unbind(0):
        readouts = torch.cat([readouts, readouts @ power])
    return readouts


def _lagged(response: Float[Tensor, "q d"]) -> Float[Tensor, "q q d"]:
    """The response at token p to the signal at token q: that of p - q tokens, none when q is later."""
    place = torch.arange(len(response), device=response.device)
    lag = place[:, None] - place[None, :]
    return response[lag.clamp(min=0)] * (lag >= 0)[..., None]


def _memory_after(
    counts: Int[Tensor, " b"],
    pieces: Float[Tensor, "b c q"],
    begun: Float[Tensor, "b c n"],
    impulse: Float[Tensor, "q n"],
    powers: Float[Tensor, "k n n"],
) -> Float[Tensor, "b n"]:
    """The memory after the first `counts` tokens, from that at the beginning of the chunk where they end."""
    chunk = pieces.shape[2]
    rows, number = torch.arange(len(counts), device=counts.device), (counts - 1).clamp(min=0) // chunk
    offset = counts - number * chunk
    memory = begun[rows, number]
    for bit, power in enumerate(powers.unbind(0)):
        memory = torch.where((offset >> bit & 1).bool()[:, None], memory @ power.mT, memory)
    lag = offset[:, None] - 1 - torch.arange(chunk, device=counts.device)
    return memory + torch.einsum("bq,bqn->bn", pieces[rows, number] * (lag >= 0), impulse[lag.clamp(min=0)])
