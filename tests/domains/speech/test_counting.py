"""Which voices are really there, on made-up outputs whose answer is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armillary.domains.speech.counting import present

VOICES = np.random.default_rng(0).standard_normal((5, 4000))


def there(*voices: np.ndarray) -> list[bool]:
    rows = np.stack(voices)
    return present(rows @ rows.T).tolist()


def test_different_voices_all_count():
    for count in range(1, 6):
        assert there(*VOICES[:count]) == [True] * count


def test_silence_has_no_voices():
    assert there(np.zeros(10), np.zeros(10)) == [False, False]


def test_a_faint_remainder_does_not_count():
    assert there(VOICES[0], 0.09 * VOICES[1]) == [True, False]
    assert there(0.11 * VOICES[0], VOICES[1]) == [True, True]


@pytest.mark.parametrize("scale", [0.5, 0.99, -0.5])
def test_a_copy_counts_once_and_the_louder_one_is_kept(scale: float):
    assert there(VOICES[0], scale * VOICES[0] + 0.01 * VOICES[1], VOICES[2]) == [True, False, True]


def test_one_speaker_shared_between_two_outputs_by_parts_of_time_counts_twice():
    # No rule on powers and correlations can know better: they differ as two speakers do who take turns.
    first = VOICES[0] * (np.arange(4000) < 2000)
    assert there(first, VOICES[0] - first) == [True, True]


def test_leaks_of_one_voice_into_the_others_do_not_hide_them():
    assert there(VOICES[0] + 0.3 * VOICES[1], VOICES[1] + 0.3 * VOICES[0]) == [True, True]


@given(st.permutations(range(4)), st.floats(1e-4, 1e4))
def test_order_and_level_change_nothing(order: list[int], scale: float):
    voices = [VOICES[0], 0.7 * VOICES[0], 0.05 * VOICES[1], 0.5 * VOICES[2]]
    expected = [True, False, False, True]
    assert there(*(scale * voices[place] for place in order)) == [expected[place] for place in order]
