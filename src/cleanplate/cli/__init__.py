"""The command line: one file per command, which parses, calls one function and prints."""

from cleanplate.cli.app import main

__all__ = ["main"]
