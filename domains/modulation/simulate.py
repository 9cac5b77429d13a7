"""`simulate`: the files of a simulated set, or the small twin of a published one, in the set's native format.

Frame i of a seed depends on the seed and i alone; the same call gives the same bytes.
"""

from armillary.core.simulations import Simulation, Simulations
from armillary.domains.modulation.simulation.write_recordings import (
    write_satellites_twin,
    write_simulated_receiver_audio,
)
from armillary.domains.modulation.simulation.write_sets import (
    write_hisarmod_twin,
    write_regen_twin,
    write_rml2016a,
    write_rml2016a_twin,
    write_rml2016b_twin,
    write_rml2018_twin,
)

# 'default': 10,560 frames, or 90 recordings, in seconds. 'twin': a few, below 200 kB, one broken on purpose.
simulate = Simulations(
    "modulation",
    1,
    {
        "simulated_rml2016a": Simulation(write_rml2016a, ("default", "twin")),
        "simulated_receiver_audio": Simulation(write_simulated_receiver_audio, ("default", "twin")),
        "rml2016a": Simulation(write_rml2016a_twin, ("twin",)),
        "rml2016a_regen": Simulation(write_regen_twin, ("twin",)),
        "rml2016b": Simulation(write_rml2016b_twin, ("twin",)),
        "rml2018": Simulation(write_rml2018_twin, ("twin",)),
        "hisarmod": Simulation(write_hisarmod_twin, ("twin",)),
        "satellite_recordings": Simulation(lambda folder, seed, size: write_satellites_twin(folder, seed), ("twin",)),
    },
)
