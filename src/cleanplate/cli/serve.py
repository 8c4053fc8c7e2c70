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
    help="Where to listen. Other machines get in only with an address of this machine, or 0.0.0.0,"
    " and then only with a token.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=7860,
    show_default=True,
    metavar="N",
    help="0 takes a free one.",
)
@click.option(
    "--token",
    metavar="TEXT",
    envvar="CLEANPLATE_TOKEN",
    help="What visitors must show. Made up when --host is no loopback address; better set in"
    " CLEANPLATE_TOKEN than on the command line, which other users can read.",
)
@click.option(
    "--allow-host",
    "names",
    multiple=True,
    metavar="NAME",
    help="A name under which the page may be called. May be given several times.",
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
    help="Keep uploads here, until they are closed or the page is stopped; default: the system's"
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
    """Serve the page: choose a clip, mark an object, see it followed, remove it, compare."""
    for needed in ("fastapi", "uvicorn"):
        if find_spec(needed) is None:
            raise InputError(
                f"the page needs {needed}; install it with: pip install 'cleanplate[web]'"
            )
    from cleanplate.page.server import serve as run
    from cleanplate.page.settings import Limits, ServerSettings, is_loopback

    if token is None and not is_loopback(host):
        token = secrets.token_urlsafe(24)
    limits = Limits(upload=max_upload, duration=max_duration)
    settings = ServerSettings(host, port, token, names, workers, folder, limits)

    def announce(address: str) -> None:
        click.echo(f"The page is at {address} (Ctrl-C stops it and removes what was uploaded)")
        if open_page:
            webbrowser.open(address)

    run(settings, announce)
