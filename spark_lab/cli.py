"""The `spark-lab` command: a first word that names a command, otherwise an experiment for Hydra.

Nothing heavy is imported here: help, errors and `--cfg job` answer before torch could load.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib import import_module
from typing import NoReturn

from spark_lab.errors import Collapse, UserError, unknown

# Command, the function that handles the words after it, and what it is for.
COMMANDS = {
    "runs": ("spark_lab.viewing:show_runs", "table of runs: arm, seed, status, headline metrics"),
    "rollouts": ("spark_lab.viewing:show_rollouts", "what the model wrote, and how it was graded"),
    "ui": ("spark_lab.tracking.ui:serve", "MLflow's pages of these runs, on this machine only"),
    "sync": ("spark_lab.tracking.sync:main", "rebuild MLflow's copy from the run folders"),
    "eval": ("spark_lab.assessing.command:main", "measure a checkpoint, or any model"),
    "solve": ("spark_lab.assessing.solving:main", "watch a model answer, judge and reflect"),
    "report": (
        "spark_lab.analysis.report:main",
        "verdicts, tables and figures of sweeps, on one page",
    ),
    "pretrain": (
        "spark_lab.models.pretrain:main",
        "rebuild a shipped model from its recipe",
    ),
    "accelerate": (
        "spark_lab.accelerate.command:main",
        "where the files for accelerate launch are: ddp, fsdp2, zero3",
    ),
    "doctor": ("spark_lab.doctor:main", "check the installation and say what is missing"),
}

INTERRUPTED = 130
FAILED = 1
BAD_INPUT = 2


def main() -> None:
    """Entry point of the console script. Exit codes: 0 done, 1 failed, 2 bad input, 130 Ctrl-C."""
    try:
        _dispatch(sys.argv[1:])
    except UserError as error:
        _refuse(error)
    except BrokenPipeError:  # `spark-lab runs | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        print(
            "\nStopped. Type the same command to go on from the last checkpoint.", file=sys.stderr
        )
        sys.exit(INTERRUPTED)


def _dispatch(words: list[str]) -> None:
    first = words[0] if words else ""
    if first in COMMANDS:
        sys.exit(_handler(first)(words[1:]))
    if first in ("-h", "--help", "help"):
        from spark_lab.manual import help_text

        print(help_text(COMMANDS))
        return
    if first and not first.startswith("-") and "=" not in first and not first.startswith("~"):
        raise UserError(unknown(f"spark-lab {first}", first, COMMANDS, "spark-lab "))
    _experiment(words)


def _handler(command: str) -> Callable[[list[str]], int | None]:
    module, _, function = COMMANDS[command][0].partition(":")
    return getattr(import_module(module), function)


def _experiment(words: list[str]) -> None:
    import hydra
    from hydra._internal.utils import get_args_parser

    from spark_lab import config, plugins, preflight
    from spark_lab.sweeping import sweep

    args = get_args_parser().parse_intermixed_args(words)
    name = args.config_name or "config"
    if args.experimental_rerun is not None:
        raise SystemExit("--experimental-rerun loads a pickle, which could run anything: refused")
    if args.cfg or args.info:
        node = config.compose_node(args.overrides, name)
        if args.cfg == "job" and args.package is None:
            print(config.shown(node, resolve=args.resolve), end="")
            return
    elif not (args.hydra_help or args.shell_completion):
        plan = sweep.planned(name, args.overrides, args.multirun)
        if plan is not None:
            _refuse_shared_sweep()
            sys.exit(sweep.run(plan, words))
        if preflight.sweeper_of(name, args.overrides, args.multirun) == plugins.OPTUNA:
            from spark_lab.tuning import plugin

            sys.exit(plugin.multirun(name, args.overrides))
        preflight.check_command(name, args.overrides, args.multirun)
    plugins.register()
    hydra.main(version_base="1.3", config_path="pkg://spark_lab.conf", config_name="config")(_job)()


def _refuse_shared_sweep() -> None:
    from spark_lab import ranks
    from spark_lab.errors import Problem

    if ranks.count() > 1:
        got = f"a sweep, started in {ranks.count()} processes at once"
        fix = "torchrun for single runs, or spark-lab -m with hydra/launcher=joblib for a sweep"
        raise UserError(Problem("torchrun", got, "one run that all processes share", fix))


def _job(node) -> None:
    from hydra.core.hydra_config import HydraConfig

    from spark_lab.config import to_config

    try:
        config = to_config(node)
        if config.dry_run:
            from spark_lab.manual import plan_text

            print(plan_text(config))
            return
        from spark_lab import runner

        runner.run(config, list(HydraConfig.get().overrides.task))
    except UserError as error:
        # Hydra would wrap it into a traceback.
        _refuse(error)


def _refuse(error: UserError) -> NoReturn:
    if isinstance(error, Collapse):
        print(f"stopped before the end of the budget\n\n{error}", file=sys.stderr)
        sys.exit(FAILED)
    count = len(error.problems)
    print(f"{count} problem{'s' if count > 1 else ''} with the input\n\n{error}", file=sys.stderr)
    sys.exit(BAD_INPUT)


if __name__ == "__main__":
    main()
