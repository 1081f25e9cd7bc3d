"""`python -m dvm`: the command line."""

from dvm.cli import main

main()
