"""SPARK (arXiv 2509.22624) on TRL's GRPOTrainer: one private method wrapped, none copied.

Where this differs from the paper's text and from the authors' code, and why:

- Judge and reflection prompts are trained by GRPO with the verifier's labels, as in both. The
  paper's equations show no ratio clipping; its code clips at 0.2. Here `epsilon` is configurable.
- The authors' code runs a solve update and then a judge update (`schedule=alternate`). The default
  here, `joint`, sums the gradients of both windows in one optimizer step, so that both come from
  the same weights and loss weights keep their meaning under Adam and clipping.
- Objectives are weighted on the normalised advantages: weighting rewards would cancel in the
  group's standard deviation. The weight does not scale the KL term.
- The learning rate follows the spent share of the budget. In the authors' code judge updates were
  not counted, so that the cosine schedule climbed back to its peak.
- A judge is asked for the same `\\boxed{}` that its grader reads, and one extractor (the last
  balanced box) serves rollouts, labels and verdicts. The authors' templates ask for `\\box{}` and
  grade with another extractor than they recycle with.
- The buffer, its random stream and the question order are in the checkpoint, and a checkpoint in
  the middle of a window holds the window: a resumed run is bit-identical to an uninterrupted one.
  (Plain TRL regenerates the window and repeats the first epoch's question order.)
- A prompt is computed once for its group's rows, in sampling (see `training.sampling`) and in
  scoring (see `training.shared_prompts`), and groups are shuffled whole. With
  `shared_prompts="off"` rows are sampled, shuffled and scored by TRL.
- With no objectives and that off, every number equals TRL's GRPOTrainer bit for bit.

Rewards are normalised and losses computed by TRL. The reward function is the tap at which
completions are graded; the data loader is only a clock, since the loop draws its own questions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from accelerate.utils import gather_object
from datasets import Dataset
from torch.optim.lr_scheduler import LambdaLR
from trl import GRPOConfig, GRPOTrainer

from spark_lab.models.encoding import Encoded, Encoder
from spark_lab.models.vision import tokenizer_of
from spark_lab.records import Prompt
from spark_lab.training import image_trials, judging, sampling
from spark_lab.training.graded import Sample
from spark_lab.training.learning_rate import LearningRate
from spark_lab.training.loop import SparkLoop
from spark_lab.training.meter import ComputeMeter, ModelCost
from spark_lab.training.microbatches import keep_groups, sort_by_length
from spark_lab.training.scoring import Scoring, joined
from spark_lab.training.slow_judge import SlowJudge
from spark_lab.training.state import load_renamed, load_state, save_state
from spark_lab.training.supervised import merge_copies, mergeable, target_ids
from spark_lab.training.window_prompts import WindowPrompts


class SparkGRPOTrainer(GRPOTrainer):
    """GRPO on the windows that a `SparkLoop` plans.

    `args.generation_batch_size` rows make one window of whole groups; groups may be split over
    ranks. `encoder` makes of prompts what the model takes. `clock` is the number of rows of the dummy data set (see `training.arguments`).
    `shared_prompts`: auto, cache or packed share prompts where that is exact, off never does;
    `scoring` and `generation` say in words which way log-probabilities are computed and completions
    sampled. `slow_judge` has the weights that judge where the policy's own verdict is its reward;
    None: the current ones do.
    """

    def __init__(
        self,
        model: Any,
        args: GRPOConfig,
        *,
        loop: SparkLoop,
        meter: ComputeMeter,
        cost: ModelCost,
        learning_rate: LearningRate,
        clock: int,
        encoder: Encoder,
        sort_micro_batches: bool = False,
        shared_prompts: str = "off",
        slow_judge: SlowJudge | None = None,
        **kwargs: Any,
    ):
        self.loop = loop
        self.meter = meter
        self.cost = cost
        self._learning_rate = learning_rate
        self.encoder = encoder
        self.prompts = WindowPrompts(encoder)
        self._sort_micro_batches = sort_micro_batches
        self._local: list[Sample] = []
        # Of a window that is about to be sampled: the completions of its rows, where they are given.
        self._given: list[list[int] | None] = []
        # Of a window that is being made: its rows, and the group of each.
        self._asked: list[Encoded] = []
        self._groups: list[int] = []
        self._tried_images = False
        ticks = Dataset.from_dict({"prompt": [""] * clock})
        super().__init__(
            model=model, args=args, reward_funcs=[self.verifier], train_dataset=ticks, **kwargs
        )
        self.slow_judge = slow_judge
        if slow_judge is not None:
            slow_judge.begin(self.model)
            self.add_callback(slow_judge)
        processes = self.accelerator.num_processes
        self._merges = mergeable(args, aux_loss=self.aux_loss_enabled, processes=processes)
        self._scoring = Scoring(
            shared_prompts,
            self.model,
            self.args,
            accelerator=self.accelerator,
            aux_loss=self.aux_loss_enabled,
            plain=super()._get_per_token_logps_and_entropies,
        )
        self.generation = sampling.choose(self, shared_prompts)

    @property
    def scoring(self) -> str:
        """In words; a model's first batch with images may change it."""
        return str(self._scoring)

    def verifier(
        self,
        completions: list[list[dict[str, str]]],
        completion_ids: list[list[int]],
        group: list[int],
        place: list[int],
        **_: Any,
    ) -> list[float]:
        """TRL's reward function: grade this rank's rows, and keep what was seen for `absorb`."""
        for turns, ids, *where in zip(completions, completion_ids, group, place, strict=True):
            text = self.encoder.chat.opening + turns[0]["content"]
            number, member = where
            truncated = ids[-1] not in self.eos_token_ids
            verdict = self.loop.grade(number, text, member)
            hidden = self.loop.audit(number, text)
            self._local.append(Sample(text, verdict, 0, len(ids), truncated, hidden))
        if self.loop.judges_itself:
            self._local = judging.judged(self, self._local, list(zip(group, place, strict=True)))
        return [sample.verdict.reward for sample in self._local]

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        window = self._sample_window(len(inputs))
        while self.loop.extra:
            self._absorb(window)
            window = self._sample_window(len(inputs))
        groups = [group for group, _ in self._places(len(inputs))]
        given = self._weigh(window["advantages"], groups)
        self._absorb(window)
        if self._scoring.ways or any(given) or self.prompts.shown:
            window["group"] = torch.tensor(groups, device=self.accelerator.device)
        if any(given):
            window["given"] = torch.tensor(given, device=self.accelerator.device)
        return window

    def _places(self, rows: int) -> list[tuple[int, int]]:
        """Each of this rank's rows as (number of its group, number in its group)."""
        first_row = self.accelerator.process_index * rows
        return [divmod(first_row + row, self.num_generations) for row in range(rows)]

    def _sample_window(self, rows: int) -> dict[str, Any]:
        prompts = self.loop.plan()
        places = self._places(rows)
        self._local = []
        self._given = [self._target(group) for group, _ in places]
        self._see(prompts, [group for group, _ in places])
        inputs = [
            {"prompt": self.encoder.messages(prompts[group]), "group": group, "place": place}
            for group, place in places
        ]
        window = super()._generate_and_score_completions(inputs)
        self._groups = []
        return window

    def _see(self, prompts: list[Prompt], groups: list[int]) -> None:
        """Encode this rank's prompts, each once."""
        self.prompts.open({group: prompts[group] for group in dict.fromkeys(groups)})
        if any(prompt.images for prompt in prompts):
            self.prompts.share_lengths(prompts)
            if not self._tried_images:
                self._tried_images = True
                image_trials.try_images(self, self._scoring, prompts)
        self._asked, self._groups = self.prompts.rows(groups), groups

    def _target(self, group: int) -> list[int] | None:
        text = self.loop.given(group)
        return None if text is None else target_ids(tokenizer_of(self.processing_class), text)

    def _tokenize_prompts(self, prompts: list) -> tuple[list[list[int]], Any, dict[str, Any]]:
        """TRL is told of no images: what it makes of a window is text."""
        return [row.ids for row in self._asked], None, {}

    def _generate_single_turn(
        self, prompt_ids: list[list[int]], *rest: Any, **more: Any
    ) -> tuple[list[list[int]], Any]:
        """TRL's, of those rows alone whose completions are not given."""
        asked, given = self._asked, self._given
        self._asked, self._given = [], []
        if not any(given):
            return self.sample(asked, self.num_generations)
        rows = [row for row, target in zip(asked, given, strict=True) if target is None]
        sampled = iter(self.sample(rows, self.num_generations)[0] if rows else [])
        return [target or next(sampled) for target in given], None

    def sample(self, rows: list[Encoded], num_generations: int) -> tuple[list[list[int]], Any]:
        """A completion of each row, and TRL's log-probabilities of what vLLM sampled. What autocast
        casts is cast once for all of the tokens, not for each."""
        with self.accelerator.autocast():
            if self.generation == sampling.SHARED:
                return sampling.sample(self, rows), None
            return super()._generate_single_turn(*sampling.for_trl(self, rows), num_generations)

    def _weigh(self, advantages: torch.Tensor, groups: list[int]) -> list[bool]:
        """Apply the loss weights; returns which rows are given ones, whose advantage is 1."""
        given = [self.loop.given(group) is not None for group in groups]
        if any(given):  # their rewards are equal, so TRL made it 0
            advantages[torch.tensor(given, device=advantages.device)] = 1.0
        weights = [self.loop.loss_weight(group) for group in groups]
        if any(weight != 1.0 for weight in weights):
            advantages *= torch.tensor(weights, dtype=advantages.dtype, device=advantages.device)
        return given

    def _absorb(self, window: dict[str, Any]) -> None:
        prompt_lengths = window["prompt_mask"].sum(1).tolist()
        local = [
            replace(sample, prompt_length=prompt_length)
            for sample, prompt_length in zip(self._local, prompt_lengths, strict=True)
        ]
        samples = gather_object(local)
        self.loop.absorb(samples)
        sampled, given = [], []
        for row, sample in enumerate(samples):
            group, place = divmod(row, self.num_generations)
            lengths = (sample.prompt_length, sample.length)
            if self.loop.given(group) is None:
                sampled.append(lengths)
            elif place == 0 or not self._merges:
                given.append(lengths)
        training = {
            "iterations": 0 if self.loop.extra else self.num_iterations,
            "scoring_passes": sum(
                key in window for key in ("old_per_token_logps", "ref_per_token_logps")
            ),
            "recompute": self.args.gradient_checkpointing,
        }
        self.meter.add_window(self.cost, sampled, **training)
        self.meter.add_given(self.cost, given, **training)

    def _prepare_inputs(self, generation_batch: Any) -> dict[str, Any]:
        buffered = self._buffered_inputs
        inputs = super()._prepare_inputs(generation_batch)
        fresh = self._buffered_inputs is not buffered
        if fresh and self.model.training:
            if self._scoring.ways:
                self._buffered_inputs = keep_groups(self._buffered_inputs)
            if self._merges and "given" in self._buffered_inputs[0]:
                self._buffered_inputs = merge_copies(self._buffered_inputs)
            # A window in one piece is padded to its own longest row as it is.
            several = len(self._buffered_inputs) > 1
            if several and (self._scoring.ways or self._sort_micro_batches):
                per_update = self.args.gradient_accumulation_steps
                self._buffered_inputs = sort_by_length(self._buffered_inputs, per_update)
            inputs = self._buffered_inputs[self._step % self.args.steps_per_generation]
        if "group" in inputs and self.prompts.shown:
            inputs = inputs | self._seen(inputs["group"].tolist(), inputs)
        return inputs

    def _seen(self, groups: list[int], batch: Mapping[str, torch.Tensor]) -> dict[str, Any]:
        width, beyond = (batch[f"{name}_ids"].shape[1] for name in ("prompt", "completion"))
        return self.prompts.batch(groups, width, beyond, self.accelerator.device)

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        compute_aux_loss: bool = False,
        **images: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """Old, reference and training log-probabilities alike: TRL's, each prompt computed once."""
        wanted = {"entropy": compute_entropy, "aux_loss": compute_aux_loss}
        batch = (input_ids, attention_mask, logits_to_keep)
        if not self._groups or not self.prompts.shown:
            return self._scoring(model, *batch, batch_size=batch_size, images=images, **wanted)
        # A window that TRL has not cut yet, and scores without the images that it knows nothing of.
        width, parts = input_ids.shape[1] - logits_to_keep, []
        for rows in torch.arange(len(input_ids)).split(batch_size or len(input_ids)):
            groups = [self._groups[row] for row in rows.tolist()]
            seen = self.prompts.batch(groups, width, logits_to_keep, input_ids.device)
            batch = (input_ids[rows], attention_mask[rows], logits_to_keep)
            parts.append(self._scoring(model, *batch, batch_size=None, images=seen, **wanted))
        return joined(parts, **wanted)

    def create_scheduler(
        self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None
    ) -> LambdaLR:
        if self.lr_scheduler is None:
            # A function, since LambdaLR would pickle the attributes of a callable object.
            self.lr_scheduler = LambdaLR(
                optimizer or self.optimizer, lambda _step: self._learning_rate()
            )
        return self.lr_scheduler

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        bare = self.model if model is None else model
        if self.is_fsdp_enabled or not load_renamed(bare, resume_from_checkpoint):
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _save_rng_state(self, output_dir: str) -> None:
        super()._save_rng_state(output_dir)
        save_state(self, output_dir)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        super()._load_rng_state(checkpoint)
        if checkpoint is not None:
            load_state(self, checkpoint)
