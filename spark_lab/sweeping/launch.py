"""Hands the runs of a plan to whichever launcher of Hydra's was asked for."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from hydra._internal.callbacks import Callbacks
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, open_dict

from spark_lab import plugins
from spark_lab.schema import Config
from spark_lab.sweeping import launchers
from spark_lab.sweeping.axes import Axes
from spark_lab.sweeping.plan import PlannedRun
from spark_lab.sweeping.slots import cores
from spark_lab.sweeping.worker import ME, Outcome, run_one

T = TypeVar("T")


# A run's folder holds everything; Hydra is to leave nothing of its own.
_QUIET = (
    "hydra.output_subdir=null",
    "hydra.sweep.subdir=.",
    "hydra/job_logging=none",
    "hydra/hydra_logging=none",
)


class LaunchError(Exception):
    """A launcher could not start its jobs, or has lost some: the queue's, the cluster's own words."""


class WorkerLost(LaunchError):
    """A process of the launcher was killed, and the launcher has ended the others."""

    def __str__(self) -> str:
        return "a worker process was killed (out of memory?)"


def workers(axes: Axes, jobs: int) -> int | None:
    """Of `jobs` runs, how many at a time; None where the launcher alone knows (a cluster's queue)."""
    if axes.workers is None or axes.workers > 0:
        return axes.workers
    return jobs if axes.workers == launchers.ALL else cores()


def launch(axes: Axes, planned: list[PlannedRun]) -> list[Outcome]:
    """Runs them all; returns when the last one has ended, with the outcomes in order.

    Where a worker is killed, what is not done has stopped. What was planned is what runs, whatever
    happens to conf/ in the meantime.
    """
    job = partial(
        _job,
        configs=[run.config for run in planned],
        overrides=[list(run.overrides) for run in planned],
        workers=workers(axes, len(planned)),
        main_process=ME,
    )
    try:
        return launch_jobs(axes, job, len(planned), planned[0].config.root)
    except LaunchError as error:
        state = "stopped" if isinstance(error, WorkerLost) else "failed"
        return [Outcome("done") if run.done else Outcome(state, str(error)) for run in planned]


def launch_jobs(axes: Axes, job: Callable[[DictConfig], T], count: int, root: str) -> list[T]:
    """What `job` returned in each of `count` jobs of the command's launcher, in order.

    The launcher itself is used, as Hydra's sweeper only multiplies. Its jobs get no configuration,
    only their number (hydra.job.num). Raises LaunchError where the launcher fails, WorkerLost where
    one of its processes was killed, and what a job raised.
    """
    plugins.register()
    GlobalHydra.instance().clear()
    search_path = create_config_search_path("pkg://spark_lab.conf")
    hydra = Hydra.create_main_hydra2("spark-lab", search_path)
    quiet = [*_QUIET, f"hydra.sweep.dir='{Path(root).absolute()}'"]
    try:
        words = [*axes.launcher, *quiet]
        config = hydra.compose_config(axes.config_name, words, RunMode.MULTIRUN)
        with open_dict(config):
            config.hydra.job.config_name = None
            config.hydra.overrides.hydra = quiet
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=HydraContext(config_loader=hydra.config_loader, callbacks=Callbacks()),
            task_function=partial(_in_place, job=job, folder=str(Path.cwd())),
            config=config,
        )
        with launchers.leaving(config.hydra.launcher):
            returned = _launch(launcher, count)
    finally:
        GlobalHydra.instance().clear()
    return [one.return_value for one in returned]


def _launch(launcher: Any, count: int) -> Any:
    try:
        return launcher.launch([[] for _ in range(count)], initial_job_idx=0)
    except BrokenExecutor as error:
        raise WorkerLost from error
    # A job's own exception waits in its return value: this is the queue's or the cluster's, which
    # may be of any kind.
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        raise LaunchError(f"{type(error).__name__}: {lines[-1]}") from error


def _in_place(node: DictConfig, job: Callable[[DictConfig], T], folder: str) -> T:
    """Where the command was typed, as paths may be relative: some launchers begin elsewhere."""
    if Path(folder).is_dir():
        os.chdir(folder)
    return job(node)


def _job(
    node: DictConfig,
    configs: list[Config],
    overrides: list[list[str]],
    workers: int | None,
    main_process: str,
) -> Outcome:
    number = HydraConfig.get().job.num
    return run_one(configs[number], overrides[number], workers=workers, main_process=main_process)
