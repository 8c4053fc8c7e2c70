"""The command line: one file a command; it parses, calls one function and prints."""

from cleanplate.cli.app import main

__all__ = ["main"]
