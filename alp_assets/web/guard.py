"""What endpoints ask of who calls them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from alp_assets.registry.records import Version
from alp_assets.registry.registry import ModelMissing
from alp_assets.stages.package import PackageFolder
from alp_assets.web.identity import EVERYONE, Identity, Role
from alp_assets.web.problems import Problem
from alp_assets.web.services import Services, services_of
from schemas.sections import SLUG, Section

Shared = Annotated[Services, Depends(services_of)]


def needs(role: Role) -> Callable[[Request], Awaitable[Identity]]:
    """A dependency: somebody who is signed in and may do what the role may."""

    async def signed_in(request: Request) -> Identity:
        services = services_of(request)
        # a token's keys may have to be fetched; a key or cookie is looked up faster than a thread starts
        slow = services.signin.tokens.taken and "authorization" in request.headers
        identify = services.signin.identity
        identity = await run_in_threadpool(identify, request) if slow else identify(request)
        request.state.identity = identity
        services.rates.count("who", f"{identity.via}:{identity.name}")
        if not identity.may(role):
            raise Problem("forbidden", f"This needs the role {role}; yours is {identity.role}.")
        return identity

    return signed_in


Viewer = Annotated[Identity, Depends(needs(Role.VIEWER))]
Operator = Annotated[Identity, Depends(needs(Role.OPERATOR))]
Admin = Annotated[Identity, Depends(needs(Role.ADMIN))]


def customer_for(identity: Identity, asked: str | None) -> str | None:
    """Whose data to show: those that were asked for and are theirs to see, else all that they see (``None``).

    Of another customer there is nothing: ``Problem``.
    """
    if asked is None:
        return None if identity.customer == EVERYONE else identity.customer
    if not SLUG.fullmatch(asked) or not identity.sees(asked):
        raise Problem("not-found", f"There is no customer {asked}.")
    return asked


def one_customer(identity: Identity, asked: str | None) -> str:
    """The customer that is meant where only one can be."""
    found = customer_for(identity, asked)
    if found is None:
        raise Problem("invalid", "Name the customer: this key is for all of them.")
    return found


def visible_model(services: Services, identity: Identity, model_id: str) -> Version:
    """A version by its id or name. Those of others do not exist."""
    missing = Problem("model-missing", f"There is no model {model_id}.")
    try:
        version = services.models.get(model_id)
    except ModelMissing as error:
        raise missing from error
    if not identity.sees(version.section.customer):
        raise missing
    return version


def visible_section(identity: Identity, text: str) -> Section:
    """A section by its text. Those of others do not exist."""
    try:
        section = Section.parse(text)
    except ValueError as error:
        raise Problem("invalid", f"section: {error}.") from error
    if not SLUG.fullmatch(section.customer):
        raise Problem("invalid", f"section: {section.customer!r} is no customer.")
    if not identity.sees(section.customer):
        raise Problem("not-found", f"There is no section {text}.")
    return section


def visible_package(services: Services, identity: Identity, customer: str, package: str) -> PackageFolder:
    """The folder of a package that has arrived. Those of others do not exist; names are checked."""
    missing = Problem("package-missing", f"There is no package {customer}/{package}.")
    if not (SLUG.fullmatch(customer) and SLUG.fullmatch(package) and identity.sees(customer)):
        raise missing
    folder = PackageFolder(services.data_root, customer, package)
    if not (folder.exists() or folder.arrived()):
        raise missing
    return folder
