"""RESULTS.md: what a sweep answered, written anew as often as one likes."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest
from test_question import asked

from spark_lab.analysis.report import main, results
from spark_lab.analysis.report.content import Report, compose
from spark_lab.errors import UserError


def collected(report: Report, folder: Path) -> str:
    return results.collect(results.entry(report, "spark-lab report"), folder).read_text()


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def page_with(*sweeps: str, text: str = "") -> str:
    """A page after entries of these sweeps, in this order."""
    for sweep in sweeps:
        entry = results.Entry(sweep, f"## {sweep}\n", f"| {sweep} |", None)
        text = results.placed(text or results.HEAD, entry, Path("RESULTS.md"))
    return text


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = asked(tmp_path_factory.mktemp("results"))
    plan = json.loads((folder / "plan.json").read_text())
    plan["command"] = ["spark-lab", "-cn", "leave_one_out", "objective=[none,reflect]"]
    (folder / "plan.json").write_text(json.dumps(plan))
    for run in folder.glob("*/seed*"):
        facts = json.loads((run / "env.json").read_text())
        (run / "env.json").write_text(json.dumps(facts | {"parameters": 457_216}))
    return folder


def test_an_entry_says_what_was_asked_found_and_how_to_repeat_it(
    sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main([str(sweep), "--results", str(tmp_path)]) == 0
    text = (tmp_path / "RESULTS.md").read_text()
    said = capsys.readouterr().out.splitlines()
    assert said == [str(sweep / "report/report.html"), str(tmp_path / "RESULTS.md")]
    assert "**Does &lt;b&gt;reflection&lt;/b&gt; help?**" in text
    [verdict] = [line for line in text.splitlines() if "none vs reflect" in line]
    assert verdict.startswith("- **not separable** none vs reflect: answers fixed by reflection")
    # Of two or three seeds an interval may reach beyond what a share can differ by.
    assert "95 % interval \N{MINUS SIGN}100.0 to" in verdict
    assert "n = 3 seeds" in verdict and "12 steps" in verdict
    assert not any("policy accuracy" in line for line in text.splitlines() if line.startswith("- "))
    table, _, entry = text.partition("<!-- table ends -->")
    rows = [line.split(" | ") for line in entry.splitlines() if line.startswith("| ")]
    assert [row[0] for row in rows] == ["| arm", "| starting model", "| reflect", "| none"]
    assert all(len(row) == len(rows[0]) for row in rows), "what every arm can do in the end"
    [short] = [line for line in table.splitlines() if line.startswith("| [")]
    question, answer, seeds, budget = short.strip("| ").split(" | ")
    assert question == "[Does &lt;b&gt;reflection&lt;/b&gt; help?](#s)" and "\n## s\n" in entry
    assert answer.startswith(
        "answers fixed by reflection (fixed judge set), against reflect<br>none "
    )
    assert answer.endswith(") not separable") and "to" in answer
    assert (seeds, budget) == ("3", "12 steps")
    assert "- arms and seeds: 2 arms, seeds 0, 1, 2" in text
    assert "- budget of a run: 12 steps" in text and "24 held-out questions" in text
    assert "    spark-lab -cn leave_one_out 'objective=[none,reflect]'\n" in text
    assert f"    spark-lab report {sweep} --results {tmp_path}\n" in text
    assert "A toy of 457 k parameters (the shipped tiny model) on chain sums" in text
    [figure] = re.findall(r"!\[[^]]*\]\((\S+)\)", text)
    assert figure == "results/s.svg"
    assert "<svg" in (tmp_path / figure).read_text()
    assert (tmp_path / "results/s.png").read_bytes().startswith(b"\x89PNG")
    drawn, tabled = re.findall(r"^\*([^*]+)\*$", text, re.MULTILINE)
    assert "n = 3 paired seeds" in drawn and "95 % interval" in drawn
    assert "95 % interval" in tabled and "per cent" in tabled


def test_the_same_results_give_the_same_bytes_and_other_text_stays(
    sweep: Path, tmp_path: Path
) -> None:
    first = collected(compose([sweep], "spark-lab report"), tmp_path)
    before = digests(tmp_path)
    report = compose([sweep], "spark-lab report")
    assert collected(report, tmp_path) == first and digests(tmp_path) == before
    page = tmp_path / "RESULTS.md"
    page.write_text(f"# Mine\n\nabove\n\n{first.partition(results.HEAD)[2]}\nbelow\n")
    worded = first.replace("24 held-out questions", "20 held-out questions")
    page.write_text(page.read_text().replace(first, worded))
    again = collected(report, tmp_path)
    assert again.startswith("# Mine\n\nabove\n") and again.endswith("\nbelow\n")
    assert "24 held-out questions" in again and "20 held-out" not in again
    assert again.count("## s\n") == 1


def test_entries_stand_in_the_order_of_their_names_whoever_comes_first() -> None:
    text = page_with("b", "a", "c", "b")
    assert re.findall(r"^## (\w)$", text, re.MULTILINE) == ["a", "b", "c"]
    assert text == page_with("c", "b", "a") == page_with("a", "b", "c")
    assert page_with("b", text=text) == text


def test_the_table_has_the_row_of_every_entry_once_and_stays_where_it_was_put() -> None:
    text = results.with_table(page_with("b", "a"))
    assert re.findall(r"^\| (\w) \|$", text, re.MULTILINE) == ["a", "b"]
    assert text.index("<!-- table ends -->") < text.index("<!-- begin a -->")
    moved = f"# Mine\n\n{text.partition(results.HEAD)[2].strip()}\n\nbelow\n"
    anew = results.Entry("b", "## b\n", "| B |", None)
    again = results.with_table(results.placed(moved, anew, Path("RESULTS.md")))
    assert re.findall(r"^\| (\w) \|$", again, re.MULTILINE) == ["a", "B"]
    assert again.startswith("# Mine\n\n<!-- table of entries -->\n") and again.endswith("below\n")


def test_a_sweep_whose_name_begins_another_one_is_not_mistaken() -> None:
    text = page_with("mix", "mix_weights", "mix")
    assert re.findall(r"^## (\w+)$", text, re.MULTILINE) == ["mix", "mix_weights"]


def test_an_entry_without_an_end_is_refused_and_left_alone() -> None:
    torn = page_with("a", "b").replace("<!-- end a -->\n", "")
    with pytest.raises(UserError, match="no <!-- end a --> after <!-- begin a -->"):
        page_with("a", text=torn)


def test_what_is_missing_is_in_the_entry(tmp_path: Path) -> None:
    folder = asked(tmp_path)
    for run in (folder / "none").glob("seed2-*"):
        status = json.loads((run / "status.json").read_text())
        (run / "status.json").write_text(json.dumps(status | {"state": "failed"}))
    text = collected(compose([folder], ""), tmp_path / "out")
    assert "- missing, failed or refused:\n  - none seed2: not done, failed at step 12" in text
    assert "n = 2 seeds" in text and "seed 2 of reflect" in text


@pytest.mark.parametrize(
    ("question", "got"), [({"primary": None}, "names no metric"), ({"asks": 3}, "asks nothing")]
)
def test_a_sweep_that_asks_nothing_of_a_metric_is_refused(
    tmp_path: Path, question: dict, got: str
) -> None:
    folder = asked(tmp_path, arms=("none",), **question)
    with pytest.raises(UserError, match=got):
        main([str(folder), "--results", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists() and not (folder / "report").exists()


def test_several_sweeps_at_once_are_refused(sweep: Path, tmp_path: Path) -> None:
    other = asked(tmp_path, arms=("none",)).rename(tmp_path / "t")
    with pytest.raises(UserError, match="2 sweeps at once"):
        main([str(sweep), str(other), "--out", str(tmp_path), "--results", str(tmp_path)])
