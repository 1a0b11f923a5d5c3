"""Hands the runs of a plan to whichever launcher of Hydra's was asked for."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig

from spark_lab.sweeping.axes import Axes
from spark_lab.sweeping.plan import PlannedRun
from spark_lab.sweeping.slots import cores
from spark_lab.sweeping.worker import Outcome, run_one


def workers(axes: Axes) -> int | None:
    """Runs at a time, None where the launcher alone knows (a cluster's queue)."""
    if axes.workers is None or axes.workers > 0:
        return axes.workers
    return cores()


def launch(axes: Axes, planned: list[PlannedRun]) -> list[Outcome]:
    """Runs them all; returns when the last one has ended, with the outcomes in order.

    Hydra's own sweeper only multiplies; arms that are named one by one need the launcher itself.
    """
    GlobalHydra.instance().clear()
    search_path = create_config_search_path("pkg://spark_lab.conf")
    hydra = Hydra.create_main_hydra2("spark-lab", search_path)
    try:
        config = hydra.compose_config(
            config_name=axes.config_name,
            overrides=[*axes.launcher, *axes.fixed],
            run_mode=RunMode.MULTIRUN,
        )
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=HydraContext(config_loader=hydra.config_loader, callbacks=Callbacks()),
            task_function=partial(_job, workers=workers(axes), main_process=os.getpid()),
            config=config,
        )
        jobs = [list(run.overrides) for run in planned]
        returned: Any = launcher.launch(jobs, initial_job_idx=0)
    finally:
        GlobalHydra.instance().clear()
    return [job.return_value for job in returned]


def _job(node: DictConfig, workers: int | None, main_process: int) -> Outcome:
    overrides = list(HydraConfig.get().overrides.task)
    return run_one(node, overrides, workers=workers, main_process=main_process)
