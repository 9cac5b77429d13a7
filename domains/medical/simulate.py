"""`simulate`: the files of the simulated chest films, or the small twin of a published set, in the set's own layout.

Each picture depends on the seed and its number alone; the same call gives the same bytes. Nothing in them is of people.
"""

from armillary.core.simulations import Simulation, Simulations
from armillary.domains.medical.simulation.write_arrays import write_medmnist_twin, write_pneumoniamnist_twin
from armillary.domains.medical.simulation.write_chase import write_chase_twin
from armillary.domains.medical.simulation.write_films import (
    write_chexpert_twin,
    write_cxr14_mini_twin,
    write_cxr14_twin,
    write_hannover_twin,
    write_structures_twin,
)
from armillary.domains.medical.simulation.write_folder import write_image_folder_twin, write_simulated_chest

# 'default': about 600 films of 240 people, in seconds. 'twin': a few pictures, below 200 kB, one broken on purpose.
simulate = Simulations(
    "medical",
    1,
    {
        "simulated_chest": Simulation(write_simulated_chest, ("default", "twin")),
        "image_folder": Simulation(write_image_folder_twin, ("twin",)),
        "nih_cxr14": Simulation(write_cxr14_twin, ("twin",)),
        "nih_cxr14_mini": Simulation(write_cxr14_mini_twin, ("twin",)),
        "chexpert": Simulation(write_chexpert_twin, ("twin",)),
        "hannover_covid_cxr": Simulation(write_hannover_twin, ("twin",)),
        "covid_cxr_structures": Simulation(write_structures_twin, ("twin",)),
        "pneumoniamnist": Simulation(write_pneumoniamnist_twin, ("twin",)),
        "medmnist": Simulation(write_medmnist_twin, ("twin",)),
        "chase_db1": Simulation(write_chase_twin, ("twin",)),
    },
)
