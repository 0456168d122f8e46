"""Delivering notices: a signed JSON POST, and mail."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import os
import smtplib
import ssl
import time
from base64 import b64encode
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from email.message import EmailMessage
from email.utils import formatdate
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from alp_assets.errors import AlpError
from alp_assets.version import code_version
from alp_assets.watch.notices import Notice, Outbox
from alp_assets.watch.redact import redact, shown_address
from alp_assets.watch_params import NoticeParams

SIGNATURE = "X-ALP-Signature"
_BUDGET_S = 40.0
_MOST_AT_ONCE = 20


class NotDelivered(AlpError):
    """A receiver could not be reached, or did not take a notice."""


@dataclass(frozen=True)
class Delivered:
    """What one round came to: how many notices everybody has, and what went wrong with the others."""

    done: int
    errors: tuple[str, ...]


def deliver(
    data_root: Path, params: NoticeParams, clock: Callable[[], float] = time.time, budget_s: float = _BUDGET_S
) -> Delivered:
    """Deliver what is due. A channel that has a notice already does not get it again.

    A receiver that fails is left alone for the rest of the round, in which the others' notices lose no try.
    """
    outbox, until = Outbox(data_root), time.monotonic() + budget_s
    done, errors, broken = 0, [], {}
    for notice in outbox.due(clock(), _MOST_AT_ONCE):
        if time.monotonic() > until:
            break
        sent, tried = list(notice.sent), False
        for channel, send in _channels(params).items():
            if channel in sent or channel in broken:
                continue
            try:
                send(notice, params)
                sent.append(channel)
            except NotDelivered as error:
                tried = True
                broken[channel] = str(error)
                errors.append(str(error))
        missing = [broken[channel] for channel in _channels(params) if channel not in sent]
        kept = replace(notice, sent=tuple(sent))
        if tried:
            outbox.failed(kept, "; ".join(missing), params, clock())
        elif missing:
            outbox.skipped(kept, clock())
        else:
            outbox.done(notice)
            done += 1
    return Delivered(done, tuple(errors))


def signature(body: bytes, secret: str, stamp: int) -> str:
    """The value of ``X-ALP-Signature``: HMAC-SHA256 over time and body, so that an old one is told as old."""
    digest = hmac.new(secret.encode(), b"%d." % stamp + body, hashlib.sha256).hexdigest()
    return f"t={stamp},v1={digest}"


def _channels(params: NoticeParams) -> dict[str, Callable[[Notice, NoticeParams], None]]:
    found: dict[str, Callable[[Notice, NoticeParams], None]] = {}
    if params.webhook:
        found["webhook"] = _post
    if params.mail_server:
        found["mail"] = _mail
    return found


def _post(notice: Notice, params: NoticeParams) -> None:
    """One POST. A redirect is an error: the body is for the address that was named and for no other."""
    address = _address(params.webhook, "notices.webhook", ("http", "https"))
    shown = shown_address(address.geturl())
    body = json.dumps(notice.payload(params.language), ensure_ascii=False).encode()
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": f"alp/{code_version()}",
        "Idempotency-Key": notice.id,
    }
    if params.secret:
        secret = _setting(params.secret, "notices.secret")
        headers[SIGNATURE] = signature(body, secret, int(time.time()))
    if address.username:
        named = f"{unquote(address.username)}:{unquote(address.password or '')}"
        headers["Authorization"] = f"Basic {b64encode(named.encode()).decode()}"
    try:
        with closing(_connection(address, params.timeout_seconds)) as connection:
            path = f"{address.path or '/'}{f'?{address.query}' if address.query else ''}"
            connection.request("POST", path, body, headers)
            status = connection.getresponse().status
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NotDelivered(f"webhook: {shown} cannot be reached ({_plain(error)}).") from error
    if not 200 <= status < 300:
        raise NotDelivered(f"webhook: {shown} answered {status}; it must answer 2xx and redirect nowhere.")


def _connection(address: SplitResult, timeout: float) -> http.client.HTTPConnection:
    assert address.hostname is not None
    if address.scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(address.hostname, address.port, timeout=timeout, context=context)
    return http.client.HTTPConnection(address.hostname, address.port, timeout=timeout)


def _mail(notice: Notice, params: NoticeParams) -> None:
    """One mail, over TLS wherever a password is sent."""
    server = _address(params.mail_server, "notices.mail_server", ("smtp", "smtps"))
    if not params.mail_from or not params.mail_to:
        raise NotDelivered("mail: notices.mail_from and notices.mail_to must be set.")
    try:
        message = _message(notice, params)
        with _smtp(server, params.timeout_seconds) as smtp:
            smtp.send_message(message)
    except (OSError, smtplib.SMTPException, ValueError) as error:
        where = shown_address(server.geturl())
        raise NotDelivered(f"mail: {where} did not take the mail ({_plain(error)}).") from error


def _message(notice: Notice, params: NoticeParams) -> EmailMessage:
    subject, text = notice.words(params.language)
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = subject, params.mail_from, ", ".join(params.mail_to)
    message["Date"] = formatdate(localtime=False)
    message["Message-ID"] = f"<{notice.id}@{params.mail_from.rpartition('@')[2] or 'alp'}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text)
    return message


def _smtp(server: SplitResult, timeout: float) -> smtplib.SMTP:
    assert server.hostname is not None
    context = ssl.create_default_context()
    if server.scheme == "smtps":
        smtp: smtplib.SMTP = smtplib.SMTP_SSL(
            server.hostname, server.port or 465, timeout=timeout, context=context
        )
    else:
        smtp = smtplib.SMTP(server.hostname, server.port or 587, timeout=timeout)
    try:
        smtp.ehlo_or_helo_if_needed()
        if server.scheme == "smtp" and smtp.has_extn("starttls"):
            smtp.starttls(context=context)
            smtp.ehlo()
        elif server.scheme == "smtp" and server.username:
            raise smtplib.SMTPException("it offers no STARTTLS, so the password is not sent")
        if server.username:
            smtp.login(unquote(server.username), unquote(server.password or ""))
    except BaseException:
        smtp.close()
        raise
    return smtp


def _address(variable: str, parameter: str, schemes: tuple[str, str]) -> SplitResult:
    try:
        found = urlsplit(_setting(variable, parameter))
        usable = found.scheme in schemes and bool(found.hostname) and found.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise NotDelivered(
            f"{parameter}: ${variable} is no address; it begins with {schemes[0]}:// or {schemes[1]}://."
        )
    return found


def _setting(variable: str, parameter: str) -> str:
    value = os.environ.get(variable, "").strip()
    if not value:
        raise NotDelivered(f"{parameter} names ${variable}, which is not set where the sensors run.")
    return value


def _plain(error: Exception) -> str:
    return redact(" ".join(str(error).split()))[:300] or type(error).__name__
