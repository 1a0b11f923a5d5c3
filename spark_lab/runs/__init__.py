"""The run folder: identity, skip / resume / refuse, status, checkpoints, provenance. Nothing heavy."""

from spark_lab.runs.checkpoints import complete as complete_checkpoints
from spark_lab.runs.checkpoints import seal as seal_checkpoint
from spark_lab.runs.folder import Run, find_runs, is_written, open_run, recording
from spark_lab.runs.identity import (
    arm,
    arm_of,
    changes,
    folder_of,
    identity,
    in_identity,
    read_config,
    read_overrides,
    trial_arm,
    trial_of,
)
from spark_lab.runs.provenance import read_env, weights_digest, write_env
from spark_lab.runs.status import Pruned, read_status, truncate, write_status
from spark_lab.runs.twins import adopt
from spark_lab.runs.twins import find as find_twin

__all__ = [
    "Pruned",
    "Run",
    "adopt",
    "arm",
    "arm_of",
    "changes",
    "complete_checkpoints",
    "find_runs",
    "find_twin",
    "folder_of",
    "identity",
    "in_identity",
    "is_written",
    "open_run",
    "read_config",
    "read_env",
    "read_overrides",
    "read_status",
    "recording",
    "seal_checkpoint",
    "trial_arm",
    "trial_of",
    "truncate",
    "weights_digest",
    "write_env",
    "write_status",
]
