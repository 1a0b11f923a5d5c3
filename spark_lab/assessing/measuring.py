"""One benchmark, measured once: read where it is kept, else asked, and kept as it goes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from rich.console import Console

from spark_lab import prompts
from spark_lab.assessing import store
from spark_lab.assessing.subject import Subject
from spark_lab.benchmarks import catalogue
from spark_lab.benchmarks.benchmark import Loaded
from spark_lab.benchmarks.figures import Figure, share
from spark_lab.benchmarks.recorded import Recorded
from spark_lab.errors import UserError
from spark_lab.evaluation.generation import Generator
from spark_lab.evaluation.trial import Row
from spark_lab.schema import EvalConfig
from spark_lab.tracking import words

# Sequences to a file of completions: what a killed evaluation can lose.
BLOCK = 256
# Seconds between the lines that a pipe is told.
_PATIENCE = 60.0


def settings_of(
    loaded: Loaded, subject: Subject, weights: str, limit: int | None, samples: int | None
) -> store.Settings:
    """All that shapes the numbers; what changes nothing (how many at once) stays out.

    `samples` None: the benchmark's own number.
    """
    benchmark = loaded.benchmark
    asked = asdict(subject.config.eval)
    kept = {"max_completion_length": store.longest(subject), "seed": asked["seed"]}
    if benchmark.judging:
        kept["answer_temperature"] = 0.0
    else:
        samples = benchmark.samples if samples is None else samples
        kept |= {"answer_temperature": asked["answer_temperature"], "samples": samples}
        kept |= {"temperature": asked["temperature"]} if samples else {}
        rounds = 0 if asked["test_time"] == "off" else asked["test_time_rounds"]
        kept |= {"test_time_rounds": rounds}
    return {
        "weights": weights,
        "model": store.model_settings(subject),
        "benchmark": benchmark.name,
        "prompts": None if benchmark.judging else list(benchmark.prompts.values()),
        "data": catalogue.protocol_of(benchmark).fingerprint(loaded.items),
        "limit": limit,
        "eval": kept,
    }


def result(
    loaded: Loaded,
    subject: Subject,
    settings: store.Settings,
    generator: Callable[[], Generator],
) -> store.Result:
    """What is kept of it, else what is found now; `folder` says where that is."""
    folder = store.folder_of(subject, settings, loaded.benchmark.name)
    found = None if subject.config.force else store.load(folder)
    if found is None:
        found = _measure(loaded, subject, settings, folder, generator)
    return found | {"folder": str(folder)}


def _measure(
    loaded: Loaded,
    subject: Subject,
    settings: store.Settings,
    folder: Path,
    generator: Callable[[], Generator],
) -> store.Result:
    benchmark = loaded.benchmark
    if benchmark.visual and not generator().sees_images:
        raise UserError(subject.blind_for(benchmark.name))
    store.prepare(folder)
    began = time.perf_counter()
    with _telling(benchmark.title) as told:
        completer = Recorded(generator, folder / "completions", BLOCK, told)
        if subject.config.force:
            completer.forget()
        measured = catalogue.protocol_of(benchmark).measure(
            benchmark,
            loaded.items,
            prompts.load(subject.config.model.templates),
            _evaluation(subject.config.eval, settings["eval"]),
            completer,
        )
    figures = dict(measured.figures)
    if loaded.trained is not None and loaded.trained:
        figures |= _unseen(measured.rows, loaded.trained)
    clock = {"step": subject.step or 0, "window": None, "phase": "eval"}
    rows = [clock | row for row in measured.rows]
    result = store.write(
        folder,
        subject,
        settings,
        rows,
        {
            "benchmark": benchmark.name,
            "questions": settings["data"],
            "metrics": {name: figure.value for name, figure in figures.items()},
            "intervals": {name: [one.low, one.high] for name, one in figures.items()},
            "counts": {name: figure.count for name, figure in figures.items()},
            "tokens": measured.tokens,
            "rows": catalogue.protocol_of(benchmark).count(loaded.items),
            "trained_on": None if loaded.trained is None else len(loaded.trained),
            "seconds": time.perf_counter() - began,
            "generated_tokens": completer.tokens,
        },
    )
    completer.forget()
    return result


def _evaluation(config: EvalConfig, settings: store.Settings) -> EvalConfig:
    """As the settings have it, so that nothing else can matter."""
    rounds = settings.get("test_time_rounds", 0)
    known = {key: value for key, value in settings.items() if key != "test_time_rounds"}
    tts = {"test_time": "final", "test_time_rounds": rounds} if rounds else {"test_time": "off"}
    return replace(config, **known, **tts)


def _unseen(rows: Sequence[Row], trained: frozenset[int]) -> dict[str, Figure]:
    """Accuracy on the questions that the model was not trained on."""
    left = [row["reward"] for row in rows if row["sample"] == 0 and row["question"] not in trained]
    return {"accuracy_untrained": share(left)} if left else {}


@contextmanager
def _telling(title: str) -> Iterator[Callable[[int], None]]:
    """Shows how many completions there are: in place on a terminal, a line a minute in a pipe."""
    console = Console(highlight=False, stderr=True)
    began = last = time.perf_counter()

    def said(done: int) -> str:
        return f"{title}: {done:,} completions, {words.duration(time.perf_counter() - began)}"

    if console.is_terminal:
        with console.status(title) as status:
            yield lambda done: status.update(said(done))
        return

    def tell(done: int) -> None:
        nonlocal last
        if time.perf_counter() - last > _PATIENCE:
            last = time.perf_counter()
            print(said(done), file=sys.stderr, flush=True)

    yield tell
