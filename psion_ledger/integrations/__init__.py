"""Recording for trainers that other people wrote. Each module imports its library when it is used, and never before.

    from psion_ledger.integrations.transformers import recorded

`carrying` takes the numbers of rows from a data set past its collator, `token_rows` describes the data set.
"""
