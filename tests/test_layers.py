"""Imports go down only. Parsed, not imported."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# From top to bottom; a module may import from lower layers, and from its own part.
LAYERS = [
    {"cli"},
    {"assessing", "tuning"},
    {"accelerate", "doctor", "manual", "sweeping", "viewing"},
    {"runner"},
    {"costs", "observer"},
    {"build", "benchmarks"},
    {"training", "evaluation", "tracking"},
    {"preflight"},
    {"config"},
    {"mistakes", "plugins", "validation"},
    {
        "objectives",
        "recycling",
        "rewards",
        "runs",
        "tasks",
        "models",
        "limits",
        "trl_fields",
        "compatibility",
        "vllm",
    },
    {"answers", "drawing", "prompts", "durable", "ranks"},
    {"schema", "records", "errors"},
]
LEVEL = {part: level for level, layer in enumerate(LAYERS) for part in layer}
# The recycler composes items through the objectives' protocol.
ALLOWED = {("recycling", "objectives")}
HEAVY = {"torch", "trl", "transformers", "mlflow", "optuna", "pandas", "datasets", "peft"}
LIGHT = [
    "cli",
    "manual",
    "sweeping",
    "tuning",
    "preflight",
    "config",
    "mistakes",
    "plugins",
    "validation",
    "vllm",
    "runs",
]
LIGHT += [
    "trl_fields",
    "limits",
    "schema",
    "errors",
    "records",
    "durable",
    "ranks",
    "tasks",
    "prompts",
    "runner",
]


def modules() -> list[Path]:
    return sorted((ROOT / "spark_lab").rglob("*.py")) + sorted((ROOT / "analysis").rglob("*.py"))


def part(path: Path) -> str:
    names = path.relative_to(ROOT).with_suffix("").parts
    return "analysis" if names[0] == "analysis" else names[1]


def imported(tree: ast.AST) -> set[str]:
    """Dotted names of spark_lab that a file imports, at its top or inside functions."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down(path: Path) -> None:
    me = part(path)
    if me == "__init__":
        return
    for name in imported(ast.parse(path.read_text())):
        if not name.startswith("spark_lab."):
            continue
        other = name.split(".")[1]
        if me == "analysis":
            # Analysis reads run folders: rows, never live objects.
            assert other in {"analysis", "runs", "errors", "durable", "schema", "tracking"}, name
        elif other == "analysis":
            assert LEVEL[me] <= LEVEL["observer"], f"{me} imports {name}"
        elif other != me and (me, other) not in ALLOWED:
            assert LEVEL[other] > LEVEL[me], f"{me} imports {name}"


@pytest.mark.parametrize("name", LIGHT)
def test_light_modules_import_nothing_heavy_at_their_top(name: str) -> None:
    path = ROOT / "spark_lab" / name
    for file in sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]:
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                roots = {name.split(".")[0] for name in imported(ast.Module([node], []))}
                assert not roots & HEAVY, f"{file.name} imports {roots & HEAVY}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_unsafe_calls(path: Path) -> None:
    text, tree = path.read_text(), ast.parse(path.read_text())
    assert "trust_remote_code=True" not in text
    roots = {name.split(".")[0] for name in imported(tree)}
    assert not roots & {"pickle", "dill", "cloudpickle", "marshal", "shelve"}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    called = {call.func.id for call in calls if isinstance(call.func, ast.Name)}
    assert not called & {"eval", "exec"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"bare except in {path.name}"


def test_every_package_is_installed() -> None:
    """A package that pyproject.toml forgets works in a checkout and is missing in a wheel."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for top in ("spark_lab", "analysis")
        for path in (ROOT / top).rglob("__init__.py")
    }
    found = {name if name.startswith("spark_lab") else f"spark_lab.{name}" for name in found}
    found |= {"spark_lab.conf", "spark_lab.sweeps"}
    assert set(project["packages"]) == found


def test_every_data_file_is_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    shipped: set[Path] = set()
    for package, patterns in project["package-data"].items():
        folder = ROOT / project["package-dir"].get(package, package.replace(".", "/"))
        shipped |= {path for pattern in patterns for path in folder.glob(pattern)}
    for folder in ("spark_lab", "conf", "sweeps", "analysis"):
        for path in (ROOT / folder).rglob("*"):
            is_result = path.name == "RESULTS.md" or path.parent.name == "results"
            if path.is_file() and path.suffix not in (".py", ".pyc") and not is_result:
                assert path in shipped, f"{path.relative_to(ROOT)} is not installed"
