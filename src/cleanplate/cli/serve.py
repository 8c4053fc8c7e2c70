"""`cleanplate serve`: a web page to mark, track, remove and compare."""

from __future__ import annotations

import secrets
import webbrowser
from importlib.util import find_spec
from pathlib import Path

import click

from cleanplate.arguments import parse_bytes
from cleanplate.cli.options import FilePath
from cleanplate.errors import InputError


def _parse_bytes(context: click.Context, option: click.Parameter, text: str) -> int:
    try:
        return parse_bytes(text)
    except InputError as error:
        raise click.BadParameter(str(error)) from None


def _parse_duration(context: click.Context, option: click.Parameter, text: str) -> float:
    """Parse a time as in a box, of at least one second."""
    from cleanplate.masks import parse_time

    try:
        seconds = float(parse_time(text))
    except InputError as error:
        raise click.BadParameter(str(error)) from None
    if seconds < 1:
        raise click.BadParameter(f"'{text}' is less than a second")
    return seconds


@click.command(short_help="Serve the page: mark, find, remove and compare in a browser.")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="Address to listen on. Other machines can connect only if it is an address of this"
    " machine or 0.0.0.0, and only with a token.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=7860,
    show_default=True,
    metavar="N",
    help="Port to listen on; 0 chooses a free one.",
)
@click.option(
    "--token",
    metavar="TEXT",
    envvar="CLEANPLATE_TOKEN",
    help="Token that visitors need. Generated if --host is no loopback address. Set it in"
    " CLEANPLATE_TOKEN, since other users of this machine can read the command line.",
)
@click.option(
    "--allow-host",
    "names",
    multiple=True,
    metavar="NAME",
    help="Host name under which the page may be opened. Can be repeated.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 16),
    default=1,
    show_default=True,
    metavar="N",
    help="Videos processed at the same time; others wait in the queue.",
)
@click.option(
    "--max-upload",
    callback=_parse_bytes,
    default="2GB",
    show_default=True,
    metavar="SIZE",
    help="Refuse larger videos, such as 500MB (1 GB is 1000 MB, 1 GiB is 1024 MiB).",
)
@click.option(
    "--max-duration",
    callback=_parse_duration,
    default="10:00",
    show_default=True,
    metavar="TIME",
    help="Refuse longer videos.",
)
@click.option(
    "--folder",
    type=FilePath(path_type=Path),
    metavar="FOLDER",
    help="Store uploads in FOLDER until they are closed or the server stops. Default: the system's"
    " temporary folder.",
)
@click.option("--open", "open_page", is_flag=True, help="Open the page in the browser.")
def serve(
    host: str,
    port: int,
    token: str | None,
    names: tuple[str, ...],
    workers: int,
    max_upload: int,
    max_duration: float,
    folder: Path | None,
    open_page: bool,
) -> None:
    """Serve a web page: open a clip, mark an object, track it, remove it, compare."""
    for needed in ("fastapi", "uvicorn"):
        if find_spec(needed) is None:
            raise InputError(
                f"the page needs {needed}; install it with: pip install 'cleanplate[web]'"
            )
    from cleanplate.page.limits import Limits, ServerSettings, is_loopback
    from cleanplate.page.server import serve as run

    if token is None and not is_loopback(host):
        token = secrets.token_urlsafe(24)
    limits = Limits(upload=max_upload, duration=max_duration)
    settings = ServerSettings(host, port, token, names, workers, folder, limits)

    def announce(address: str) -> None:
        click.echo(f"The page is at {address} (Ctrl-C stops it and deletes all uploads)")
        if open_page:
            webbrowser.open(address)

    run(settings, announce)
