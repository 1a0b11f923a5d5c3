"""`spark-lab eval`: measures one model on everything that an evaluation during training does."""

from __future__ import annotations

from pathlib import Path

from spark_lab.assessing import store, suites
from spark_lab.assessing.subject import Subject, find

HELP = """\
usage: spark-lab eval run=PATH [step=N] [KEY=VALUE ...]
       spark-lab eval model.path=PATH [KEY=VALUE ...]
       spark-lab eval run=PATH or model.path=PATH suite=NAMES [data=DIR] [limit=N] [samples=K] [KEY=VALUE ...]

Reasoning, judging, reflection, and test-time scaling (judge and reflect, best of N, votes, tournament)
on held-out questions, each with a 95 % interval over the questions. The same command twice costs nothing.

  run=PATH         folder of a run, or any part of its path that only it has; asked as in training
  step=N           one of its checkpoints; without it the last one
  model.path=PATH  a model by itself: builtin:tiny, a folder, or a hub name (these two with model=local
                   trainer=llm eval=sparse, unless other options are typed)
  KEY=VALUE        any key of eval, task or model, trainer.max_completion_length, trainer.threads, root
                   (where runs are looked for and a model's results go), force=true (measures anew)

  spark-lab eval run=spark/seed0 eval.test_time_samples=16
  spark-lab eval run=spark/seed0 task.chain_sums.max_terms=6
  spark-lab eval model.path=DIR task=data task.data.train_path=A task.data.eval_path=B

Results: RUN/evals/ or ROOT/evals/, with result.json and every rollout (spark-lab rollouts FOLDER).

Public benchmarks: one greedy answer to each question, then judged and reflected on (eval.test_time=off:
without), each with a 95 % interval, by eval=benchmark unless another is typed. What was killed goes on
where it was.

  suite=NAMES      paper_llm, paper_vl (beside the paper's tables), reasoning, visual, reward, general,
                   single ones such as gsm8k,math500, and any task of lm-eval as lm_eval:NAME
                   (pip install 'spark-lab[lm-eval]'); their own questions take the place of the task's
  data=DIR         copies on this machine, DIR/gsm8k/ or DIR/gsm8k.jsonl ...; without it the hub's
  limit=N          the first N rows of each: a look, not a result
  samples=K        draws K more answers to each question, for avg@K, pass@K and a vote (32 for AIME and
                   AMC, which are small, and 0 for the others)

  spark-lab eval model.path=Qwen/Qwen2.5-7B-Instruct suite=paper_llm
  spark-lab eval run=spark/seed0 suite=gsm8k,math500 data=benchmarks eval.test_time=off
"""


def main(argv: list[str]) -> None:
    """Raises UserError for bad input, before any model is loaded."""
    if not argv or {"-h", "--help"} & set(argv):
        print(HELP, end="")
        return
    if suites.is_asked(argv):
        return suites.main(argv)
    subject = find(argv, "eval")
    folder = store.folder_of(subject, store.settings_of(subject))
    result = None if subject.config.force else store.load(folder)
    if result is None:
        result = _measure(subject, folder)
    else:
        print(f"already done: {folder}  (force=true measures it anew)")
    # It reads with pandas, which help and errors don't pay for.
    from spark_lab.assessing import table

    table.show(result, folder)


def _measure(subject: Subject, folder: Path) -> store.Result:
    # Torch takes seconds to import, which a result that is already there does not pay for.
    from spark_lab.build import build_evaluator, load_generator
    from spark_lab.evaluation import judge_set
    from spark_lab.tasks import build_task

    store.prepare(folder)
    task = build_task(subject.config.task)
    if subject.judge_set is not None:
        judge_set.read(subject.judge_set, task.eval)
    evaluator = build_evaluator(subject.config, subject.judge_set)
    generator = load_generator(subject.config, subject.adapters)
    evaluation = evaluator(generator, step=subject.step or 0, last=True)
    return store.save(folder, subject, evaluation, task.fingerprint())
