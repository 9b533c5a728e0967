"""The verb ``fit``: from trajectories to a time-dependent score."""

from pathlib import Path

import torch
import xarray as xr

from physcore.communicator import Communicator, SerialCommunicator
from physcore.process import Process
from physcore.score.batches import TrajectoryBatches
from physcore.score.checkpoint import METRICS
from physcore.score.model import ScoreModel
from physcore.score.objectives import LocalDenoising, Objective
from physcore.score.optimization import Optimization
from physcore.score.parametrizations import Local, Parametrization
from physcore.score.pool import SamplePool
from physcore.score.source import Fresh, FreshTrajectories, Source, Stored
from physcore.score.trainer import Trainer
from physcore.score.training import Training
from physcore.stopping import NEVER, StopRequest
from physcore.streams import Streams, random_seed, validated_seed

__all__ = ["fit"]


def fit(
    process: Process,
    trajectories: xr.Dataset | FreshTrajectories,
    *,
    objective: Objective | None = None,
    model: Parametrization | None = None,
    training: Training | None = None,
    seed: int | None = None,
    device: str | torch.device = "cpu",
    checkpoints: str | Path | None = None,
    metrics: str | Path | None = None,
    communicator: Communicator | None = None,
    stop: StopRequest = NEVER,
) -> ScoreModel:
    """Learn the time-dependent score of a process from its trajectories.

    Arguments:
        process: The process that made the trajectories.
        trajectories: Dataset with dimensions ``path`` and ``time``, as ``simulate`` returns it; or what simulates
            fresh ones while learning, such as ``simulations.FreshSimulation``, of which nothing is stored.
        objective: What is minimised; ``LocalDenoising()`` when None.
        model: The parametrisation and its network; ``Local()`` when None.
        training: Steps, batch, learning rate and the rest; ``Training()`` when None.
        seed: Seed of parameters and batches, 0 <= seed < 2^64; drawn when None.
        device: Where to train; trajectories are held there.
        checkpoints: Folder for the states of an unfinished fit. One that holds a state of the same fit is continued,
            to the same result as without the interruption. ``best.pt`` is the best score so far.
        metrics: File of comma-separated values, rewritten whole at each validation; ``metrics.csv`` beside the
            checkpoints when None, if these are kept.
        communicator: Ranks that share each batch; serial when None. Every rank returns the same score.
        stop: Asked every few steps.

    Returns:
        The score with averaged parameters, the last ones or, if these are worse by more than the noise of the
        validation loss, the best; its ``history`` is a Dataset of losses, whose attribute ``objective`` tells the lags
        that were chosen.

    Raises:
        DataFileError: If the trajectories do not fit the process or the objective.
        NumericalError: If losses or gradients are not finite in more steps than may be skipped; steps and ranks are
            named, and the best score so far is kept with the checkpoints.
        ValueError: If a setting is out of range, or the checkpoints belong to another fit.
        Stopped: If a stop was requested; the next call with the same checkpoints continues.
    """
    given, model, training = objective or LocalDenoising(), model or Local(), training or Training()
    if training.compile and given.twice_differentiated:
        raise ValueError(f"`compile` is not for {given}, which differentiates the network twice; set it to False.")
    communicator = communicator or SerialCommunicator()
    seed = validated_seed(communicator.broadcast(random_seed() if seed is None else seed))
    device = torch.device(device)
    folder = None if checkpoints is None else Path(checkpoints)
    if metrics is None and folder is not None:
        metrics = folder / METRICS
    source = _source(process, trajectories, training, seed=seed, device=device, communicator=communicator)
    pilot = source.round(0).pilot
    objective = given.fitted(pilot)
    settings: dict[str, str | int] = {
        "objective": repr(given),
        "model": repr(model),
        "training": repr(training),
        "seed": str(seed),
        "paths": source.held_out.states.shape[1],
        "source": source.description,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(Streams(seed, "fit/parameters").generator().initial_seed())
        time_range = source.held_out.time_range(objective.schedule)
        score = model.build(process, pilot, objective.schedule, time_range).to(device)
    trainer = Trainer(
        pool=SamplePool(
            source=source, objective=objective, model=score, training=training, seed=seed, communicator=communicator
        ),
        optimization=Optimization(score, training, communicator),
        seed=seed,
        settings=settings,
        communicator=communicator,
        folder=folder,
        metrics=None if metrics is None else Path(metrics),
        stop=stop,
    )
    return trainer.run()


def _source(
    process: Process,
    trajectories: xr.Dataset | FreshTrajectories,
    training: Training,
    *,
    seed: int,
    device: torch.device,
    communicator: Communicator,
) -> Source:
    if isinstance(trajectories, FreshTrajectories):
        return Fresh(process, trajectories, training, seed=seed, device=device, communicator=communicator)
    return Stored(TrajectoryBatches(process, trajectories, training, device))
