"""Processes of our own that run a module of ours. Nothing in the working directory is imported by them.

Python puts the working directory, or a script's, before its own library: a file `uuid.py` there would be executed.
"""

import os
import sys
from pathlib import Path

# This very package, wherever else one of its name is installed; what it imports comes from the folders of this process.
_RUN = """
import importlib.util, runpy, sys
_, paths, package, module, *sys.argv[1:] = sys.argv
sys.path += paths.split(":")
spec = importlib.util.spec_from_file_location("psion_ledger", package)
sys.modules["psion_ledger"] = made = importlib.util.module_from_spec(spec)
spec.loader.exec_module(made)
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


def child_command(module: str, *words: str) -> list[str]:
    """The words that run a module of this package in isolated mode: with the folders that this process imports from but
    for those of its working directory and script, behind Python's own."""
    package = Path(__file__).resolve().parents[1] / "__init__.py"
    # Unless Python was told not to, it has put the script's folder first.
    here = {os.getcwd(), *([] if sys.flags.safe_path else sys.path[:1])}
    known = [path for path in sys.path if os.path.isabs(path) and path not in here]
    return [sys.executable, "-I", "-c", _RUN, ":".join(known), str(package), module, *words]
