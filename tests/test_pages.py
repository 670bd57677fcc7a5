"""The generated pages are up to date, and the README's commands do what it says."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from psion_ledger import catalog, pages

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")

PLAIN = (ROOT / "trainer" / "examples" / "plain.py").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_contract_page_is_what_the_queries_give() -> None:
    """Somebody changed a law and did not run `python -m psion_ledger.pages`."""
    assert (ROOT / "queries" / "README.md").read_text(encoding="utf-8") == pages.contract_page()


def test_the_readme_s_commands_are_those_of_the_command_line() -> None:
    """Somebody added a command and did not generate the README's list."""
    assert pages.with_commands(README) == README


def test_every_law_holds_a_promise_and_every_promise_names_laws() -> None:
    """The contract page leaves no law out and names none that there is not."""
    named = [law for promise in pages.PROMISES for law in promise.laws]
    assert sorted(named) == sorted(law.name for law in catalog.laws())


def test_the_readme_s_commands_work(tmp_path: Path) -> None:
    """Every psion-ledger, openssl, DuckDB and Python example of the README is run, in order, as written."""
    shutil.copytree(ROOT / "fixtures", tmp_path / "fixtures")
    shutil.copytree(ROOT / "trainer" / "examples", tmp_path / "trainer" / "examples")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    for name, words in (("psion-ledger", "-m psion_ledger"), ("python", "")):
        script = tmp_path / ".venv" / "bin" / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n', encoding="utf-8")
        script.chmod(0o755)
    lines = [
        line
        for block in blocks("sh")
        for line in block.splitlines()
        if re.match(r"\.venv/bin/|openssl |mkdir |\(cd ", line)
    ]
    assert len(lines) == 25
    before = _contents(tmp_path / "fixtures")
    for line in lines:
        done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, timeout=120)
        writes = any(word in line for word in (" -o", "-out ", "mkdir", ".tofile(", "(cd "))
        assert (done.returncode, bool(done.stdout) or writes) == (0, True), (
            line,
            done.stderr,
        )
    for source in (source for source in blocks("python") if source != PLAIN):
        done = subprocess.run([sys.executable, "-c", source], cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert (done.returncode, len(done.stdout.splitlines())) == (0, 3), done.stderr
    # They work on a copy: nothing that is tracked changes.
    assert _contents(tmp_path / "fixtures") == before


def test_the_readme_shows_a_loop_that_is_run_as_it_stands() -> None:
    """The plain example, to the letter, before a run of one's own is audited."""
    assert PLAIN in blocks("python")
    assert README.index(PLAIN) < README.index("psion-ledger audit plain") < README.index("psion-ledger audit fixture")


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_ci_calls_the_readme_s_test_command() -> None:
    """The landing runs what a stranger runs: the one line of the README that calls pytest."""
    (command,) = [line for block in blocks("sh") for line in block.splitlines() if "-m pytest" in line]
    pattern = re.search(r"grep -m 1 -E '([^']+)' README.md", (ROOT / ".ci" / "run").read_text(encoding="utf-8"))
    assert pattern is not None
    found = [line for line in README.splitlines() if re.search(pattern[1], line)]
    assert found == [command]
