"""What the endpoints of one server share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from starlette.requests import Request

from alp_assets.params import Params
from alp_assets.registry.registry import Registry
from alp_assets.web.audit import Audit
from alp_assets.web.identity import Identity
from alp_assets.web.keys import KeyStore
from alp_assets.web.labelled import LabelledScores
from alp_assets.web.oidc import Tokens
from alp_assets.web.problems import Problem
from alp_assets.web.rates import Rates
from alp_assets.web.runs import Runs
from alp_assets.web.sessions import Sessions
from alp_assets.web.signin import SignIn
from alp_assets.web.uploads import Uploads

if TYPE_CHECKING:
    from alp_assets.web.workers.desk import Desk


@dataclass
class Services:
    """One server's parts. ``open_streams`` counts progress streams."""

    data_root: Path
    params: Params
    signin: SignIn
    audit: Audit
    rates: Rates
    runs: Runs
    uploads: Uploads
    labelled: LabelledScores
    desk: Desk
    models: Registry
    open_streams: int = 0

    @property
    def scratch(self) -> Path:
        """Where recordings lie while they are looked at."""
        return scratch_of(self.data_root)

    @property
    def dagster_url(self) -> str | None:
        """Where people find Dagster's UI, if anywhere."""
        return self.params.web.dagster_url.rstrip("/") or None

    def registry(self) -> Registry:
        """The models."""
        return self.models

    def identity(self, request: Request) -> Identity | None:
        """Who sends a request, or nobody."""
        try:
            return self.signin.identity(request)
        except Problem:
            return None


def make_services(data_root: Path, params: Params, *, dev: bool) -> Services:
    """The parts of a server, none of them at work yet."""
    from alp_assets.web.workers.desk import Desk

    web = params.web
    rates = Rates(web)
    keys, sessions, tokens = KeyStore(data_root), Sessions(web.session_hours), Tokens(web.oidc)
    models = Registry(data_root)
    return Services(
        data_root=data_root,
        params=params,
        signin=SignIn(keys, sessions, tokens, rates, dev=dev),
        audit=Audit(data_root),
        rates=rates,
        runs=Runs(data_root),
        uploads=Uploads(data_root, web),
        labelled=LabelledScores(data_root, models),
        desk=Desk(data_root, params),
        models=models,
    )


def scratch_of(data_root: Path) -> Path:
    """The folder for recordings that are being looked at."""
    return data_root / "web" / "scratch"


def services_of(request: Request) -> Services:
    """The services of the app that a request came to."""
    return cast(Services, request.app.state.services)
