"""One customer never meets another's data: every route is tried with another's key, and with none."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import pytest

from alp_assets.stages.clips import read_clips
from alp_assets.stages.package import PackageFolder
from alp_assets.web.app import make_app
from alp_assets.web.identity import Identity, Role
from tests.web.conftest import QUICK, caller, champion_of, make_keys, server

OPEN = {"/api/v1/openapi.json", "/api/v1/health", "/api/v1/docs", "/api/v1/problems/{kind}"}
"""What anybody may read."""

NOT_GUARDED = {
    ("POST", "/api/v1/session"),
    ("DELETE", "/api/v1/session"),
    ("GET", "/api/v1/session/all-customers"),
    ("OPTIONS", "/api/v1/uploads"),
}
"""What holds no customer's data; who may ask for it is tested with signing in."""

LISTS = {
    "/api/v1/session",
    "/api/v1/models",
    "/api/v1/sections",
    "/api/v1/history",
    "/api/v1/feedback",
    "/api/v1/packages",
    "/api/v1/uploads",
}
"""What shows everybody their own."""

BODIES = {
    "/api/v1/models/{model_id}": {"description": "mine"},
    "/api/v1/models/{model_id}/promote": {"why": "mine"},
    "/api/v1/models/{model_id}/archive": {"why": "mine"},
    "/api/v1/models/{model_id}/pin": {"why": "mine"},
    "/api/v1/models/{model_id}/thresholds": {"value": 1.0, "note": "mine"},
    "/api/v1/sections/rollback": {"section": "acme/fan/1"},
    "/api/v1/sections/unpin": {"section": "acme/fan/1"},
    "/api/v1/feedback": {"customer": "acme", "package": "first", "clip_id": "x", "label": "normal"},
    "/api/v1/uploads": {"customer": "acme", "package": "stolen", "bytes": 10},
    "/api/v1/uploads/{upload_id}/publish": {"anyway": True},
}


def routes():
    """(method, path) of every endpoint of the API, also of those that its documentation leaves out."""
    with tempfile.TemporaryDirectory() as place:
        app = make_app(Path(place), QUICK)
        found = [
            item
            for route in app.routes
            for item in getattr(route, "effective_route_contexts", lambda r=route: [r])()
        ]
    return sorted(
        (method, item.path) for item in found if item.path.startswith("/api/") for method in item.methods or ()
    )


ROUTES = routes()
GUARDED = [route for route in ROUTES if route[1] not in OPEN and route not in NOT_GUARDED]


def test_the_routes_were_found():
    assert ("POST", "/api/v1/diagnoses") in GUARDED
    assert ("GET", "/api/v1/packages/{customer}/{package}/clips/audio") in GUARDED
    assert len(GUARDED) > 30


class Sender:
    """Sends requests to routes with acme's names in them."""

    def __init__(self, root, params):
        self.app = server(root, params)
        self.client = caller(self.app, make_keys(root))
        self.root, self.model = root, champion_of(root)
        self.clip = read_clips(PackageFolder(root, "acme", "first"))["clip_id"].iloc[0]
        begun = self.client("operator").post(
            "/uploads", json={"package": "second", "filename": "p.zip", "bytes": 4}
        )
        self.names = {
            "model_id": self.model,
            "customer": "acme",
            "package": "first",
            "upload_id": begun.json()["id"],
            "kind": "busy",
        }

    def __call__(self, method, path, who):
        more = {"params": {"model_id": [self.model, self.model], "clip_id": self.clip, "value": 1.0}}
        if path in LISTS and method == "GET":
            more = {}
        elif (method, path) == ("PATCH", "/api/v1/uploads/{upload_id}"):
            more = {"content": b"1234", "headers": {"Content-Type": "application/offset+octet-stream"}}
        elif (method, path) == ("POST", "/api/v1/packages"):
            query = {"customer": "acme", "package": "stolen"}
            more = {"params": query, "content": b"PK", "headers": {"Content-Type": "application/zip"}}
        elif (method, path) == ("POST", "/api/v1/diagnoses"):
            more = {"files": {"file": ("a.wav", b"RIFF")}, "data": {"model_id": self.model}}
        elif method in ("POST", "PATCH") and path in BODIES:
            more = {"json": BODIES[path]}
        place = path.removeprefix("/api/v1").format(**self.names)
        return self.client(who).request(method, place, **more)


@pytest.fixture(scope="module")
def send(fitted, tmp_path_factory):
    """Requests that are all refused, and hence leave everything as it is."""
    return Sender(Path(shutil.copytree(fitted, tmp_path_factory.mktemp("isolation") / "data")), QUICK)


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_of_another_customer_there_is_nothing(send, method, path):
    answer = send(method, path, "rival")
    if path in LISTS and method == "GET":
        assert answer.status_code == 200
        assert "acme" not in answer.text
        return
    assert answer.status_code == 404, answer.text
    if method != "HEAD":
        assert answer.json()["status"] == 404


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_nobody_gets_anywhere_without_a_key(send, method, path):
    assert send(method, path, None).status_code == 401


MEANT = {
    ("GET", "/api/v1/packages/{customer}/{package}/letter"): 404,
    ("GET", "/api/v1/packages/{customer}/{package}/problems.csv"): 404,
    ("GET", "/api/v1/uploads/{upload_id}/check"): 404,
    ("POST", "/api/v1/sections/rollback"): 404,
    ("POST", "/api/v1/feedback"): 404,
    ("POST", "/api/v1/models/{model_id}/archive"): 409,
    ("POST", "/api/v1/uploads/{upload_id}/check"): 409,
    ("POST", "/api/v1/uploads/{upload_id}/publish"): 409,
    ("PATCH", "/api/v1/uploads/{upload_id}"): 409,
    ("POST", "/api/v1/diagnoses"): 422,
    ("POST", "/api/v1/packages"): 422,
}
"""What the requests meet that are not fully meant: names are right, something else is not."""


def test_owners_do_get_there(data_root, params):
    """Else the tests above would pass for want of the right names."""
    send = Sender(data_root, params)
    for method, path in sorted(GUARDED, key=lambda route: route[0] == "DELETE" or "pin" in route[1]):
        answer = send(method, path, "admin")
        expected = MEANT.get((method, path))
        right = answer.status_code == expected if expected else answer.status_code < 300
        assert right, f"{method} {path}: {answer.text}"
    send.app.state.services.desk.close()


@pytest.mark.parametrize("who", ["viewer", "operator"])
def test_roles_keep_people_off_what_is_not_theirs(client, model_id, who):
    signed_in = client(who)
    assert signed_in.get("/models").status_code == 200
    assert signed_in.post(f"/models/{model_id}/promote", json={}).status_code == 403
    assert signed_in.post(f"/models/{model_id}/thresholds", json={"value": 1, "note": "x"}).status_code == 403
    label = {"customer": "acme", "package": "first", "clip_id": "nothing", "label": "normal"}
    assert signed_in.post("/feedback", json=label).status_code == (403 if who == "viewer" else 404)


def test_a_key_for_all_sees_all_and_may_choose(client):
    everything = client("all")
    assert {item["customer"] for item in everything.get("/packages").json()["packages"]} == {"acme", "rival"}
    assert {item["customer"] for item in everything.get("/models?customer=rival").json()["models"]} == {"rival"}
    assert everything.get("/feedback").status_code == 422


def test_a_package_has_no_clips_of_another_customers_machine(client):
    place = "/packages/acme/first/clips?section="
    assert client("all").get(f"{place}acme/fan/1").status_code == 200
    assert client("all").get(f"{place}rival/fan/1").status_code == 404


def test_names_that_would_lead_elsewhere_lead_nowhere(client):
    for path in ("/packages/..%2f..%2fetc/passwd", "/packages/acme%2ffirst/x", "/uploads/..%2f"):
        assert client("all").get(path).status_code == 404
    assert json.loads(client("all").get("/packages?customer=..").text)["status"] == 404


def test_identities_see_their_own_alone():
    mine = Identity("x", Role.VIEWER, "acme", "key")
    assert mine.sees("acme")
    assert not mine.sees("rival")
    assert Identity("x", Role.VIEWER, "*", "key").sees("rival")
    assert not mine.may(Role.OPERATOR)
