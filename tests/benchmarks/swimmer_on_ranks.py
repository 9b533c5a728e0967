"""The active swimmer on several ranks; started by the launcher, ``mpiexec -n 2 python swimmer_on_ranks.py ...``.

Rank 0 prints one line of JSON: the wall time and the CPU time of all ranks for a simulation, interpreter and first
compilation left out, and a digest of all the states.
"""

import hashlib
import json
import sys

import numpy as np
from alternating_runs import timed

from physcore import world
from simulations import ActiveSwimmer, simulate


def main() -> None:
    """Simulate twice, time the second."""
    settings = json.loads(sys.argv[1])
    ranks = world()

    def run() -> object:
        made = simulate(ActiveSwimmer(), communicator=ranks, **settings)
        ranks.barrier()
        return made

    run()
    trajectories, timing = timed(run)
    cpu = sum(ranks.gather(timing.cpu))
    digest = hashlib.sha256()
    for name in ("x", "v"):
        digest.update(np.ascontiguousarray(trajectories[name].transpose("time", "path").values).tobytes())
    if ranks.rank == 0:
        print(json.dumps({"cpu": cpu, "wall": timing.wall, "digest": digest.hexdigest()}))


if __name__ == "__main__":
    main()
