from __future__ import annotations

import csv
import gzip
import hashlib
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from simulated import Levels, simulate_run

from spark_lab.analysis.report import main, pages, samples, write
from spark_lab.analysis.report.content import compose
from spark_lab.analysis.report.table import Cell, Column, Table, as_csv, as_latex, as_markdown
from spark_lab.errors import UserError

SMALL = {"questions": 24, "evaluations": 3, "steps": 12, "samples": 2, "rollouts": ("eval",)}
FIGURES = {"contrasts", "curves", "portrait", "transfer", "difficulty", "tradeoff", "reliability"}
EVIL = '<script>document.title = "owned"</script></svg></pre>`&|'


def sweep(root: Path, arms=("none", "pointwise"), seeds=(0, 1), **options) -> Path:
    for arm in arms:
        for seed in seeds:
            simulate_run(root, arm, seed, options.get("levels"), sweep="s", **SMALL)
    return root / "s"


def run_of(folder: Path, arm: str, seed: int) -> Path:
    return next((folder / arm).glob(f"seed{seed}-*"))


def written(folder: Path) -> str:
    return write([folder]).read_text()


def page_of(*paths: Path) -> str:
    """The page without its figures, which take most of the time."""
    report = compose(paths, "spark-lab report")
    drawn = [drawing.name for drawing in report.drawings if drawing.draw]
    return pages.html(report, dict.fromkeys(drawn, '<svg width="400pt"></svg>'))


def csv_of(folder: Path, name: str) -> str:
    report = compose([folder], "spark-lab report")
    return next(as_csv(table) for table in report.tables if table.name == name)


def section(page: str, name: str) -> str:
    return re.search(rf'<section id="{name}">(.*?)</section>', page, re.DOTALL)[1]


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def rewrite(path: Path, change) -> None:
    """Change the rows of a JSONL file, packed or not."""
    packed = path.suffix == ".gz"
    text = gzip.decompress(path.read_bytes()).decode() if packed else path.read_text()
    rows = [change(json.loads(line)) for line in text.splitlines()]
    out = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_bytes(gzip.compress(out.encode(), mtime=0) if packed else out.encode())


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = sweep(tmp_path_factory.mktemp("whole"))
    write([folder])
    return folder


def test_order_and_content(whole: Path) -> None:
    page = (whole / "report/report.html").read_text()
    sections = re.findall(r'<section id="(\w+)">', page)
    expected = "verdicts results contrasts coevolution health samples missing provenance words"
    assert sections == expected.split()
    assert "pointwise vs none: policy accuracy" in words(section(page, "verdicts"))
    assert "matched at 12 steps" in section(page, "verdicts")
    assert "Nothing: every arm has every seed" in section(page, "missing")
    assert f"spark-lab report {whole}" in section(page, "provenance")
    assert section(page, "samples").count("<article") == 20


def test_nothing_is_fetched_and_no_script_is_there(whole: Path) -> None:
    page = (whole / "report/report.html").read_text()
    assert "<script" not in page
    links = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert all(link.startswith(("#", "tables/", "figures/")) for link in links)
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)


def test_every_figure_is_there_three_times_and_well_formed(whole: Path) -> None:
    page = (whole / "report/report.html").read_text()
    drawn = set(re.findall(r'<figure id="figure-(\w+)"', page))
    assert drawn == {*FIGURES, "health"}
    for name in drawn:
        ElementTree.fromstring((whole / f"report/figures/{name}.svg").read_bytes())
        assert (whole / f"report/figures/{name}.png").read_bytes().startswith(b"\x89PNG")
    identifiers = re.findall(r'\sid="([^"]+)"', page)
    assert len(identifiers) == len(set(identifiers))
    for target in re.findall(r'url\(#([^)]+)\)|xlink:href="#([^"]+)"', page):
        assert "".join(target) in set(identifiers)


def test_captions_carry_n_and_the_command(whole: Path) -> None:
    page = (whole / "report/report.html").read_text()
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", page, re.DOTALL)
    assert captions
    for caption in captions:
        assert "spark-lab report" in caption
        assert re.search(r"n = 2|\d verdicts|\d judged solutions", words(caption)), caption


def test_main_table_holds_the_final_evaluation_and_the_starting_model(whole: Path) -> None:
    rows = {row["arm"]: row for row in csv.DictReader((whole / "report/tables/skills.csv").open())}
    assert list(rows) == ["starting model", "none", "pointwise"]
    for arm, place in (("starting model", 0), ("none", -1)):
        logged = [
            json.loads((run_of(whole, "none", seed) / "eval.jsonl").read_text().splitlines()[place])
            for seed in (0, 1)
        ]
        for metric in ("policy/accuracy", "fixed/judge/swap_consistency"):
            mean = sum(row[metric] for row in logged) / 2
            assert float(rows[arm][metric]) == pytest.approx(mean)
    assert float(rows["none"]["policy/accuracy_low"]) <= float(rows["none"]["policy/accuracy"])


def test_same_folders_give_the_same_bytes(whole: Path) -> None:
    before = digests(whole / "report")
    write([whole])
    assert digests(whole / "report") == before


def test_effects_that_are_there_are_found_and_named(tmp_path: Path) -> None:
    for seed in range(4):
        simulate_run(tmp_path, "none", seed, Levels(policy=(0.3, 0.4)), sweep="s", **SMALL)
        simulate_run(tmp_path, "reflect", seed, Levels(policy=(0.3, 0.97)), sweep="s", **SMALL)
    page = page_of(tmp_path / "s")
    policy = words(section(page, "verdicts"))
    assert re.search(r"better reflect vs none: policy accuracy \+\d\d\.\d points", policy)


def test_completions_stay_text(tmp_path: Path) -> None:
    folder = sweep(tmp_path, arms=("none",))
    for path in folder.rglob("eval-*.jsonl.gz"):
        rewrite(path, lambda row: row | {"completion": EVIL, "prompt": EVIL, "label": EVIL})
    page = written(folder)
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 20
    text = (folder / "report/report.md").read_text()
    # Only inside code blocks, where Markdown shows it as it is.
    assert all(line.startswith("    ") for line in text.splitlines() if "<script>" in line)


def test_arm_names_stay_text(tmp_path: Path) -> None:
    folder = sweep(tmp_path, arms=("none", "reflect"))
    (folder / "reflect").rename(folder / "<b>$x_1$ & co")
    page = written(folder)
    assert "<b>$x" not in page
    assert "&lt;b&gt;$x_1$ &amp; co" in page.replace("<wbr>", "")
    tex = (folder / "report/tables/skills.tex").read_text()
    assert r"$<$b$>$\$x\_1\$ \& co" in tex


def test_no_winner_between_unequal_budgets(tmp_path: Path) -> None:
    for seed in range(3):
        simulate_run(tmp_path, "none", seed, Levels(policy=(0.3, 0.4)), sweep="s", **SMALL)
        other = Levels(policy=(0.3, 0.97))
        simulate_run(tmp_path, "reflect", seed, other, sweep="s", **(SMALL | {"steps": 18}))
    page = page_of(tmp_path / "s")
    verdicts = words(section(page, "verdicts"))
    assert "4 budgets differ" in verdicts
    assert "No winner: the budgets differ by more than 2 %: 18 steps against 12 steps" in verdicts
    assert "better" not in verdicts
    assert "budgets that differ by over 2 %" in words(section(page, "missing"))


def test_other_questions_are_refused(tmp_path: Path) -> None:
    folder = sweep(tmp_path, arms=("none",))
    for seed in (0, 1):
        simulate_run(tmp_path, "reflect", seed, sweep="s", world=7, **SMALL)
    page = page_of(folder)
    assert "4 refused" in section(page, "verdicts")
    assert "evaluated on different questions" in section(page, "missing")
    assert "Nothing to draw" in section(page, "contrasts")


def test_one_arm_is_held_against_the_starting_model(tmp_path: Path) -> None:
    folder = sweep(tmp_path, arms=("pointwise",), seeds=(0, 1, 2))
    verdicts = words(section(page_of(folder), "verdicts"))
    assert "contrasts with the starting model" in verdicts
    assert re.search(r"pointwise: policy accuracy from [\d.]+ to [\d.]+ \(\+", verdicts)


def test_one_run_says_that_one_seed_is_no_evidence(tmp_path: Path) -> None:
    folder = sweep(tmp_path, arms=("pointwise",), seeds=(0,))
    page = page_of(run_of(folder, "pointwise", 0))
    verdicts = words(section(page, "verdicts"))
    assert "one seed says nothing about training again" in verdicts
    assert "better" not in verdicts.replace("not better", "")
    assert "over questions only" in verdicts
    assert "two seeds with 10 evaluations" in words(section(page, "coevolution"))


def test_torn_files_are_named_and_no_number_changes(whole: Path, tmp_path: Path) -> None:
    folder = sweep(tmp_path)
    for name in ("metrics.jsonl", "eval.jsonl"):
        with (run_of(folder, "none", 0) / name).open("a") as file:
            file.write('{"step": 13, "policy/accuracy": 0.')
    page = page_of(folder)
    assert "metrics.jsonl: torn last line 13 left out" in section(page, "missing")
    for name in ("skills", "contrasts"):
        theirs = (whole / f"report/tables/{name}.csv").read_text()
        assert csv_of(folder, name) == theirs


def test_several_sweeps_are_told_apart(tmp_path: Path) -> None:
    simulate_run(tmp_path, "none", 0, sweep="a", **SMALL)
    simulate_run(tmp_path, "none", 0, sweep="b", **SMALL)
    page = page_of(tmp_path / "a", tmp_path / "b")
    assert "b: none vs a: none" in section(page, "verdicts")


def test_arms_that_differ_in_a_key_are_named_by_it(tmp_path: Path) -> None:
    folder = sweep(tmp_path, arms=("reflect",))
    for seed in (0, 1):
        run = run_of(folder, "reflect", seed)
        config = yaml.safe_load((run / "config.yaml").read_text())
        config["trainer"]["learning_rate"] = 1e-3
        twin = run.with_name(f"seed{seed}-{'ab' * 4}")
        twin.mkdir()
        for part in run.rglob("*"):
            target = twin / part.relative_to(run)
            target.mkdir() if part.is_dir() else target.write_bytes(part.read_bytes())
        (twin / "config.yaml").write_text(yaml.safe_dump(config))
    page = page_of(folder)
    line = "reflect learning_rate=0.001 vs reflect learning_rate=0.0003"
    assert line in section(page, "verdicts")
    assert "trainer.learning_rate,0.0003,0.001" in csv_of(folder, "configuration")


def test_stale_tables_and_figures_are_removed(tmp_path: Path) -> None:
    folder = sweep(tmp_path)
    written(folder)
    kept = folder / "report/tables/mine.csv"
    kept.write_text("a\n")
    for run in folder.glob("pointwise/seed*"):
        status = json.loads((run / "status.json").read_text())
        (run / "status.json").write_text(json.dumps(status | {"state": "failed"}))
    written(folder)
    assert not (folder / "report/tables/contrasts.csv").exists()
    assert not (folder / "report/figures/contrasts.svg").exists()
    assert kept.exists()


def test_bad_paths_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "nowhere"):
        with pytest.raises(UserError, match=path.name):
            main([str(path)])
    folder = sweep(tmp_path, arms=("none",), seeds=(0,))
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(UserError, match="can't write there"):
        write([folder], blocked)


def test_curves_are_over_the_unit_that_is_asked_for(whole: Path, tmp_path: Path) -> None:
    assert main([str(whole), "--axis", "flops", "--out", str(tmp_path / "r")]) == 0
    assert "FLOPs" in (tmp_path / "r/figures/curves.svg").read_text()
    assert "--axis flops" in (tmp_path / "r/report.html").read_text()
    folder = sweep(tmp_path / "other", arms=("none",), seeds=(0,))
    rewrite(
        run_of(folder, "none", 0) / "eval.jsonl",
        lambda row: {key: value for key, value in row.items() if key != "compute/flops"},
    )
    with pytest.raises(UserError, match="flops, which not every run has measured"):
        main([str(folder), "--axis", "flops"])


def test_command_prints_the_page(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = sweep(tmp_path, arms=("none",), seeds=(0,))
    assert main([str(folder), "--out", str(tmp_path / "r")]) == 0
    page = tmp_path / "r/report.html"
    assert capsys.readouterr().out.strip() == str(page)
    assert f"--out {tmp_path / 'r'}" in page.read_text()


def test_ten_samples_whatever_there_is() -> None:
    def rows(objective: str, right: int, wrong: int):
        return [
            {"objective": objective, "correct": index < right, "index": index}
            for index in range(right + wrong)
        ]

    every = rows("solve", 8, 8) + rows("pointwise", 5, 5) + rows("pairwise", 5, 0)
    chosen = samples.choose(every + rows("reflect", 0, 5))
    assert len(chosen) == len({id(row) for row in chosen}) == 10
    assert sum(row["objective"] == "solve" for row in chosen) == 4
    assert sum(row["correct"] for row in chosen if row["objective"] == "solve") == 2
    assert len(samples.choose(rows("solve", 30, 0))) == 10
    assert len(samples.choose(rows("pairwise", 2, 1))) == 3


def test_table_formats() -> None:
    columns = (
        Column("arm", "a_b"),
        Column("x", "x %", "points", spread=True),
        Column("p", "p", "p"),
    )
    rows = ((Cell("5 % & |"), Cell(-0.031, -0.05, 0.012), Cell(0.0001)),)
    table = Table("t", "T", "C", columns, (*rows, (Cell("none"), Cell(None), Cell(float("nan")))))
    assert as_csv(table) == "arm,x,x_low,x_high,p\n5 % & |,-0.031,-0.05,0.012,0.0001\nnone,,,,\n"
    latex = as_latex(table)
    assert r"5 \% \& | & $-$3.1 {\scriptsize [$-$5.0 to +1.2]} & $<$ 0.001 \\" in latex
    assert r"a\_b & x \% & p \\" in latex and r"\toprule" in latex
    text = as_markdown(table)
    assert "| 5 % &amp; \\| | \N{MINUS SIGN}3.1 (\N{MINUS SIGN}5.0 to +1.2) | &lt; 0.001 |" in text


def test_two_configurations_with_one_seed_in_a_folder_stay_apart(tmp_path: Path) -> None:
    folder = sweep(tmp_path, arms=("none", "reflect"), seeds=(0,))
    run = run_of(folder, "reflect", 0)
    twin = run.with_name(f"seed0-{'ab' * 4}")
    run.rename(twin)
    simulate_run(tmp_path, "reflect", 0, sweep="s", **SMALL)
    (twin / "config.yaml").write_text("{")
    verdicts = section(page_of(folder), "verdicts")
    assert "reflect (configuration 1) vs none" in verdicts
    assert "reflect (configuration 2) vs none" in verdicts
