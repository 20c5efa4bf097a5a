"""The soak: storms over the file handlers, and a judge that finds each record's fate in the log.

`python -m tests.soak --help`, from the root of the repository, with only threadlog installed.
"""
