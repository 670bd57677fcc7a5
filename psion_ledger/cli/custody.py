"""Commands about the log itself: seal and compact it, check its bytes, sign its head."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from psion_ledger.cli.app import (
    LEDGER,
    Deep,
    DocumentFormat,
    Ledger,
    Output,
    RequiredRun,
    app,
    guarded,
    opened,
    say,
)
from psion_ledger.cli.output import Placed, write_out
from psion_ledger.errors import CannotDecide, Inaccessible, LedgerError, UsageError
from psion_ledger.escape import plain

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from psion_ledger.reading import Record

OptionalPublicKey = Annotated[
    Path | None,
    typer.Option("--key", help="The Ed25519 public key (PEM) that signs the heads: checks signatures."),
]


@app.command()
@guarded
def seal(
    run: RequiredRun,
    writer_is_gone: Annotated[
        bool,
        typer.Option(
            "--writer-is-gone",
            help="Also seal what is locked, if the process that opened it on this machine has ended: a child that it "
            "forked keeps the lock.",
        ),
    ] = False,
    cut_damage: Annotated[
        bool,
        typer.Option(
            "--cut-damage",
            help="First cut what is damaged: events before the damage are sealed, the journal is kept beside them, and "
            "the gap is recorded. No audit of the run passes after that.",
        ),
    ] = False,
    ledger: Ledger = LEDGER,
) -> int:
    """Seal what finished or dead writers left, as resuming does; live writers are left alone."""
    from psion_ledger import log

    folder = log.find_run(ledger, run)
    for cut in log.cut_damage(folder) if cut_damage else []:
        kept = f"at least {cut.events_lost:,} events behind it are kept in {', '.join(cut.kept)}"
        say(f"stream {cut.stream} is cut after seq {cut.after_seq}: {cut.reason}; {kept}; no audit of this run passes")
    sealed = log.seal_run(folder, writer_is_gone=writer_is_gone)
    for line in sealed.torn:
        say(f"torn tail: {line}")
    for entry in sealed.entries:
        print(plain(f"entry {entry.number}  {entry.stream}  seq {entry.first_seq} to {entry.last_seq}"))
    if not sealed.entries:
        say("nothing to seal")
    if writer_is_gone:
        log.refuse_if_live(folder)
    return 0


@app.command()
@guarded
def compact(
    run: RequiredRun,
    prune: Annotated[bool, typer.Option("--prune", help="Then delete the files that were replaced.")] = False,
    ledger: Ledger = LEDGER,
) -> int:
    """Put adjacent segments of each stream into fewer files; deletes nothing, unless it is asked to prune."""
    from psion_ledger import log
    from psion_ledger.log.compact import compact_run, prune_run

    folder = log.find_run(ledger, run)
    for entry in compact_run(folder):
        replaced = ", ".join(map(str, entry.replaces))
        seqs = f"seq {entry.first_seq} to {entry.last_seq}"
        print(plain(f"entry {entry.number}  {entry.stream}  {seqs}, for entries {replaced}"))
    if prune:
        print(f"{len(prune_run(folder))} files deleted")
    return 0


@app.command()
@guarded
def fsck(
    run: RequiredRun,
    deep: Deep = False,
    key: OptionalPublicKey = None,
    ledger: Ledger = LEDGER,
    format: DocumentFormat = "rich",
) -> int:
    """Check every file of a run against its claim and manifest; each fault names file, stream and events."""
    import msgspec

    from psion_ledger import fsck as checking
    from psion_ledger import heads
    from psion_ledger.report import machine, show

    pinned = None if key is None else heads.load_public_key(key)
    found = checking.fsck(ledger, run, deep=deep, key=pinned)
    if format == "json":
        values = {"run_id": found.run_id, "verdict": found.verdict, "deep": found.deep}
        print(machine.document(checking.SCHEMA_VERSION, values | {"findings": msgspec.to_builtins(found.findings)}))
    else:
        show.print_fsck(found)
    return found.exit_code


@app.command()
@guarded
def head(
    run: RequiredRun,
    key: Annotated[
        Path | None, typer.Option("--key", help="The Ed25519 private key (PEM) to sign with; unsigned without.")
    ] = None,
    output: Output = None,
    ledger: Ledger = LEDGER,
) -> int:
    """Print the head of the log, signed: keep it outside, and nobody can rewrite what it covers unseen."""
    from psion_ledger import heads, log

    placed = Placed.at(output, ledger / run, key)
    with opened(ledger, run) as record_of_run:
        record = record_of_run.record
    size = len(record.manifest.entries)
    if size == 0:
        words = record_of_run.command(f"psion-ledger seal {run}")
        raise UsageError(f"run {run}: nothing is sealed yet, so there is no head: `{words}` seals")
    name = heads.origin(record.claim.run_id, record.claim.nonce)
    own = heads.Head(origin=name, size=size, root=record.manifest.head())
    if key is None:
        say("not signed: give --key to sign it")
        write_out(own.text.removesuffix("\n"), placed)
        return 0
    private = heads.load_private_key(key)
    _refuse_second_history(record, private.public_key())
    note = heads.sign(own, private)
    log.keep_head(record.folder, size, note)
    say(f"verifier key: {heads.verifier_key(name, private.public_key())}")
    write_out(note.decode().removesuffix("\n"), placed)
    return 0


def _refuse_second_history(record: "Record", key: "Ed25519PublicKey") -> None:
    """Raise CannotDecide when this key signed a head in the ledger that the record does not continue: entries were
    taken away or rewritten, and whoever signs again tells two histories."""
    from psion_ledger import heads, witness
    from psion_ledger.log import files

    for path in sorted((record.folder / "heads").glob("*.note")):
        try:
            kept = witness.keep(files.read_regular(path, heads.NOTE_BYTES_MAX), key)
        except Inaccessible:
            raise
        except (LedgerError, FileNotFoundError):
            continue  # By another key, or by none: it binds nobody here.
        if (held := witness.hold(record, kept)).status != "anchored":
            raise CannotDecide(
                f"run {record.claim.run_id}: heads/{path.name}: this key signed {held.expected}, and the record is "
                f"{held.actual}: not signed a second time"
            )
