"""The command line: one command per file, each a thin shell around the library.

`main.py` lists the commands and runs one. A command parses its options, checks whatever can be
checked before minutes are spent, and only then imports what does the work, so that `--help` and
mistakes are answered at once.
"""
