"""First weights as the published convolutional and recurrent networks draw them."""

import torch
from torch import nn


@torch.no_grad()
def glorot(network: nn.Module) -> None:
    """Glorot-uniform kernels, orthogonal recurrent maps, zero biases except 1 at an LSTM's forget gate.

    These are the defaults of the library that the published networks were written in; torch's own draw smaller
    kernels, and an LSTM that forgets half of its state in each step at first.

    References:
        Glorot and Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks", eq. 16.
        Jozefowicz et al. 2015, "An empirical exploration of recurrent network architectures", section 2.2.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.LSTM | nn.GRU):
            _recurrent(module)


def _recurrent(module: nn.RNNBase) -> None:
    for name, weight in module.named_parameters():
        if name.startswith("weight_ih"):
            nn.init.xavier_uniform_(weight)
        elif name.startswith("weight_hh"):
            nn.init.orthogonal_(weight)
        else:
            nn.init.zeros_(weight)
            if name.startswith("bias_ih") and isinstance(module, nn.LSTM):
                # torch's order of the gates: input, forget, cell, output.
                weight[module.hidden_size : 2 * module.hidden_size] = 1.0
