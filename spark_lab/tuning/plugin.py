"""The search as a sweeper of Hydra's: `hydra/sweeper=optuna`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import ModuleType

from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from spark_lab.plugins import OPTUNA
from spark_lab.tuning import command, search


class OptunaSweeper(Sweeper):
    """Hydra makes it with the keys of hydra.sweeper, which it reads from the configuration itself."""

    def __init__(self, **_: object):
        self._config: DictConfig | None = None

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self._config = config

    def sweep(self, arguments: list[str]) -> int:
        """The exit code. Raises UserError for bad input, before a trial starts."""
        assert self._config is not None, "Hydra calls setup first"
        section = self._config.hydra
        name = section.job.config_name or "config"
        overrides = [*OmegaConf.to_container(section.overrides.hydra), *arguments]
        found = search.read(name, overrides, multirun=True)
        assert found is not None, "Hydra made this sweeper for this command"
        return command.run(found, _typed(name, overrides))


def register() -> None:
    """Idempotent. Hydra takes sweepers from modules below hydra_plugins only."""
    module, _, name = OPTUNA.rpartition(".")
    if module not in sys.modules:
        OptunaSweeper.__module__ = module
        sys.modules[module] = ModuleType(module)
        setattr(sys.modules[module], name, OptunaSweeper)
    Plugins.instance().register(OptunaSweeper)


def multirun(config_name: str, overrides: Sequence[str]) -> int:
    """Have Hydra run a multirun whose sweeper this is; the exit code."""
    search.refuse_swept_settings(list(overrides))
    register()
    GlobalHydra.instance().clear()
    try:
        hydra = Hydra.create_main_hydra2(
            "spark-lab", create_config_search_path("pkg://spark_lab.conf")
        )
        return hydra.multirun(config_name, _no_job, list(overrides), with_log_configuration=False)
    finally:
        GlobalHydra.instance().clear()


def _no_job(node: DictConfig) -> None:
    raise AssertionError("the search has jobs of its own")


def _typed(name: str, overrides: list[str]) -> list[str]:
    """The command that the sweeper was made for."""
    multi = [text for text in overrides if not text.startswith("hydra.mode=")]
    return (["-m"] if name == "config" else ["-cn", name]) + multi
