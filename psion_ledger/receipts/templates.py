"""The only texts that a receipt holds. Everything in braces is derived; nobody types a claim in.

The summary may not be what a digest hides behind: no value that is put in here can hold a `|`.
"""

DERIVATION_VERSION = 1

RECEIPT_ID_REPLAY = "{run_id}-pretrain-replay"
RECEIPT_ID_LINEAGE = "{run_id}-pretrain-checkpoint-lineage"
STREAM_ID = "{run_id}.{checkpoint_id}"
CHECKPOINT_REF = "checkpoint://{run_id}/{checkpoint_id}"
ROW_TRAIN = (
    "Shares from the {sequences} sequences ({tokens} tokens) of this family that training consumed; "
    "loss of the promoted weights on its train probe, {target_tokens} target tokens."
)
ROW_MEASURED = (
    "Shares and loss from the {sequences} sequences of this family's declared {split_name} set, "
    "{target_tokens} target tokens, measured on the promoted weights."
)
REPLAY_SUMMARY = "{successful_replays} complete dry replays of order and content; {verdict}."
REPLAY_EXACT = "each equalled training batch by batch"
REPLAY_DIFFERS = "not every pass equalled training"
ACCELERATOR_DETAIL = "{steps} optimizer steps completed on {device}."
SUMMARY = (
    "Pretrain stage {stage_id}: {steps} optimizer steps over {tokens} tokens of {dataset_identity} under "
    "{policy_id} {policy_version}; promoted {checkpoint_id}."
)
