"""The `dvm` command: one file per subcommand, assembled in `app`."""

from dvm.cli.app import main

__all__ = ["main"]
