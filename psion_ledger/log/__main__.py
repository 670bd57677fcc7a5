"""`python -m psion_ledger.log RUN_FOLDER [STREAM]`: seal what can be sealed. A writer hands its journals to this."""

import sys
from pathlib import Path

from psion_ledger.errors import LedgerError
from psion_ledger.escape import plain
from psion_ledger.log.segment import seal_run


def main() -> int:
    try:
        sealed = seal_run(Path(sys.argv[1]), *sys.argv[2:3])
    except (LedgerError, OSError) as error:
        print(plain(str(error)), file=sys.stderr)
        return getattr(error, "exit_code", 3)
    for line in sealed.torn:
        print(plain(f"torn tail: {line}"), file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
