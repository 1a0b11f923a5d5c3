"""`spark-lab doctor`: what works on this machine, what is missing, and how to get it."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import shutil
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

GOOD, MISSING, NOTE = "ok", "MISSING", "note"
# Extras of pyproject.toml: the distribution that shows they are there, and what they are for.
EXTRAS = {
    "joblib": (
        "hydra-joblib-launcher",
        "hydra/launcher=joblib: runs side by side, on this machine",
    ),
    "submitit": ("hydra-submitit-launcher", "hydra/launcher=submitit_slurm: runs as jobs of Slurm"),
    "ray": ("hydra-ray-launcher", "hydra/launcher=ray: runs on a cluster of Ray"),
    "vllm": ("vllm", "trainer.vllm: fast rollouts on GPUs"),
    "deepspeed": ("deepspeed", "spark-lab accelerate zero3: one run over several GPUs"),
    "qlora": ("bitsandbytes", "model/lora=qlora: 4-bit weights below adapters"),
    "reasoning-gym": ("reasoning-gym", "task=reasoning_gym: questions of 105 generators"),
    "lm-eval": ("lm-eval", "spark-lab eval suite=lm_eval:NAME: its tasks"),
    "cmaes": ("cmaes", "hydra/sweeper/sampler=cmaes"),
    "postgres": ("psycopg", "hydra.sweeper.storage=postgresql://...: a search on a server"),
    "dashboard": ("optuna-dashboard", "optuna-dashboard: a search in the browser"),
}
_ROOM = 2 * 2**30


@dataclass(frozen=True, slots=True)
class Finding:
    """`level` is ok, MISSING (a run can't work without it) or note (something is optional)."""

    level: str
    subject: str
    detail: str
    fix: str = ""

    def __str__(self) -> str:
        line = f"{self.level:<8} {self.subject:<14} {self.detail}"
        return f"{line}\n{'':<24}-> {self.fix}" if self.fix else line


def main(argv: list[str]) -> int:
    """Exit code 1 where something that a run needs is missing."""
    parser = argparse.ArgumentParser(prog="spark-lab doctor", description=__doc__)
    parser.add_argument(
        "root", nargs="?", default="runs", help="folder of the runs (default: runs)"
    )
    root = Path(parser.parse_args(argv).root)
    findings = [_python(), *_packages(), *_device(), *_root(root), _git(), _chromium()]
    findings += [*_extras(), _slurm()]
    print("\n".join(map(str, findings)))
    missing = sum(finding.level == MISSING for finding in findings)
    print(f"\n{missing} thing(s) missing" if missing else "\nReady: type spark-lab")
    return 1 if missing else 0


def _python() -> Finding:
    version = platform.python_version()
    if (3, 11) <= sys.version_info < (3, 14):
        return Finding(GOOD, "python", version)
    return Finding(MISSING, "python", version, "install Python 3.11, 3.12 or 3.13")


def _packages() -> list[Finding]:
    """Each requirement of spark-lab against what is installed."""
    findings = []
    try:
        texts = metadata.requires("spark-lab") or []
    except metadata.PackageNotFoundError:
        findings = [Finding(NOTE, "spark-lab", "runs from a checkout", "make install")]
        texts = _checkout_requirements()
    needed = [Requirement(text) for text in texts]
    core = [one for one in needed if "extra" not in str(one.marker or "")]
    return findings + [_package(one) for one in core]


def _checkout_requirements() -> list[str]:
    project = Path(__file__).resolve().parent.parent / "pyproject.toml"
    return tomllib.loads(project.read_text(encoding="utf-8"))["project"]["dependencies"]


def _package(needed: Requirement) -> Finding:
    try:
        version = metadata.version(needed.name)
    except metadata.PackageNotFoundError:
        fix = f"pip install '{needed}'"
        return Finding(MISSING, needed.name, f"absent, {needed.specifier} needed", fix)
    if not needed.specifier.contains(Version(version), prereleases=True):
        fix = f"pip install '{needed}'"
        return Finding(MISSING, needed.name, f"{version}, {needed.specifier} needed", fix)
    return Finding(GOOD, needed.name, version)


def _device() -> list[Finding]:
    cores = os.cpu_count() or 1
    findings = [Finding(GOOD, "processor", f"{cores} cores, {platform.machine()}")]
    try:
        torch = importlib.import_module("torch")
    except (ImportError, OSError) as error:
        fix = "pip install --force-reinstall 'torch==2.13.*'"
        return [*findings, Finding(MISSING, "torch", f"can't be loaded: {error}", fix)]
    if not torch.cuda.is_available() and shutil.which("nvidia-smi"):
        text = f"nvidia-smi is there, and torch {torch.__version__} finds none"
        fix = "a newer driver, or pip install --force-reinstall 'torch==2.13.*' built for CUDA"
        return [*findings, Finding(NOTE, "gpu", text, fix)]
    if not torch.cuda.is_available():
        text = "none: the tiny model needs none, a language model does"
        return [*findings, Finding(NOTE, "gpu", text)]
    names = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    shown = ", ".join(f"{gpu.name} ({gpu.total_memory / 2**30:.0f} GiB)" for gpu in names)
    return [*findings, Finding(GOOD, "gpu", shown)]


def _root(root: Path) -> list[Finding]:
    """Write access and room, in the nearest folder above that exists."""
    folder = next(path for path in [root.absolute(), *root.absolute().parents] if path.exists())
    try:
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
    except OSError as error:
        fix = "root=PATH with a folder that you may write to"
        return [Finding(MISSING, "root", f"{folder}: {error.strerror}", fix)]
    free = shutil.disk_usage(folder).free
    room = f"{free / 2**30:.1f} GiB free"
    if free < _ROOM:
        fix = "root=PATH on another disk, or trainer.keep_checkpoints=1"
        return [Finding(GOOD, "root", str(folder)), Finding(NOTE, "disk", room, fix)]
    return [Finding(GOOD, "root", str(folder)), Finding(GOOD, "disk", room)]


def _git() -> Finding:
    if shutil.which("git"):
        return Finding(GOOD, "git", "found")
    return Finding(NOTE, "git", "absent: runs don't record the commit", "apt install git")


def _chromium() -> Finding:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if shutil.which(name):
            return Finding(GOOD, "browser", name)
    text = "no chromium: only the tests of rendered pages need it"
    return Finding(NOTE, "browser", text, "apt install chromium")


def _extras() -> list[Finding]:
    """What is optional: launchers, vLLM, DeepSpeed and others."""
    return [_extra(name, *found) for name, found in EXTRAS.items()]


def _extra(name: str, package: str, purpose: str) -> Finding:
    try:
        return Finding(GOOD, name, f"{metadata.version(package)}, {purpose}")
    except metadata.PackageNotFoundError:
        return Finding(NOTE, name, f"absent, {purpose}", f"pip install 'spark-lab[{name}]'")


def _slurm() -> Finding:
    if shutil.which("sbatch"):
        return Finding(GOOD, "slurm", "sbatch is here: hydra/launcher=submitit_slurm can be typed")
    text = "no sbatch: hydra/launcher=submitit_slurm is typed on a node of a cluster"
    return Finding(NOTE, "slurm", text)
