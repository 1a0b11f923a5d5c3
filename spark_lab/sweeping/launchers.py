"""What is known of Hydra's launchers beyond their own keys: what they need, and who divides the machine."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from omegaconf import DictConfig

from spark_lab.errors import Problem, UserError

# Runs at a time of a launcher that starts all of them at once.
ALL = 0


@dataclass(frozen=True)
class Launcher:
    """An option of hydra/launcher: the extra that brings it, and the module that shows it is there.

    `divides`: it hands out cores and GPUs itself, so that we don't.
    """

    name: str
    extra: str
    module: str
    divides: bool = False


_SUBMITIT = ("submitit", "hydra_plugins.hydra_submitit_launcher")
LAUNCHERS = {
    "BasicLauncher": Launcher("basic", "", "hydra"),
    "JoblibLauncher": Launcher("joblib", "joblib", "hydra_plugins.hydra_joblib_launcher"),
    "LocalLauncher": Launcher("submitit_local", *_SUBMITIT),
    "SlurmLauncher": Launcher("submitit_slurm", *_SUBMITIT, divides=True),
    "RayLauncher": Launcher("ray", "ray", "hydra_plugins.hydra_ray_launcher", divides=True),
}


def of(section: DictConfig) -> Launcher | None:
    """Which one `hydra.launcher` is; None for a launcher of the user's."""
    return LAUNCHERS.get(_target(section).rpartition(".")[2])


def workers(section: DictConfig) -> int | None:
    """Runs at a time, as the launcher's keys say: below 0 one a core, ALL, None where they don't."""
    known = of(section)
    if known is None or known.divides:
        return None
    if known.name == "submitit_local":
        return ALL
    return 1 if known.name == "basic" else section.n_jobs


def is_installed(launcher: Launcher) -> bool:
    package = launcher.module.partition(".")[0]
    return find_spec(package) is not None and find_spec(launcher.module) is not None


def check(section: DictConfig) -> None:
    """Raises UserError where the launcher can't start anything here."""
    known = of(section)
    if known is None:
        return
    where = f"hydra/launcher={known.name}"
    if not is_installed(known):
        fix = f"pip install 'spark-lab[{known.extra}]'"
        raise UserError(Problem(where, "a package that is not installed", known.module, fix))
    if known.name == "submitit_slurm" and shutil.which("sbatch") is None:
        fix = "type it on a node of the cluster, or hydra/launcher=submitit_local to rehearse"
        raise UserError(Problem(where, "no sbatch on this machine", "Slurm", fix))
    if known.name == "ray":
        _check_ray(section.ray.init, where)


@contextmanager
def leaving(section: DictConfig) -> Iterator[None]:
    """Says at Ctrl-C what it does not end: other launchers' jobs end with the command."""
    try:
        yield
    except KeyboardInterrupt:
        known = of(section)
        if known is not None and known.name == "submitit_slurm":
            left = "The jobs stay in Slurm's queue and go on: squeue --me shows them, and"
            print(f"\n{left} scancel --me --name {section.name} ends them.", file=sys.stderr)
        raise


def _check_ray(init: Any, where: str) -> None:
    """What Ray takes for the cluster that it starts only."""
    if init.get("address") in (None, "local"):
        return
    ours = [key for key in ("num_cpus", "object_store_memory") if init.get(key) is not None]
    if ours:
        keys = " ".join(f"hydra.launcher.ray.init.{key}=null" for key in ours)
        got = f"{', '.join(ours)} with hydra.launcher.ray.init.address={init.address}"
        raise UserError(Problem(where, got, "a running cluster's own sizes", keys))


def _target(section: DictConfig) -> str:
    return str(section.get("_target_"))
