"""Every benchmark in its true schema, scored by hand: an unanswered question is a wrong one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from known_abilities import TEMPLATES
from known_benchmarks import KNOWN, copy, lines, png
from test_evaluation import eval_config

from spark_lab.benchmarks import asking, catalogue, loading
from spark_lab.benchmarks.benchmark import Benchmark, Entry
from spark_lab.benchmarks.figures import Measured
from spark_lab.errors import UserError
from spark_lab.evaluation.generation import Completion

GREEDY = eval_config(samples=0, test_time="off")


class Scripted:
    """Writes the given texts in order; `judge` is what it says of an answer, `fix` its reflection."""

    def __init__(self, texts: list[str], judge: str = "", fix: str = ""):
        self._texts = iter(texts)
        self._said = {"judge": judge, "fix": fix, "refix": fix}
        self.prompts: list[str] = []

    def complete(self, prompts, *, samples=1, temperature=0.0, seed=0):
        self.prompts += [prompt.text for prompt in prompts]
        return [
            [self._one(prompt) for _ in range(samples)] for prompt in self.prompts[-len(prompts) :]
        ]

    def _one(self, prompt: str) -> Completion:
        kind = prompt.partition("|")[0]
        text = self._said[kind] if kind in self._said else next(self._texts)
        return Completion(text, len(text), False)


def of(name: str) -> Benchmark:
    return catalogue.BENCHMARKS[name]


def loaded(name: str, folder: Path, rows: list | None = None) -> list[Entry]:
    found = copy(name, folder, KNOWN[name].rows if rows is None else rows)
    return catalogue.protocol_of(of(name)).load(of(name), found)


def measured(name: str, entries: list[Entry], texts: list[str], config=GREEDY, **said) -> Measured:
    """`texts` in the order of the entries; questions are asked one verifier after the other."""
    order = list(dict.fromkeys(entry.verifier for entry in entries))
    asked = sorted(range(len(entries)), key=lambda index: order.index(entries[index].verifier))
    script = Scripted([texts[index] for index in asked], **said)
    return asking.measure(of(name), entries, TEMPLATES, config, script)


def boxed(*answers: str) -> list[str]:
    return [rf"So it is \boxed{{{answer}}}." for answer in answers]


def value(found: Measured, name: str) -> float:
    return found.figures[name].value


@pytest.mark.parametrize("name", KNOWN)
def test_rows_in_the_true_schema_become_questions(name: str, tmp_path: Path) -> None:
    entries = loaded(name, tmp_path)
    assert [entry.question.answer for entry in entries] == KNOWN[name].gold
    assert [entry.question.index for entry in entries] == list(range(len(entries)))
    assert all(len(entry.question.images) > 0 for entry in entries) == of(name).visual
    assert not any("<image" in entry.question.text for entry in entries)


@pytest.mark.parametrize("name", KNOWN)
def test_right_and_wrong_answers_are_told_apart(name: str, tmp_path: Path) -> None:
    entries = loaded(name, tmp_path)
    right = measured(name, entries, boxed(*KNOWN[name].right))
    assert value(right, "accuracy") == 1.0 and value(right, "parse_failure_rate") == 0.0
    wrong = measured(name, entries, boxed(*KNOWN[name].wrong))
    assert value(wrong, "accuracy") == 0.0


@pytest.mark.parametrize("name", KNOWN)
def test_unanswered_doubly_boxed_and_malformed_answers(name: str, tmp_path: Path) -> None:
    """Each kind after a right answer, so that inheriting or skipping would show."""
    rows = KNOWN[name].rows * 6
    entries = loaded(name, tmp_path, rows)
    times = len(entries) // 6
    right, wrong = KNOWN[name].right, KNOWN[name].wrong
    texts = [
        *boxed(*right),
        *["I can't tell." for _ in right],
        *(
            rf"\boxed{{{no}}}, or rather \boxed{{{yes}}}"
            for yes, no in zip(right, wrong, strict=True)
        ),
        *(
            rf"\boxed{{{yes}}}, or rather \boxed{{ {no} }}"
            for yes, no in zip(right, wrong, strict=True)
        ),
        *(rf"It is \boxed{{{yes}" for yes in right),
        *(rf"<think>\boxed{{{yes}}}" for yes in right),
    ]
    found = measured(name, entries, texts)
    rewards = [row["reward"] for row in sorted(found.rows, key=lambda row: row["question"])]
    expected = [1, 0, 1, 0, 0, 0]
    empty = [no == "" for no in wrong]  # an empty box is none, so the one before it counts
    assert rewards[: 3 * times] == [float(one) for one in expected[:3] for _ in range(times)]
    assert rewards[3 * times : 4 * times] == [float(one) for one in empty]
    assert rewards[4 * times :] == [0.0] * (2 * times)
    assert value(found, "accuracy") == pytest.approx(sum(rewards) / len(rewards))
    assert value(found, "parse_failure_rate") == pytest.approx(1 / 2)


def test_a_copy_may_be_json_lines_or_the_hubs_own_folder(tmp_path: Path) -> None:
    rows = KNOWN["gsm8k"].rows
    single = loading.load(of("gsm8k"), lines("gsm8k", tmp_path / "lines", rows))
    for part in ("main", "socratic"):
        copy(
            "test-00000-of-00001",
            tmp_path / "hub/gsm8k" / part,
            rows if part == "main" else rows[:1],
        )
        copy("train-00000-of-00001", tmp_path / "hub/gsm8k" / part, rows * 3)
    folder = loading.load(of("gsm8k"), tmp_path / "hub")
    parquet = loaded("gsm8k", tmp_path / "parquet")
    assert {loading.fingerprint(one) for one in (single, folder, parquet)} == {
        loading.fingerprint(single)
    }
    assert len(loading.load(of("gsm8k"), tmp_path / "hub", limit=1)) == 1


def test_a_split_is_not_another_one_whose_name_begins_alike(tmp_path: Path) -> None:
    copy("testmini", tmp_path / "mathverse", KNOWN["mathverse"].rows)
    copy("testmini_text_only", tmp_path / "mathverse", [{"question": "Find angle A."}])
    assert len(loading.load(of("mathverse"), tmp_path)) == 3


def test_all_variants_of_dynamath_are_read(tmp_path: Path) -> None:
    for number in range(1, 11):
        row = KNOWN["dynamath"].rows[0] | {"decoded_image": png(number)}
        copy(f"sample_variant{number}-00000-of-00001", tmp_path / "dynamath/data", [row])
    entries = loading.load(of("dynamath"), tmp_path)
    assert len(entries) == 10 and {entry.unit for entry in entries} == {"1"}
    found = measured("dynamath", entries, [*boxed(*["2.0944"] * 9), "none"])
    assert value(found, "accuracy") == 0.9 and value(found, "every_variant") == 0.0
    assert found.figures["accuracy"].count == 1, "variants of one question are no ten questions"


def test_pictures_of_a_copy_may_be_files(tmp_path: Path) -> None:
    (tmp_path / "mathvista/images").mkdir(parents=True)
    rows = []
    for row in KNOWN["mathvista"].rows:
        (tmp_path / "mathvista" / row["image"]).write_bytes(row["decoded_image"]["bytes"])
        rows.append({key: held for key, held in row.items() if key != "decoded_image"})
    (tmp_path / "mathvista/testmini.json").write_text(json.dumps(rows))
    entries = loading.load(of("mathvista"), tmp_path)
    assert [entry.question.images[0].load().size for entry in entries] == [(8, 8)] * 4
    (tmp_path / "mathvista/images/3.jpg").unlink()
    with pytest.raises(UserError, match=r"row 3(.|\n)*No such file"):
        loading.load(of("mathvista"), tmp_path)


def test_hints_and_prompts_fit_the_kind_of_answer(tmp_path: Path) -> None:
    entries = loaded("mathvista", tmp_path)
    texts = [entry.question.text for entry in entries]
    assert texts[0] == "Find m.\n\nA. 4\nB. 5"
    assert texts[1] == "How much? (Unit: g) Give a number with 1 decimals."
    assert [entry.verifier for entry in entries] == ["choice", "within:0.05", "numeric", "math"]
    script = Scripted(boxed(*KNOWN["mathvista"].right))
    asking.measure(of("mathvista"), entries, TEMPLATES, GREEDY, script)
    assert "letter of the right option" in script.prompts[0]
    assert not any("letter" in prompt for prompt in script.prompts[1:])
    assert all(prompt.rstrip(".").endswith(r"\boxed{}") for prompt in script.prompts)


MASTERY = [  # step 1, step 2, the whole: strict, loose
    ((1, 1, 1), 1.0, 1.0), ((1, 1, 0), 0.5, 0.5), ((1, 0, 1), 0.0, 1.0), ((0, 1, 1), 0.0, 1.0),
    ((0, 0, 1), 0.0, 0.0), ((1, 0, 0), 0.0, 0.0), ((0, 0, 0), 0.0, 0.0),
]  # fmt: skip


@pytest.mark.parametrize(("right", "strict", "loose"), MASTERY)
def test_we_math_scores_steps_and_whole_together(right, strict, loose, tmp_path: Path) -> None:
    entries = loaded("wemath", tmp_path)
    known = KNOWN["wemath"]
    texts = [
        yes if one else no for one, yes, no in zip(right, known.right, known.wrong, strict=True)
    ]
    found = measured("wemath", entries, boxed(*texts))
    assert (value(found, "strict"), value(found, "loose")) == (strict, loose)
    assert value(found, "accuracy") == pytest.approx(sum(right) / 3)


def test_mmbench_counts_what_is_right_in_every_rotation(tmp_path: Path) -> None:
    entries = loaded("mmbench", tmp_path)
    assert entries[1].question.text.endswith("A. dog\nB. cat")
    once = measured("mmbench", entries, boxed("B", "B"))
    assert (value(once, "accuracy"), value(once, "circular")) == (0.5, 0.0)
    assert value(measured("mmbench", entries, boxed("dog", "dog")), "circular") == 1.0
    assert loading.count(entries) == 1


def test_pope_counts_hits_by_hand(tmp_path: Path) -> None:
    """There: yes, no, no. Said: yes, yes, nothing that can be read."""
    found = measured("pope", loaded("pope", tmp_path), [*boxed("yes", "yes"), "yes"])
    assert value(found, "precision") == 0.5 and value(found, "recall") == 1.0
    assert value(found, "f1") == pytest.approx(2 / 3) and value(found, "yes_rate") == pytest.approx(
        2 / 3
    )
    assert value(found, "accuracy") == pytest.approx(1 / 3)
    assert {name for name in found.figures if name.startswith("category/")} == {
        "category/random", "category/popular", "category/adversarial"}  # fmt: skip


def test_means_of_samples_and_votes_by_hand(tmp_path: Path) -> None:
    entries = loaded("gsm8k", tmp_path)
    answers = boxed("1", "1") + boxed("1024", "1,024", "7", "8") + boxed("3.5", "2", "2", "2")
    script = Scripted(answers)
    found = asking.measure(of("gsm8k"), entries, TEMPLATES, replace(GREEDY, samples=4), script)
    assert value(found, "accuracy") == 0.0
    assert value(found, "avg_at_4") == pytest.approx((2 / 4 + 1 / 4) / 2)
    assert value(found, "vote_at_4") == 0.5 and value(found, "pass_at_4") == 1.0


def test_judging_and_reflecting_by_hand(tmp_path: Path) -> None:
    """Of a right and a wrong answer, both rejected, the reflection is right for the first question."""
    entries = loaded("gsm8k", tmp_path)
    config = replace(GREEDY, test_time="final", test_time_rounds=2)
    said = {"judge": r"\boxed{No}", "fix": r"\boxed{1024}"}
    found = measured("gsm8k", entries, boxed("1024", "3"), config, **said)
    assert value(found, "accuracy") == 0.5 and value(found, "tts/accuracy") == 0.5
    said["judge"] = r"\boxed{Yes}"
    kept = measured("gsm8k", entries, ["?", *boxed("3.5")], config, **said)
    assert value(kept, "accuracy") == 0.5 and value(kept, "tts/accuracy") == 1.0
    assert value(kept, "tts/gain") == 0.5
    assert kept.tokens["tts/accuracy"] > kept.tokens["accuracy"]
    assert "tts/accuracy" not in measured("gsm8k", entries, boxed("1", "2")).figures


def test_what_judging_gains_is_counted_by_the_benchmarks_own_figure(tmp_path: Path) -> None:
    """Every answer is rejected, and every reflection says yes: one of three objects is there."""
    config = replace(GREEDY, test_time="final", test_time_rounds=1)
    entries = loaded("pope", tmp_path / "pope")
    said = {"judge": r"\boxed{No}", "fix": r"\boxed{yes}"}
    found = measured("pope", entries, boxed("no", "no", "no"), config, **said)
    assert value(found, "f1") == 0.0 and value(found, "tts/f1") == pytest.approx(1 / 2)
    assert value(found, "tts/gain") == pytest.approx(1 / 2)
    assert value(found, "accuracy") == pytest.approx(2 / 3)
    turned = loaded("mmbench", tmp_path / "mmbench")
    said["fix"] = r"\boxed{dog}"
    found = measured("mmbench", turned, boxed("A", "A"), config, **said)
    assert value(found, "circular") == 0.0 and value(found, "tts/circular") == 1.0


MALFORMED = {
    "a column is missing": ("gsm8k", {"answer": None}, "its fields: question"),
    "no final answer": ("gsm8k", {"answer": "It is 3"}, "an answer in the form 'hashes'"),
    "an empty question": ("math500", {"problem": " "}, "text or a number in the field 'problem'"),
    "an index beyond the options": ("mmlu_stem", {"answer": 4}, "one of the 4 options"),
    "one option": ("mmlu_stem", {"choices": ["3"]}, "2 to 26 options in the field 'choices'"),
    "no picture": ("mmk12", {"image": None}, "image=None"),
    "a broken picture": ("mmk12", {"image": {"bytes": b"PNG", "path": None}}, "no image of a known kind"),
    "a float without decimals": ("mathvista", {"answer_type": "float", "precision": None, "question_type": "free_form"}, "decimals of a float"),
    "a question that is null": ("mathvista", {"question": None}, "question=None"),
    "a letter that is no option": ("mmbench", {"answer": "C"}, "one of 2 options"),
    "options that are no list": ("mmmu", {"options": "$6, $7"}, "a list of texts"),
    "an answer that is no letter": ("logicvista", {"answer": "left"}, "letter of an option"),
    "options that are null": ("wemath", {"option": None}, "options=None"),
}  # fmt: skip


@pytest.mark.parametrize("case", MALFORMED)
def test_a_row_that_cant_be_used_is_an_error_with_its_place(case: str, tmp_path: Path) -> None:
    name, changed, said = MALFORMED[case]
    row = KNOWN[name].rows[0] | changed
    if changed == {"answer": None}:
        del row["answer"]
    with pytest.raises(UserError) as caught:
        loaded(name, tmp_path, [row])
    text = str(caught.value)
    assert said in text and "row 1" in text and of(name).hub in text


def test_hundreds_of_bad_rows_are_cut_short(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        loading.load(of("gsm8k"), lines("gsm8k", tmp_path, [{"question": "?"}] * 300))
    assert len(caught.value.problems) == 20 and "281 more rows" in caught.value.problems[-1].got


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gsm8k.jsonl \(or"):
        loading.load(of("gsm8k"), tmp_path)
    with pytest.raises(UserError, match="which is no folder"):
        loading.load(of("gsm8k"), tmp_path / "nowhere")
    with pytest.raises(UserError, match="no rows"):
        loading.load(of("gsm8k"), lines("gsm8k", tmp_path, []))


def test_suites_and_names() -> None:
    found, tasks = catalogue.chosen("[gsm8k, paper_llm,lm_eval:arc_easy]")
    assert [one.name for one in found][:2] == ["gsm8k", "aime24"] and tasks == ["arc_easy"]
    assert {one.name for one in catalogue.chosen("paper_vl")[0]} >= {"mmk12", "vl_reward_bench"}
    with pytest.raises(UserError, match="did you mean suite=gsm8k"):
        catalogue.chosen("gsm8")
    with pytest.raises(UserError, match="GPT-4, which is a paid service"):
        catalogue.chosen("mmstar,mmvet")
    with pytest.raises(UserError, match="some of reasoning"):
        catalogue.chosen("")
    for one in catalogue.BENCHMARKS.values():
        assert (
            one.cites
            and one.hub.count("/") == 1
            and set(one.columns) & {"question", "prompt", "query"}
        )
