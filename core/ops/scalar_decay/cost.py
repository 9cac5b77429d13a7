"""Counted cost of the scalar-decay recurrence."""


def scalar_decay_cost(
    batch: int, length: int, heads: int, head_width: int, state: int, groups: int, chunk: int
) -> float:
    """Multiply-adds [MAC] of one forward pass in the chunked form, every chunk counted in full.

    A token and head: `chunk` rows of `head_width` within the chunk, and the state written and read once.
    The scores C·B are shared by the heads of a group.
    """
    a_head = chunk * head_width + 2 * state * head_width
    return float(batch) * length * (heads * a_head + groups * chunk * state)


def scalar_decay_bytes(
    batch: int, length: int, heads: int, head_width: int, state: int, groups: int, chunk: int, item: int = 4
) -> float:
    """Memory traffic [byte] of one forward pass whose chunks stay in fast memory, for numbers of `item` bytes.

    Every input is read and y written once; the state, in float32, is written and read once a chunk, and the
    log-decay is float32 too.
    """
    tokens = float(batch) * length
    sequences = tokens * item * (2 * heads * head_width + 2 * groups * state)
    return sequences + 4 * heads * (tokens + 2 * tokens / chunk * head_width * state)
