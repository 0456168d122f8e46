"""``alp serve`` and ``alp keys``: the HTTP API with its console, and who may use them."""

from __future__ import annotations

import json
import re
import resource
import socket
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alp_assets.commands.options import DataOption, JsonOption, SetOption, overrides
from alp_assets.errors import AlpError

if TYPE_CHECKING:
    from alp_assets.web.keys import Key, KeyStore

keys_app = typer.Typer(help="API keys of the server.", no_args_is_help=True)

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_DURATION = re.compile(r"(\d{1,4})([hdwy])")
_HOURS = {"h": 1, "d": 24, "w": 24 * 7, "y": 24 * 365}
_STOP_S = 10
_BACKLOG = 2_048
_FILES = 65_536


def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 is all of this machine's.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)] = 8000,
    dev: Annotated[
        bool, typer.Option("--dev", help="Ask nobody for a key. Only on localhost, where everybody is you.")
    ] = False,
    dagster_url: Annotated[
        str | None, typer.Option(help="Where people find Dagster's UI, for links; default web.dagster_url.")
    ] = None,
    settings: SetOption = None,
    data: DataOption = None,
) -> None:
    """Serve the HTTP API and the console until Ctrl-C."""
    import uvicorn

    from alp_assets.home import open_root
    from alp_assets.params import load_params, with_overrides
    from alp_assets.terminal import Terminal
    from alp_assets.web.app import make_app
    from alp_assets.web.keys import KeyStore

    if dev and host not in _LOOPBACK:
        raise AlpError(f"--dev asks nobody for a key, so it cannot listen on {host}: leave --dev or --host out.")
    root = open_root(data)
    chosen = overrides(settings) | ({"web.dagster_url": dagster_url} if dagster_url is not None else {})
    params = with_overrides(load_params(root), chosen)
    if not dev and not KeyStore(root).usable() and not params.web.oidc.issuer:
        raise AlpError(
            "There is no key yet, so nobody could sign in. Make one with "
            "`alp keys add --role admin --customer '*'`, or start with --dev to try it on this machine alone."
        )
    _take_files()
    listening = _listen(host, port)
    config = uvicorn.Config(
        make_app(root, params, dev=dev),
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=True,
        forwarded_allow_ips=params.web.proxies,
        timeout_graceful_shutdown=_STOP_S,
        lifespan="on",
        ws="none",
    )
    shown = f"[{host}]" if ":" in host else host
    terminal = Terminal()
    terminal.say(f"Serving {root} at http://{shown}:{listening.getsockname()[1]}/  (API: /api/v1/docs)")
    if dev:
        terminal.say("Nobody is asked for a key (--dev). Ctrl-C ends it.")
    with listening:
        uvicorn.Server(config).run(sockets=[listening])


@keys_app.command()
def add(
    role: Annotated[str, typer.Option(help="viewer reads; operator also uploads and diagnoses; admin decides.")],
    customer: Annotated[str, typer.Option("--customer", "-c", help="Whose data it opens; * is everybody's.")],
    label: Annotated[str, typer.Option(help="Whose key it is, as histories will show it.")] = "",
    expires: Annotated[str, typer.Option(help="After how long it ends: 12h, 90d, 4w, 1y; default never.")] = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key. It is shown once and kept as a hash alone."""
    from alp_assets.web.identity import Role

    if role not in list(Role):
        raise AlpError(f"--role {role}: choose {', '.join(Role)}.")
    key, text = _store(data).add(Role(role), customer, label, _ends(expires))
    if as_json:
        _print_json({**_shown(key), "key": text})
        return
    typer.echo(text)
    typer.echo(f"Key {key.id}: {key.role} of {key.customer}. It is not shown again.", err=True)


@keys_app.command("list")
def list_keys(data: DataOption = None, as_json: JsonOption = False) -> None:
    """List the keys, without what signs in with them."""
    from alp_assets.terminal import Terminal

    keys = _store(data).all()
    if as_json:
        _print_json([_shown(key) for key in keys])
        return
    if not keys:
        Terminal().say("There is no key. `alp keys add` makes one.")
        return
    columns = ("id", "role", "customer", "label", "made", "ends", "state")
    now = datetime.now(UTC)
    rows = [
        [
            key.id,
            str(key.role),
            key.customer,
            key.label,
            key.created_at,
            key.expires_at or "never",
            _state(key, now),
        ]
        for key in keys
    ]
    Terminal().table("Keys", columns, rows)


@keys_app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="The key's id, as `alp keys list` shows it.", metavar="ID")],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a key and the sessions that it began, at once."""
    key = _store(data).revoke(key_id)
    if as_json:
        _print_json(_shown(key))
    else:
        typer.echo(f"Key {key.id} has ended.")


def _store(data: Path | None) -> KeyStore:
    from alp_assets.home import open_root
    from alp_assets.web.keys import KeyStore

    return KeyStore(open_root(data))


def _ends(text: str) -> datetime | None:
    if not text:
        return None
    match = _DURATION.fullmatch(text)
    if match is None or not int(match[1]):
        raise AlpError(f"--expires {text}: write it as 12h, 90d, 4w or 1y.")
    return datetime.now(UTC) + timedelta(hours=int(match[1]) * _HOURS[match[2]])


def _state(key: Key, now: datetime) -> str:
    if key.revoked_at:
        return "revoked"
    return "expired" if key.over(now) else "good"


def _shown(key: Key) -> dict[str, Any]:
    return {name: value for name, value in asdict(key).items() if name != "digest"}


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise AlpError(
            f"Cannot listen on {host} port {port} ({error.strerror}). Choose another --port."
        ) from error
    listening.set_inheritable(False)
    return listening


def _take_files() -> None:
    """Let the server open as many connections as the system grants: each is a file, and 1,024 are soon gone."""
    present, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if most == resource.RLIM_INFINITY else min(most, _FILES)
    if present != resource.RLIM_INFINITY and present < wanted:
        with suppress(OSError, ValueError):  # some systems grant less than they say
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))
