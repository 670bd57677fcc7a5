"""Commands about proofs: made from a ledger and a signed head of it, checked without any ledger."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from psion_ledger.cli.app import LEDGER, DocumentFormat, Ledger, Output, RequiredRun, app, guarded, opened, read_file
from psion_ledger.cli.output import Placed, write_out
from psion_ledger.errors import CannotDecide, Damaged, LedgerError, Unreadable, UsageError

if TYPE_CHECKING:
    from psion_ledger.heads import Head
    from psion_ledger.ledger import Run
    from psion_ledger.reading import Record

PublicKey = Annotated[Path, typer.Option("--key", help="The Ed25519 public key (PEM) that signs the heads.")]
_NOTE = re.compile(r"(0|[1-9][0-9]{0,18})\.note")
_EVENT = re.compile(r"([^:]+):(0|[1-9][0-9]{0,18})")
prove = typer.Typer(
    help="Make and check proofs that need no ledger: that an event is in it, that a head continues another.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(prove, name="prove")


def _head_of(run: "Run", given: Path | None) -> bytes:
    """The signed head that was given, else the ledger's newest. Proofs are made from it; whoever checks one pins the
    key, so no signature is looked at here."""
    if given is None:
        return _newest_head(run)
    note = read_file(given)
    _continued(run.record, note, str(given))
    return note


def _newest_head(run: "Run") -> bytes:
    """Raises UsageError when there is none, Unreadable when it is none of this record."""
    from psion_ledger import heads
    from psion_ledger.log import files

    folder = run.record.folder / "heads"
    sizes = [int(match[1]) for path in folder.glob("*") if (match := _NOTE.fullmatch(path.name))]
    if not sizes:
        words = run.command(f"psion-ledger head {run.run_id} --key KEY")
        raise UsageError(f"run {run.run_id} has no signed head: `{words}` makes one")
    name = f"{max(sizes)}.note"
    note = files.read_regular(folder / name, heads.NOTE_BYTES_MAX)
    where = f"run {run.run_id}: heads/{name}"
    try:
        head = _continued(run.record, note, where)
    except LedgerError as error:
        raise Unreadable(str(error)) from error
    if head.size != max(sizes):
        raise Unreadable(f"{where}: a head of {head.size} entries, which its name does not say")
    return note


def _continued(record: "Record", note: bytes, where: str) -> "Head":
    """The head of a note that this record continues. Raises UsageError for what is no head of this log, CannotDecide
    when the record is another history."""
    from psion_ledger import heads

    try:
        head = heads.unverified(note).head
    except heads.NoteRefused as error:
        raise UsageError(f"{where}: no signed head: {error}") from error
    own = heads.origin(record.claim.run_id, record.claim.nonce)
    if head.origin != own:
        raise UsageError(f"{where}: a head of the log {head.origin}, and this is {own}")
    tree = heads.Tree(record.manifest.leaf_hashes)
    if head.size > tree.size or tree.root(head.size) != head.root:
        raise CannotDecide(
            f"{where}: the {tree.size} entries of the record do not continue this head of {head.size}, so nothing is "
            "proven from it: `psion-ledger audit --expect-head` tells what differs"
        )
    return head


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
    from psion_ledger.digest import leaf_hash, merkle_root
    from psion_ledger.log import files, manifest, reread

    placed = Placed.at(output, ledger / run, head)
    with opened(ledger, run) as record_of_run:
        record = record_of_run.record
    note = _head_of(record_of_run, head)
    body, links, number = None, list[bytes](), entry
    if stream is not None and seq is not None and entry is None:
        number, body, links = reread.event(record.folder, record.manifest, stream, seq)
    elif entry is None or stream is not None or seq is not None:
        raise UsageError("give --entry, or --stream and --seq of one event")
    if number is None or number >= len(record.manifest.entries):
        raise UsageError(f"run {run}: there are {len(record.manifest.entries)} entries, from 0")
    data = files.read_regular(manifest.path_of(record.folder, number))
    if leaf_hash(data) != record.manifest.leaf_hashes[number]:
        raise Damaged(record.folder, f"manifest/{number}.json", "it was changed while it was read")
    if links and merkle_root(links).hex() != record.manifest.entries[number].events_root:
        raise Damaged(record.folder, f"manifest/{number}.json", "its sealed files do not give the root of its events")
    made = heads.make_inclusion(note=note, leaf_hashes=record.manifest.leaf_hashes, entry=data, body=body, links=links)
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

    placed = Placed.at(output, ledger / run, old, head)
    with opened(ledger, run) as record_of_run:
        record = record_of_run.record
    new, older = _head_of(record_of_run, head), _head_of(record_of_run, old)
    made = heads.make_consistency(old_note=older, new_note=new, leaf_hashes=record.manifest.leaf_hashes)
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

    placed = Placed.at(output, ledger / run, kept, key)
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
    found = _EVENT.fullmatch(words)
    if found is None:
        raise UsageError(f"--expect-event {words}: give STREAM:SEQ, such as t0001.r00000:50")
    return found[1], int(found[2])
