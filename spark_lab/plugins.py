"""What spark-lab adds to Hydra: the files of sweeps/ are primary configs (`spark-lab -cn NAME`), and
the sweeper of conf/hydra/sweeper/optuna.yaml."""

from __future__ import annotations

import warnings

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin

# The sweeper's address: Hydra takes plug-ins from below hydra_plugins only.
OPTUNA = "hydra_plugins.spark_lab.OptunaSweeper"


class SweepsSearchPath(SearchPathPlugin):
    """Lets Hydra find sweeps/, which `hydra.searchpath` can't do for primary configs."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        search_path.append(provider="spark-lab", path="pkg://spark_lab.sweeps")


def register() -> None:
    """Idempotent. Hydra's own scan doesn't see plug-ins of an editable install."""
    # conf/hydra/launcher explains the launchers' own options, under their own names.
    warnings.filterwarnings("ignore", r"\n'hydra/launcher/\w+' is validated against", UserWarning)
    Plugins.instance().register(SweepsSearchPath)
