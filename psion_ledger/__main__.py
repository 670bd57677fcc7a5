"""`python -m psion_ledger` is `psion-ledger`."""

from psion_ledger.cli import main

main()
