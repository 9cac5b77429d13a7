"""The sounds that simulated speech is made of, and their order in syllables and phrases."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from armillary.domains.speech.simulation.speakers import Speaker


class Sound(NamedTuple):
    """One sound: how long it is relative to a usual one, the first three formants of a man [Hz], and two levels.

    voice_db: pulses through the tract; noise_db: noise of a band around noise_hz, as wide as noise_width_hz; noise
    with noise_hz 0 goes through the tract instead, as breath does. -inf is off.
    """

    name: str
    length: float
    formants_hz: tuple[float, float, float]
    voice_db: float
    noise_db: float = -np.inf
    noise_hz: float = 0.0
    noise_width_hz: float = 1.0


_OFF = -np.inf
# Means of men.
# References: Peterson and Barney 1952, "Control methods used in a study of the vowels", table II.
VOWELS = (
    Sound("i", 1.0, (270.0, 2290.0, 3010.0), -1.0),
    Sound("I", 0.8, (390.0, 1990.0, 2550.0), 0.0),
    Sound("E", 0.9, (530.0, 1840.0, 2480.0), 0.0),
    Sound("ae", 1.2, (660.0, 1720.0, 2410.0), 1.0),
    Sound("a", 1.2, (730.0, 1090.0, 2440.0), 1.0),
    Sound("O", 1.1, (570.0, 840.0, 2410.0), 0.0),
    Sound("U", 0.8, (440.0, 1020.0, 2240.0), 0.0),
    Sound("u", 1.0, (300.0, 870.0, 2240.0), -2.0),
    Sound("A", 0.9, (640.0, 1190.0, 2390.0), 0.0),
    Sound("er", 1.0, (490.0, 1350.0, 1690.0), -1.0),
)
# Plausible values: places of closures show in where the formants go.
CONSONANTS = (
    Sound("m", 0.7, (250.0, 1000.0, 2200.0), -12.0),
    Sound("n", 0.7, (250.0, 1500.0, 2400.0), -12.0),
    Sound("l", 0.6, (360.0, 1100.0, 2600.0), -10.0),
    Sound("r", 0.6, (330.0, 1100.0, 1600.0), -10.0),
    Sound("w", 0.6, (300.0, 700.0, 2200.0), -11.0),
    Sound("j", 0.6, (260.0, 2100.0, 2900.0), -11.0),
    Sound("s", 1.0, (320.0, 1700.0, 2600.0), _OFF, -16.0, 5500.0, 1500.0),
    Sound("S", 1.0, (320.0, 1800.0, 2500.0), _OFF, -14.0, 2900.0, 900.0),
    Sound("f", 0.9, (320.0, 1000.0, 2200.0), _OFF, -26.0, 3500.0, 4000.0),
    Sound("h", 0.6, (500.0, 1500.0, 2500.0), _OFF, -16.0),
    Sound("z", 0.8, (300.0, 1700.0, 2600.0), -18.0, -20.0, 5500.0, 1500.0),
    Sound("v", 0.7, (300.0, 1000.0, 2200.0), -16.0, -30.0, 3500.0, 4000.0),
    Sound("b", 0.7, (220.0, 800.0, 2200.0), -26.0),
    Sound("d", 0.7, (220.0, 1700.0, 2600.0), -26.0),
    Sound("g", 0.7, (220.0, 2000.0, 2300.0), -26.0),
    Sound("p", 0.8, (300.0, 800.0, 2200.0), _OFF),
    Sound("t", 0.8, (300.0, 1700.0, 2600.0), _OFF),
    Sound("k", 0.8, (300.0, 1900.0, 2400.0), _OFF),
)
# What follows the closure of a stop: its burst.
_BURSTS = {
    "b": Sound("b'", 0.12, (300.0, 800.0, 2200.0), -14.0, -18.0, 800.0, 1200.0),
    "d": Sound("d'", 0.12, (300.0, 1700.0, 2600.0), -14.0, -16.0, 3500.0, 1800.0),
    "g": Sound("g'", 0.15, (300.0, 2000.0, 2300.0), -14.0, -16.0, 2000.0, 900.0),
    "p": Sound("p'", 0.35, (400.0, 900.0, 2200.0), _OFF, -18.0, 800.0, 1500.0),
    "t": Sound("t'", 0.4, (400.0, 1700.0, 2600.0), _OFF, -14.0, 4000.0, 1800.0),
    "k": Sound("k'", 0.4, (400.0, 1900.0, 2400.0), _OFF, -15.0, 2000.0, 900.0),
}
PAUSE = Sound("_", 1.0, (500.0, 1500.0, 2500.0), _OFF)
_SOUND_S = 0.09  # a usual sound at 5 syllables a second
_CODA, _NO_ONSET = 0.4, 0.12  # chances


class Spoken(NamedTuple):
    """A sound in its place: seconds that it lasts, and the syllable's accent [semitones]; phrase: its number."""

    sound: Sound
    seconds: float
    accent: float
    phrase: int


def draw_speech(speaker: Speaker, seconds: float, rng: np.random.Generator) -> list[Spoken]:
    """Phrases of syllables with pauses between them, at least `seconds` long in all."""
    spoken: list[Spoken] = []
    total, phrase = 0.0, 0
    while total < seconds:
        for _ in range(int(rng.integers(4, 12))):
            spoken += _syllable(speaker, rng, phrase)
        spoken.append(Spoken(PAUSE, float(rng.uniform(0.15, 0.6)), 0.0, phrase))
        total = sum(one.seconds for one in spoken)
        phrase += 1
    return spoken


def _syllable(speaker: Speaker, rng: np.random.Generator, phrase: int) -> list[Spoken]:
    """Onset, vowel and perhaps a coda; an accented one is longer."""
    accent = float(rng.normal())
    stretch = float(np.exp(rng.normal(0.12 * accent, 0.15))) * 5 / speaker.syllables_hz
    sounds: list[Sound] = []
    if rng.random() > _NO_ONSET:
        sounds += _consonant(rng)
    vowel = VOWELS[int(rng.integers(len(VOWELS)))]
    sounds.append(vowel._replace(length=vowel.length * 1.25, voice_db=vowel.voice_db + 1.5 * accent))
    if rng.random() < _CODA:
        sounds += _consonant(rng)
    return [Spoken(sound, sound.length * _SOUND_S * stretch, accent, phrase) for sound in sounds]


def _consonant(rng: np.random.Generator) -> Sequence[Sound]:
    sound = CONSONANTS[int(rng.integers(len(CONSONANTS)))]
    return (sound, _BURSTS[sound.name]) if sound.name in _BURSTS else (sound,)
