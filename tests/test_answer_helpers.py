"""Helper processes that compare answers: killed, hung, forked or absent, they turn no answer round."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from spark_lab import answers
from spark_lab.answers.helper import HELPERS, PATIENCE

ROOT = Path(__file__).resolve().parent.parent


def helper_pid() -> int:
    pid = HELPERS["math"].pid
    assert pid is not None
    return pid


def test_a_killed_comparison_leaves_the_others_right():
    assert answers.verify("math", "a+b", "b+a")
    before = helper_pid()
    for i in range(3):
        start = time.perf_counter()
        assert not answers.verify("math", f"{10**6 + i}!", "3")
        assert time.perf_counter() - start > 0.3, "this was meant to use up its budget"
        assert answers.verify("math", f"c+{i}", f"{i}+c")
        assert not answers.verify("math", f"c+{i}", f"{i}+d")
    assert helper_pid() == before


def test_a_helper_that_was_killed_is_replaced_within_the_call():
    assert answers.verify("math", "e+f", "f+e")
    os.killpg(helper_pid(), signal.SIGKILL)
    assert answers.verify("math", "g+h", "h+g")


def test_a_helper_that_hangs_is_given_up_in_time(monkeypatch):
    monkeypatch.setitem(PATIENCE, "math", 0.5)
    assert answers.verify("math", "k+l", "l+k")
    os.killpg(helper_pid(), signal.SIGSTOP)
    start = time.perf_counter()
    assert not answers.verify("math", "m+n", "n+m")
    assert time.perf_counter() - start < 20.0
    assert answers.verify("math", "p+q", "q+p")


def test_threads_take_turns():
    pairs = [(f"{i}+x", f"x+{i if i % 3 else i + 1}", i % 3 != 0) for i in range(60)]
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda pair: answers.verify("math", pair[0], pair[1]), pairs))
    assert got == [same for _, _, same in pairs]


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_forked_process_has_its_own_helper_and_none_outlives_its_owner():
    done = run_python(
        "import os\n"
        "from spark_lab.answers import verify\n"
        "from spark_lab.answers.helper import HELPERS\n"
        "assert verify('math', 'a+1', '1+a')\n"
        "parents = HELPERS['math'].pid\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    right = verify('math', 'b+1', '1+b') and HELPERS['math'].pid != parents\n"
        "    HELPERS['math'].stop()\n"
        "    os._exit(0 if right else 1)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0\n"
        "assert verify('math', 'c+1', '1+c') and HELPERS['math'].pid == parents\n"
        "print(parents)\n"
    )
    assert done.returncode == 0, done.stderr
    with pytest.raises(ProcessLookupError):
        os.kill(int(done.stdout), 0)


def test_missing_math_verify_is_a_user_error_and_the_other_kinds_do_without(tmp_path):
    (tmp_path / "math_verify.py").write_text("raise ImportError('no antlr here')")
    done = run_python(
        "import sys\n"
        "from spark_lab import answers, errors\n"
        "assert answers.verify('numeric', '4', '4') and answers.verify('math', '4', '4.0')\n"
        "assert not {'math_verify', 'sympy'} & set(sys.modules)\n"
        "try:\n"
        "    answers.verify('math', 'x+1', '1+x')\n"
        "except errors.UserError as error:\n"
        "    print(error)\n",
        PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}",
    )
    assert "no antlr here" in done.stdout, done.stderr
    assert "pip install 'math-verify[antlr4-9-3]'" in done.stdout
