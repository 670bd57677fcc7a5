"""Commands about the log itself: seal and compact it, check its bytes, sign its head, prove what is in it."""

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
    read_file,
    say,
)
from psion_ledger.cli.output import Placed, write_out
from psion_ledger.errors import UsageError
from psion_ledger.report.escape import plain

if TYPE_CHECKING:
    from psion_ledger.record import Record

PublicKey = Annotated[Path, typer.Option("--key", help="The Ed25519 public key (PEM) that signs the heads.")]
OptionalPublicKey = Annotated[
    Path | None,
    typer.Option("--key", help="The Ed25519 public key (PEM) that signs the heads: checks signatures."),
]
prove = typer.Typer(
    help="Make and check proofs that need no ledger: that an event is in it, that a head continues another.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(prove, name="prove")


@app.command()
@guarded
def seal(run: RequiredRun, ledger: Ledger = LEDGER) -> int:
    """Seal what finished or dead writers left, as resuming does; live writers are left alone."""
    from psion_ledger import limits, log

    folder = log.find_run(ledger, run)
    limits.allow(folder)
    sealed = log.seal_run(folder)
    for line in sealed.torn:
        say(f"torn tail: {line}")
    for entry in sealed.entries:
        print(plain(f"entry {entry.number}  {entry.stream}  seq {entry.first_seq} to {entry.last_seq}"))
    if not sealed.entries:
        say("nothing to seal")
    return 0


@app.command()
@guarded
def compact(
    run: RequiredRun,
    prune: Annotated[bool, typer.Option("--prune", help="Then delete the files that were replaced.")] = False,
    ledger: Ledger = LEDGER,
) -> int:
    """Put adjacent segments of each stream into fewer files; deletes nothing, unless it is asked to prune."""
    from psion_ledger import limits, log
    from psion_ledger.log.compact import compact_run, prune_run

    folder = log.find_run(ledger, run)
    limits.allow(folder)
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
    from psion_ledger import heads, limits, log
    from psion_ledger.report import machine, show

    limits.allow(log.find_run(ledger, run))
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

    placed = Placed.at(output, key)
    with opened(ledger, run) as record_of_run:
        record = record_of_run.record
    size = len(record.manifest.entries)
    if size == 0:
        raise UsageError(f"run {run}: nothing is sealed yet, so there is no head: `psion-ledger seal {run}` seals")
    name = heads.origin(record.claim.run_id, record.claim.nonce)
    own = heads.Head(origin=name, size=size, root=record.manifest.head())
    if key is None:
        say("not signed: give --key to sign it")
        write_out(own.text.removesuffix("\n"), placed)
        return 0
    private = heads.load_private_key(key)
    note = heads.sign(own, private)
    log.keep_head(record.folder, size, note)
    say(f"verifier key: {heads.verifier_key(name, private.public_key())}")
    write_out(note.decode().removesuffix("\n"), placed)
    return 0


def _latest_head(record: "Record") -> bytes:
    """The ledger's own newest signed head; proofs are made from it, and checked under a key that the checker pins."""
    sizes = [int(path.stem) for path in (record.folder / "heads").glob("*.note") if path.stem.isdecimal()]
    if not sizes:
        raise UsageError(f"run {record.claim.run_id} has no signed head: `psion-ledger head RUN --key KEY` makes one")
    from psion_ledger import heads
    from psion_ledger.log import files

    return files.read_regular(record.folder / "heads" / f"{max(sizes)}.note", heads.NOTE_BYTES_MAX)


OptionalHead = Annotated[Path | None, typer.Option("--head", help="The signed head; the ledger's newest without it.")]


@prove.command()
@guarded
def inclusion(
    run: RequiredRun,
    entry: Annotated[int | None, typer.Option("--entry", min=0, help="A manifest entry.")] = None,
    stream: Annotated[str | None, typer.Option("--stream", help="The stream of one event.")] = None,
    seq: Annotated[int | None, typer.Option("--seq", min=0, help="Its sequence number.")] = None,
    head: OptionalHead = None,
    output: Output = None,
    ledger: Ledger = LEDGER,
) -> int:
    """Prove that an entry, or one event down to its bytes, is in the log of a signed head."""
    from psion_ledger import heads
    from psion_ledger.log import files, manifest, reread

    placed = Placed.at(output, head)
    with opened(ledger, run) as record_of_run:
        record = record_of_run.record
    note = _latest_head(record) if head is None else read_file(head)
    body, links, number = None, list[bytes](), entry
    if stream is not None and seq is not None and entry is None:
        number, body, links = reread.event(record.folder, record.manifest, stream, seq)
    elif entry is None or stream is not None or seq is not None:
        raise UsageError("give --entry, or --stream and --seq of one event")
    if number is None or number >= len(record.manifest.entries):
        raise UsageError(f"run {run}: there are {len(record.manifest.entries)} entries, from 0")
    made = heads.make_inclusion(
        note=note,
        leaf_hashes=record.manifest.leaf_hashes,
        entry=files.read_regular(manifest.path_of(record.folder, number)),
        body=body,
        links=links,
    )
    write_out(heads.encode(made).decode().removesuffix("\n"), placed)
    return 0


@prove.command()
@guarded
def consistency(
    run: RequiredRun,
    old: Annotated[Path, typer.Option("--from", help="The older signed head.")],
    head: OptionalHead = None,
    output: Output = None,
    ledger: Ledger = LEDGER,
) -> int:
    """Prove that the log of one signed head begins with the log of an older one."""
    from psion_ledger import heads

    placed = Placed.at(output, old, head)
    with opened(ledger, run) as record_of_run:
        record = record_of_run.record
    new = _latest_head(record) if head is None else read_file(head)
    made = heads.make_consistency(old_note=read_file(old), new_note=new, leaf_hashes=record.manifest.leaf_hashes)
    write_out(heads.encode(made).decode().removesuffix("\n"), placed)
    return 0


@prove.command()
@guarded
def equivocation(
    run: RequiredRun,
    kept: Annotated[Path, typer.Option("--expect-head", help="The signed head that was kept outside.")],
    key: PublicKey,
    output: Output = None,
    ledger: Ledger = LEDGER,
) -> int:
    """Prove that one key signed two histories: the kept head's, and a head of this ledger."""
    from psion_ledger import heads, witness

    placed = Placed.at(output, kept, key)
    with opened(ledger, run) as record_of_run:
        record = record_of_run.record
    made = witness.equivocation(record, witness.keep(read_file(kept), heads.load_public_key(key)))
    if made is None:
        raise UsageError("the ledger has no head, signed by this key and no older, that contradicts the kept one")
    write_out(made.decode().removesuffix("\n"), placed)
    return 0


@prove.command()
@guarded
def check(
    proof: Annotated[Path, typer.Argument(metavar="FILE", help="A proof, as the other commands write it.")],
    key: PublicKey,
    expect_run: Annotated[
        str | None, typer.Option("--expect-run", metavar="RUN", help="The run's id, or the log's whole origin.")
    ] = None,
    expect_entry: Annotated[
        int | None, typer.Option("--expect-entry", min=0, help="The manifest entry that it must be of.")
    ] = None,
    expect_event: Annotated[
        str | None, typer.Option("--expect-event", metavar="STREAM:SEQ", help="The event that it must be of.")
    ] = None,
    format: DocumentFormat = "rich",
) -> int:
    """Check a proof from itself and the pinned key alone, and say what it proves."""
    import msgspec

    from psion_ledger import heads
    from psion_ledger.report import machine, show

    expected = heads.Expected(run=expect_run, entry=expect_entry, event=_event_named(expect_event))
    found = heads.check(read_file(proof), heads.load_public_key(key))
    proven = heads.state(found)
    findings = [*found.findings, *([] if proven is None else heads.differences(proven, expected))]
    if format == "json":
        statement = None if proven is None else msgspec.structs.asdict(proven)
        values = {
            "verdict": "FAIL" if findings else "PASS",
            "proves": statement,
            "findings": msgspec.to_builtins(findings),
        }
        print(machine.document("psion_ledger.proof_check.v1", values))
    else:
        show.print_proof(found, proven, findings)
    return 1 if findings else 0


def _event_named(words: str | None) -> tuple[str, int] | None:
    if words is None:
        return None
    stream, colon, seq = words.rpartition(":")
    if not colon or not seq.isdecimal():
        raise UsageError(f"--expect-event {words}: give STREAM:SEQ, such as t0001.r00000:50")
    return stream, int(seq)
