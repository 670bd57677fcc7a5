"""What token data must hold by itself, and against the plan and the model."""

from psion_ledger.contracts.finding import ContractFinding, Findings, covers, document_rules, equal, unique
from psion_ledger.contracts.sampling_plan import ROLE as PLAN
from psion_ledger.contracts.sampling_plan import SamplingPlan
from psion_ledger.contracts.token_data import ROLE, SCHEMA_VERSION, TOKEN_BYTES, TokenData, TokenFile

_COLUMNAR = ("parquet", "arrow")


def rules(data: TokenData) -> list[ContractFinding]:
    """What the document must hold by itself."""
    at = f"{ROLE}#/files"
    found = [*document_rules(ROLE, SCHEMA_VERSION, data)]
    if not data.files:
        found.append(ContractFinding("CoverageMismatch", at, "one file at least", "none"))
    found += unique(at, [file.file_id for file in data.files])
    found += unique(at, [file.path for file in data.files])
    for number, file in enumerate(data.files):
        found += _file_rules(f"{at}/{number}", file)
    return found


def _file_rules(at: str, file: TokenFile) -> Findings:
    yield from _path_rules(f"{at}/path", file.path)
    columnar = file.format in _COLUMNAR
    if (file.column is not None) != columnar:
        expected = f"{'given' if columnar else 'absent'} where the format is {file.format}"
        yield ContractFinding("FieldMismatch", f"{at}/column", expected, str(file.column))
    if (file.index is not None) != (file.format == "megatron"):
        expected = f"{'given' if file.format == 'megatron' else 'absent'} where the format is {file.format}"
        yield ContractFinding("FieldMismatch", f"{at}/index", expected, "absent" if file.index is None else "given")
    if file.index is not None:
        yield from _path_rules(f"{at}/index/path", file.index.path)
    if not columnar and (needed := file.tokens * TOKEN_BYTES[file.dtype]) > file.bytes:
        expected = f"at least {needed}, for {file.tokens} tokens"
        yield ContractFinding("CountMismatch", f"{at}/bytes", expected, str(file.bytes))


def _path_rules(at: str, path: str) -> Findings:
    """Below the corpus folder, and spelled in one way only."""
    steps = path.split("/")
    if any(step in ("", ".", "..") for step in steps) or "\0" in path or "\\" in path:
        yield ContractFinding("FieldMismatch", at, "a plain relative path", path)


def data_against_plan(data: TokenData, plan: SamplingPlan) -> Findings:
    """Identity, files, totals and types are the plan's."""
    yield from equal(f"{ROLE}#/dataset_identity", plan.dataset_identity, data.dataset_identity)
    files = {file.file_id: file for file in data.files}
    listed = [file_id for family in plan.families for file_id in family.shard_ids]
    yield from unique(f"{PLAN}#/families", listed)
    yield from covers(f"{ROLE}#/files", listed, files, "CoverageMismatch")
    there = [file.file_id for file in data.files]
    if sorted(listed) == sorted(there):
        yield from equal(f"{ROLE}#/files", listed, there, "FamilyOrderMismatch")
    for number, family in enumerate(plan.families):
        at = f"{PLAN}#/families/{number}"
        own = [files[file_id] for file_id in family.shard_ids if file_id in files]
        yield from equal(f"{at}/sequences", sum(file.sequences for file in own), family.sequences, "CountMismatch")
        yield from equal(f"{at}/tokens", sum(file.tokens for file in own), family.tokens, "CountMismatch")
    for number, file in enumerate(data.files):
        at = f"{ROLE}#/files/{number}"
        if plan.token_dtype is not None:
            yield from equal(f"{at}/dtype", plan.token_dtype, file.dtype, "TokenWidthMismatch")
        if plan.unit == "sequence" and file.format == "raw" and (not file.sequences or file.tokens % file.sequences):
            expected = "sequences of one length, for nothing else says where they end"
            actual = f"{file.tokens} tokens in {file.sequences}"
            yield ContractFinding("CountMismatch", f"{at}/sequences", expected, actual)


def data_against_vocabulary(data: TokenData, vocabulary: int) -> Findings:
    """Every id of the tokenizer fits the type of each file."""
    for number, file in enumerate(data.files):
        if file.dtype in ("uint8", "uint16") and vocabulary > 1 << 8 * TOKEN_BYTES[file.dtype]:
            expected = f"a wider type, for {vocabulary} token ids"
            yield ContractFinding("TokenWidthMismatch", f"{ROLE}#/files/{number}/dtype", expected, file.dtype)
