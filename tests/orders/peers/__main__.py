"""`python -m tests.orders.peers [NAME ...]`: each order beside its library, as a table of Markdown."""

import importlib
import sys
from collections import Counter
from importlib.metadata import PackageNotFoundError, packages_distributions, version

NAMES = ("accelerate", "transformers", "lightning", "torchdata", "olmo", "megatron", "mosaicml")


def versions(modules: tuple[str, ...]) -> str:
    """The installed distributions behind these modules."""
    known = packages_distributions()
    said = []
    for module in modules:
        for distribution in sorted(set(known.get(module, []))):
            try:
                said.append(f"{distribution} {version(distribution)}")
            except PackageNotFoundError:
                continue
    return ", ".join(said)


def main() -> int:
    names = sys.argv[1:] or NAMES
    failed = 0
    print("| library | order | case | compared | equal |\n|---|---|---|---|---|")
    for name in names:
        module = importlib.import_module(f"tests.orders.peers.{name}")
        made, equal = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
        for found in module.compared():
            made[found.order, found.case] += 1
            equal[found.order, found.case] += found.equal
        for (order, case), count in made.items():
            failed += count - equal[order, case]
            print(f"| {versions(module.REQUIRES)} | {order} | {case} | {count} | {equal[order, case]} |", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
