"""The reference pretraining loop: train a small decoder on real text, and record what happens.

Read it in this order; each part uses only those above it:

    config       the anchors, the flags, and settings as the ledger keeps them
    talk         one line at a time on stderr, and no long silence
    files        what is opened, and what is not
    sizes        what cannot fit is refused at once
    hints        commands to paste
    python_text  the default corpus: the Python installation's own text
    corpus       documents of a folder, duplicates merged, split into train, validation and held out
    tokenizer    byte-level BPE, packing, shards, the sequence index
    order        which sequence stands at which position, for ever
    promises     the five contracts, as plain data
    model        the compact decoder, tensor for tensor as its descriptor says
    evaluate     exact losses on the declared sets
    checkpoint   durable files, and digests of equal state that are equal
    environment  processes, threads, devices, versions
    emit         the only door to psion_ledger
    progress     what a person sees meanwhile
    loop         one optimizer step after another
    beginning    a new run prepared, or an old one read
    __main__     from the command line to the report
"""

import os

# Read by the OpenMP runtime and by cuBLAS when torch loads them, so they are set before any import of torch.
# Threads that spin on busy cores are slower than one thread.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
