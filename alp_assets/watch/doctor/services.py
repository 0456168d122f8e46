"""What ALP talks to: the registry's database, Dagster's instance, the broker, the repository, the weights."""

from __future__ import annotations

import os
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, quote, unquote, urlsplit

from alp_assets.errors import AlpError
from alp_assets.home import home_of, object_url
from alp_assets.params import Params
from alp_assets.watch.doctor.daemon import daemon
from alp_assets.watch.doctor.finding import Finding, collected, ok, problem, warning
from alp_assets.watch.doctor.versioning import versioning
from alp_assets.watch.notices import Outbox
from alp_assets.watch.redact import redact, shown_address
from alp_assets.watch.runs import read_runs

if TYPE_CHECKING:
    import sqlalchemy as sa

BROKER = "ALP_BROKER_URL"
_PATIENCE_S = 3.0
_SHOWN = 3
_IN_ADDRESSES = "A port is a number; in a password write %25 for %, %2F for /, %3F for ?, %23 for #, %40 for @."
_REBUILD = "Put back a copy of it, or move it away and run the packages' stage models again, which registers them."


def services(data_root: Path, params: Params) -> list[Finding]:
    """Everything that must answer, or be there."""
    return collected(
        {
            "bucket": lambda: _bucket(data_root),
            "registry": lambda: _registry(data_root),
            "dagster home": lambda: _dagster(data_root),
            "dagster daemon": lambda: daemon(data_root),
            "broker": _broker,
            "repository": lambda: versioning(data_root),
            "weights": lambda: _weights(data_root, params),
            "notices": lambda: _notices(data_root, params),
        }
    )


def _bucket(data_root: Path) -> Iterator[Finding]:
    """Asked for the names of the customers, where the data root lies in one."""
    url = object_url(data_root)
    if url is None:
        return
    try:
        from alp_assets.store.base import store_of

        customers = store_of(data_root).below("packages")
    except AlpError as error:
        fix = (
            "Look at ALP_DATA, ALP_S3_ENDPOINT and the credentials (AWS_ACCESS_KEY_ID, AWS_PROFILE, or the role)."
        )
        yield problem("bucket", str(error), fix)
        return
    yield ok("bucket", f"{url}, {len(customers)} customers; this machine's part lies in {data_root}")


def _registry(data_root: Path) -> Finding:
    """Reached and at the revision of this ALP; only looked at, so that the doctor changes nothing."""
    from alp_assets.registry.database import FILE
    from alp_assets.registry.tables import REVISION

    given, file = os.environ.get("ALP_REGISTRY_URL", ""), data_root / FILE
    if not given and not file.is_file():
        return ok("registry", "none yet; the first package makes it")
    url = _database_url(given) if given else None
    if given and url is None:
        fix = f"Write ALP_REGISTRY_URL=postgresql://user:password@host:5432/database. {_IN_ADDRESSES}"
        return problem("registry", "ALP_REGISTRY_URL is no address of a database", fix)
    shown = redact(given) if given else str(file)
    try:
        found = _revision_at(url) if url is not None else _revision_in(file)
    except ModuleNotFoundError as error:
        fix = "Install ALP with its extra: `pip install 'alp[postgres]'`."
        return problem("registry", f"{shown} needs {error.name}", fix)
    except Exception as error:  # each database has errors of its own
        reason = next(iter(str(getattr(error, "orig", error)).strip().splitlines()), type(error).__name__)
        if "alembic_version" in reason:
            return ok("registry", f"{shown} is empty; the first package makes its tables")
        fix = "Start the database, or mend ALP_REGISTRY_URL (postgresql://user@host/database)."
        return problem("registry", f"{shown} cannot be read: {reason}", fix if given else _REBUILD)
    if found == REVISION:
        return _as_written(given or f"sqlite:///{file.absolute()}", data_root, f"{shown}, revision {found}")
    if str(found) > REVISION:
        fix = "Install the later ALP that made it."
        return problem("registry", f"{shown} is of revision {found}, this ALP knows {REVISION}", fix)
    fix = "Make a copy of it; the next command that opens it, such as `alp models list`, migrates it."
    return warning("registry", f"{shown} is of revision {found}, not {REVISION}", fix)


def _as_written(url: str, data_root: Path, shown: str) -> Finding:
    """Whether what the registry holds is what was written; each text says what to do."""
    from alp_assets.registry.database import Database
    from alp_assets.registry.rows import damage

    with Database(url, data_root).reading() as connection:
        damaged = list(damage(connection))
    if damaged:
        return problem("registry", f"{shown}: {len(damaged)} damaged", " ".join(damaged[:_SHOWN]))
    return ok("registry", shown)


def _revision_in(file: Path) -> str | None:
    with closing(sqlite3.connect(f"file:{quote(str(file.absolute()))}?mode=ro", uri=True)) as connection:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return row[0] if row else None


def _database_url(given: str) -> sa.URL | None:
    import sqlalchemy as sa

    try:
        return sa.make_url(given)
    except (sa.exc.ArgumentError, ValueError):  # whose words may hold the password
        return None


def _revision_at(url: sa.URL) -> str | None:
    import sqlalchemy as sa

    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    patience = {"connect_timeout": int(_PATIENCE_S)} if url.get_backend_name() == "postgresql" else {}
    engine = sa.create_engine(url, connect_args=patience, poolclass=sa.NullPool)
    with engine.connect() as connection:
        found: str | None = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return found


def _dagster(data_root: Path) -> Finding:
    home = home_of(data_root)
    if not (home / "dagster.yaml").is_file():
        if os.environ.get("DAGSTER_HOME"):
            return problem(
                "dagster home",
                f"DAGSTER_HOME names {home}, which has no dagster.yaml",
                "Run `alp home` once, which makes it, or unset DAGSTER_HOME.",
            )
        return ok("dagster home", f"{home}: none yet; the first package makes it")
    runs = read_runs(data_root)
    if runs.problem:
        fix = "Mend dagster.yaml there, or start the storage that it names. `alp home` writes one that is missing."
        return problem("dagster home", runs.problem, fix)
    return ok("dagster home", f"{home}, {len(runs.going)} runs going on")


def _broker() -> Finding:
    """A PING in Redis's own words: no client library is needed to know whether it answers."""
    given = os.environ.get(BROKER, "").strip()
    if not given:
        return ok("broker", "none: runs stay on this machine")
    address, shown = _redis_address(given), shown_address(given)
    if address is None:
        fix = f"Write {BROKER}=redis://:password@host:6379/0. {_IN_ADDRESSES}"
        return problem("broker", f"{BROKER} is no address of a Redis", fix)
    fix = f"Start Redis, or mend {BROKER}; `redis-cli -u ${BROKER} ping` must say PONG."
    try:
        answer = _ping(address)
    except (OSError, UnicodeError) as error:
        return problem("broker", f"{shown} cannot be reached ({getattr(error, 'strerror', None) or error})", fix)
    if answer.startswith(b"+PONG"):
        return ok("broker", f"{shown} answers")
    return problem("broker", f"{shown} answers {answer.decode(errors='replace').strip()[:100]}", fix)


def _redis_address(given: str) -> SplitResult | None:
    try:
        address = urlsplit(given)
        usable = address.scheme in ("redis", "rediss") and bool(address.hostname) and address.port != 0
    except ValueError:  # whose words may hold the password
        return None
    return address if usable else None


def _ping(address: SplitResult) -> bytes:
    assert address.hostname is not None
    with socket.create_connection((address.hostname, address.port or 6379), timeout=_PATIENCE_S) as plain:
        line: socket.socket = plain
        if address.scheme == "rediss":
            import ssl

            line = ssl.create_default_context().wrap_socket(plain, server_hostname=address.hostname)
        if address.password:
            words = [b"AUTH", *([unquote(address.username).encode()] if address.username else [])]
            answer = _ask(line, [*words, unquote(address.password).encode()])
            if not answer.startswith(b"+OK"):
                return answer
        return _ask(line, [b"PING"])


def _ask(line: socket.socket, words: list[bytes]) -> bytes:
    line.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
    return line.recv(512)


def _weights(data_root: Path, params: Params) -> Finding:
    """The encoder that the parameters name must be here; ALP's own always is."""
    from alp_assets.encoders.weights import ENVIRONMENT, HUB_PREFIX, find_weights

    wanted = params.embeddings.encoder
    if wanted in ENVIRONMENT or wanted.startswith(HUB_PREFIX):
        try:
            found = find_weights(wanted, params.embeddings.pretrained, data_root)
        except AlpError as error:
            return problem(
                "weights", str(error), "Mend or unset the variable; `alp weights list` shows what is here."
            )
        if found is None:
            return problem(
                "weights",
                f"embeddings.encoder is {wanted}, whose weights are not here",
                "`alp weights add PATH|HUB-ID` brings them in.",
            )
        return ok("weights", f"{wanted}: {found}")
    shipped = Path(__file__).parents[2] / "encoders" / "shipped"
    if not any(shipped.glob("**/*.safetensors")):
        return problem(
            "weights", f"{shipped} is empty: ALP's own encoder is missing", "Install ALP again; see git lfs."
        )
    others = [name for name in ENVIRONMENT if _at_hand(name, params, data_root)]
    return ok("weights", f"{wanted}: ALP's own encoder is here; also here: {', '.join(others) or 'none'}")


def _at_hand(name: str, params: Params, data_root: Path) -> bool:
    from alp_assets.encoders.weights import find_weights

    try:
        return find_weights(name, params.embeddings.pretrained, data_root) is not None
    except AlpError:
        return False


def _notices(data_root: Path, params: Params) -> Finding:
    """Whether those who want to be told can be."""
    notices = params.notices
    named = {
        "notices.webhook": notices.webhook,
        "notices.secret": notices.secret,
        "notices.mail_server": notices.mail_server,
    }
    unset = [
        f"{name} (${variable})" for name, variable in named.items() if variable and not os.environ.get(variable)
    ]
    if unset:
        return warning(
            "notices",
            f"named but not set here: {', '.join(unset)}",
            "Set these variables where the sensors run, in the code server: with Compose in .env, on one machine "
            "for `dagster dev` or `dagster-daemon`, which start it. Elsewhere they do nothing.",
        )
    counts, place = Outbox(data_root).counts(), data_root / "watch"
    if counts.undelivered or counts.dropped:
        return warning(
            "notices",
            str(counts),
            f"{place / 'undelivered'} has the undelivered with reasons; move them to ../outbox to try again. "
            f"{place / 'dropped.txt'} names the dropped; delete it when you have read it.",
        )
    if not notices.wanted:
        return ok("notices", "nobody is told of failures (notices.webhook, notices.mail_server)")
    return ok("notices", f"on; {counts.waiting} wait")
