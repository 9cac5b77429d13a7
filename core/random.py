"""Randomness as a function of what it is for, so that nothing needs rewinding on resume."""

import hashlib

import numpy as np
from jaxtyping import Float64, Int64, UInt64
from scipy.special import ndtri


def derive_seed(*keys: int | str) -> int:
    """A 63-bit seed from any keys, such as (seed, "augment", epoch, index). Same keys, same seed, any machine."""
    text = "\x1f".join(f"{type(key).__name__}:{key}" for key in keys)
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little") >> 1


def derive_rng(*keys: int | str) -> np.random.Generator:
    """A NumPy generator that depends on the keys alone."""
    return np.random.default_rng(derive_seed(*keys))


_GOLDEN, _FIRST, _SECOND = (np.uint64(n) for n in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def item_seeds(indices: Int64[np.ndarray, " n"], *keys: int | str) -> UInt64[np.ndarray, " n"]:
    """One 64-bit seed for each index, from the keys and the index alone."""
    return _scramble(_scramble(indices.astype(np.uint64) + np.uint64(1)) ^ np.uint64(derive_seed(*keys)))


def item_uniform(seeds: UInt64[np.ndarray, " n"], stream: str, count: int) -> Float64[np.ndarray, "n count"]:
    """`count` numbers in (0, 1) for each seed, equal to those it would get alone; other streams, other numbers.

    Many items draw at once, yet each as a function of its own seed: a generator object an item would cost more than
    the numbers.

    References:
        Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators" (SplitMix64).
    """
    start = _scramble(seeds ^ np.uint64(derive_seed("stream", stream)))
    steps = (np.arange(1, count + 1, dtype=np.uint64)) * _GOLDEN
    bits = _scramble(start[:, None] + steps[None, :]) >> np.uint64(11)
    return (bits.astype(np.float64) + 0.5) * 2.0**-53


def item_normal(seeds: UInt64[np.ndarray, " n"], stream: str, count: int) -> Float64[np.ndarray, "n count"]:
    """`count` standard normal numbers for each seed, as `item_uniform` through the inverse distribution."""
    return ndtri(item_uniform(seeds, stream, count))


def _scramble(bits: UInt64[np.ndarray, "..."]) -> UInt64[np.ndarray, "..."]:
    with np.errstate(over="ignore"):
        bits = (bits ^ (bits >> np.uint64(30))) * _FIRST
        bits = (bits ^ (bits >> np.uint64(27))) * _SECOND
    return bits ^ (bits >> np.uint64(31))
