"""Processes of our own that run a module of ours. Nothing in the working directory is imported by them.

Python puts the working directory, or a script's, before its own library: a file `uuid.py` there would be executed.
"""

import os
import sys
from pathlib import Path

_RUN = (
    "import runpy, sys; _, paths, module, *sys.argv[1:] = sys.argv; sys.path += paths.split(':'); "
    "runpy.run_module(module, run_name='__main__', alter_sys=True)"
)


def child_command(module: str, *words: str) -> list[str]:
    """The words that run a module in isolated mode: with the folders that this process imports from but for those of
    its working directory and script, behind Python's own."""
    root = str(Path(__file__).resolve().parents[2])
    here = {"", ".", os.getcwd(), sys.path[0] if sys.path else ""}
    known = [path for path in sys.path if os.path.isabs(path) and path not in here and path != root]
    return [sys.executable, "-I", "-c", _RUN, ":".join([*known, root]), module, *words]
