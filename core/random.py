"""Randomness as a function of what it is for, so that nothing needs rewinding on resume."""

import hashlib

import numpy as np


def derive_seed(*keys: int | str) -> int:
    """A 63-bit seed from any keys, such as (seed, "augment", epoch, index). Same keys, same seed, any machine."""
    text = "\x1f".join(f"{type(key).__name__}:{key}" for key in keys)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def derive_rng(*keys: int | str) -> np.random.Generator:
    """A NumPy generator that depends on the keys alone."""
    return np.random.default_rng(derive_seed(*keys))
