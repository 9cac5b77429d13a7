"""`simulate`: the files of the simulated set, or the small twin of a published one, in the set's native layout.

What is spoken depends on the seed, the speaker and the number of the utterance alone; the same call gives the same
bytes.
"""

from armillary.core.simulations import Simulation, Simulations
from armillary.domains.speech.simulation.twins_of_folders import (
    write_librimix_twin,
    write_wham_twin,
    write_whamr_twin,
    write_wsj0_mix_twin,
)
from armillary.domains.speech.simulation.twins_of_lists import (
    write_libri2mix_mini_twin,
    write_librispeech_mini_twin,
    write_noise_twin,
    write_spoken_digits_twin,
)
from armillary.domains.speech.simulation.write_voices import write_simulated_voices

# 'default': 3.8 minutes of voices in 88 mixtures, in seconds. 'twin': a few, below 200 kB, one broken on purpose.
simulate = Simulations(
    "speech",
    1,
    {
        "simulated_voices": Simulation(write_simulated_voices, ("default", "twin")),
        "libri2mix_mini": Simulation(lambda folder, seed, size: write_libri2mix_mini_twin(folder, seed), ("twin",)),
        "librispeech_mini": Simulation(lambda folder, seed, size: write_librispeech_mini_twin(folder, seed), ("twin",)),
        "speech_commands_noise": Simulation(lambda folder, seed, size: write_noise_twin(folder, seed), ("twin",)),
        "fsdd_subset": Simulation(lambda folder, seed, size: write_spoken_digits_twin(folder, seed), ("twin",)),
        "librimix": Simulation(lambda folder, seed, size: write_librimix_twin(folder, seed), ("twin",)),
        "wsj0_mix": Simulation(lambda folder, seed, size: write_wsj0_mix_twin(folder, seed), ("twin",)),
        "wham": Simulation(lambda folder, seed, size: write_wham_twin(folder, seed), ("twin",)),
        "whamr": Simulation(lambda folder, seed, size: write_whamr_twin(folder, seed), ("twin",)),
    },
)
