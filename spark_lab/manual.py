"""What `spark-lab --help` and `dry_run=true` print."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files

from spark_lab import runs
from spark_lab.costs import cost_text
from spark_lab.schema import Config

_HEAD = """\
spark-lab: does training a model as its own judge (SPARK, arXiv 2509.22624) help, and which part of it?

  spark-lab                                             SPARK on the shipped tiny model, on a CPU
  spark-lab objective=none                              the baseline: plain GRPO
  spark-lab objective=[pointwise,reflect] seed=1        two of the objectives (quote [ ] in zsh)
  spark-lab -m objective=none,pointwise,spark seed=0,1  one run for each combination
  spark-lab -cn objectives                              a named sweep: every choice of objectives
  spark-lab -cn tune_mix                                a named search: Optuna asks, runs answer
  spark-lab model=local model.path=DIR task=data task.data.train_path=A task.data.eval_path=B

The same command twice costs nothing: finished runs are skipped, interrupted ones go on.
"""

_TAIL = """\
Any key can be set as KEY=VALUE, such as trainer.learning_rate=1e-4 or budget.limit=100; conf/ in the
source explains each one above its default.

Flags
  -m, --multirun      one run for each combination of comma-separated values, then a report
  -cn NAME            a named sweep; hydra/launcher=joblib hydra.launcher.n_jobs=4 runs four at once
  --cfg job           print the whole configuration instead of running it
  dry_run=true        print where the runs would go, which are done, and how large the rest is
  retry=1             start a failed run of a multirun once more
  --info, --hydra-help, -sc install=bash       Hydra's own: what was composed, help, tab completion
"""


_WIDTH = len("hydra/sweeper/sampler")
# Options that Hydra ships.
_HYDRAS = {"hydra/launcher": ("basic",), "hydra/sweeper": ("basic",)}


def help_text(commands: Mapping[str, tuple[str, str]]) -> str:
    """Commands and groups; the options are those that conf/ holds."""
    rows = "".join(f"  spark-lab {name:<10} {line}\n" for name, (_, line) in commands.items())
    groups = "".join(f"  {name:<{_WIDTH}} {options}\n" for name, options in _groups().items())
    sweeps = ", ".join(_options("spark_lab.sweeps", ""))
    return (
        f"{_HEAD}\nCommands\n{rows}\nGroups (GROUP=OPTION; * is the default)\n{groups}"
        f"  {'-cn':<{_WIDTH}} {sweeps}\n\n{_TAIL}"
    )


def plan_text(config: Config) -> str:
    """What a run would be, without starting it."""
    trainer, folder = config.trainer, runs.folder_of(config)
    status = runs.read_status(folder)
    state = status.get("state", "new")
    rows = trainer.prompts_per_window * trainer.group_size
    return (
        f"{runs.arm_of(config)}  seed {config.seed}\n"
        f"  folder   {folder} ({state})\n"
        f"  model    {config.model.path}\n"
        f"  window   {trainer.prompts_per_window} groups x {trainer.group_size} = {rows} rollouts, "
        f"{config.schedule.kind}\n"
        f"  budget   {config.budget.limit:g} {config.budget.unit}\n"
        f"{cost_text(config)}\n"
    )


def _groups() -> dict[str, str]:
    text = (files("spark_lab.conf") / "config.yaml").read_text(encoding="utf-8")
    chosen = dict(re.findall(r"(?m)^  - ([\w/]+): \[?(\w+)\]?$", text))
    # Hydra's own way of a multirun, and what a search has besides.
    chosen |= {"hydra/launcher": "basic"}
    chosen |= {"hydra/sweeper": "basic", "hydra/sweeper/sampler": "tpe"}
    chosen["hydra/sweeper/pruner"] = "none"
    return {
        group: ", ".join(
            f"{option}*" if option == default else option
            for option in [*_HYDRAS.get(group, ()), *_options("spark_lab.conf", group)]
        )
        for group, default in chosen.items()
    }


def _options(package: str, group: str) -> list[str]:
    folder = files(package).joinpath(*group.split("/")) if group else files(package)
    names = (entry.name for entry in folder.iterdir())
    return sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))
