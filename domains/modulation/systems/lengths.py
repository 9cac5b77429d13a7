"""The check of networks whose weights belong to one length of frame."""

from torch import Tensor


def check_length(iq: Tensor, length: int, name: str) -> None:
    """Refuses frames of another length than the network was built for.

    Raises:
        ValueError: with both lengths.
    """
    if iq.shape[-1] != length:
        raise ValueError(
            f"{name}: frames of {iq.shape[-1]} samples, expected {length}: its weights belong to that length.\n"
            f"  Cut windows of {length} samples, or train anew with data.length={iq.shape[-1]} (and predict.window)."
        )
