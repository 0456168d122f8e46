"""Keys, tokens, sessions, and what browsers of other sites cannot do."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from sqlalchemy.exc import OperationalError
from starlette.testclient import TestClient

from alp_assets.errors import AlpError
from alp_assets.params import Params, WebParams, with_overrides
from alp_assets.web.identity import Role
from alp_assets.web.keys import KeyStore
from alp_assets.web.rates import Rates
from tests.web.conftest import QUICK, caller, in_a_loop, make_keys, server


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A data root without any package: signing in needs none."""
    return tmp_path_factory.mktemp("signin")


@pytest.fixture(scope="module")
def keys(root):
    return make_keys(root)


@pytest.fixture(scope="module")
def app(root):
    return server(root, QUICK)


@pytest.fixture
def client(app, keys):
    return caller(app, keys)


def kind(answer):
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.json()["type"].rpartition("/")[2]


def test_keys_are_kept_as_hashes_and_found_again(tmp_path):
    store = KeyStore(tmp_path)
    key, text = store.add(Role.OPERATOR, "acme", "Kim", None)
    kept = store.path.read_text()
    assert text not in kept
    assert text.split("_", 2)[2] not in kept
    assert store.path.stat().st_mode & 0o077 == 0
    assert KeyStore(tmp_path).find(text) == key
    assert store.find(text[:-1] + ("A" if text[-1] != "A" else "B")) is None
    assert store.find("") is None
    assert store.find("alp_ffffffff_x") is None
    assert store.find("\udcff") is None


def test_a_key_ends_by_revoking_and_by_itself(tmp_path):
    store, other = KeyStore(tmp_path), KeyStore(tmp_path)
    key, _ = store.add(Role.VIEWER, "acme", "", None)
    late, _ = store.add(Role.VIEWER, "acme", "", datetime.now(UTC) - timedelta(seconds=1))
    assert [item.id for item in other.usable()] == [key.id]
    store.revoke(key.id)
    assert other.usable() == []
    assert other.get(late.id).over(datetime.now(UTC))
    with pytest.raises(AlpError, match="no such key"):
        store.revoke("nothing")
    with pytest.raises(AlpError, match="cannot be a customer"):
        store.add(Role.VIEWER, "../x", "", None)


def test_who_am_i(client):
    told = client("operator").get("/session").json()
    assert (told["role"], told["customer"], told["via"]) == ("operator", "acme", "key")
    assert told["roles"] == ["viewer", "operator"]
    assert kind(client(None).get("/session")) == "sign-in-needed"


def test_a_wrong_or_old_key_is_told_apart(client, root):
    store = KeyStore(root)
    key, text = store.add(Role.VIEWER, "acme", "", None)
    headers = {"Authorization": f"Bearer {text}"}
    assert client(None).get("/session", headers=headers).status_code == 200
    store.revoke(key.id)
    assert kind(client(None).get("/session", headers=headers)) == "expired"
    assert kind(client(None).get("/session", headers={"Authorization": "Bearer alp_1_2"})) == "wrong-key"
    assert kind(client(None).get("/session", headers={"Authorization": "Basic x"})) == "wrong-key"


def test_a_session_lives_in_a_strict_cookie_and_dies_with_its_key(app, root):
    store = KeyStore(root)
    key, text = store.add(Role.ADMIN, "acme", "Kim", None)
    browser = TestClient(app, base_url="https://alp.test/api/v1", raise_server_exceptions=False)
    begun = browser.post("/session", json={"key": text})
    assert begun.status_code == 201
    cookie = begun.headers["set-cookie"].lower()
    assert all(word in cookie for word in ("httponly", "samesite=strict", "secure", "path=/"))
    assert text not in cookie
    assert browser.get("/session").json()["via"] == "session"
    assert "strict-transport-security" in begun.headers
    store.revoke(key.id)
    assert kind(browser.get("/session")) == "expired"
    assert browser.delete("/session").status_code == 204


def test_other_sites_cannot_act_through_a_browser(app, keys):
    browser = TestClient(app, base_url="http://alp.test/api/v1", raise_server_exceptions=False)
    browser.post("/session", json={"key": keys["admin"]})
    form = {"package": "x", "bytes": 3}
    assert kind(browser.post("/uploads", json=form)) == "cross-site"
    assert kind(browser.post("/uploads", json=form, headers={"Sec-Fetch-Site": "same-site"})) == "cross-site"
    own = [{"X-ALP-Request": "1"}, {"Sec-Fetch-Site": "same-origin"}]
    for number, headers in enumerate(own):
        made = browser.post("/uploads", json={**form, "package": f"p{number}"}, headers=headers)
        assert made.status_code == 201
    assert browser.get("/uploads", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200


def test_without_keys_only_this_machine_is_served(tmp_path):
    app = server(tmp_path, QUICK, dev=True)
    here = TestClient(app, base_url="http://localhost:8000/api/v1", raise_server_exceptions=False)
    assert here.get("/session").json()["via"] == "dev"
    form = {"customer": "acme", "package": "x", "bytes": 3}
    assert here.post("/uploads", json=form).status_code == 201
    attack = here.post("/uploads", json=form, headers={"Origin": "https://evil.test"})
    assert kind(attack) == "cross-site"
    rebound = TestClient(app, base_url="http://evil.test/api/v1", raise_server_exceptions=False)
    assert kind(rebound.get("/session")) == "wrong-host"


def test_failed_sign_ins_are_limited_harder_but_right_keys_pass(root, keys):
    app = server(root, with_overrides(QUICK, {"web.failed_sign_ins_per_minute": 3}))
    call = caller(app, keys)
    answers = [call(None).post("/session", json={"key": f"alp_{n}_x"}) for n in range(5)]
    assert [item.status_code for item in answers] == [401, 401, 401, 429, 429]
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert call("viewer").get("/session").status_code == 200


def test_requests_are_limited_by_key_and_address(root, keys):
    app = server(root, with_overrides(QUICK, {"web.requests_per_minute": 5}))
    call = caller(app, keys)
    codes = [call("viewer").get("/models").status_code for _ in range(7)]
    assert codes.count(200) == 5
    assert codes[-1] == 429
    rates = Rates(WebParams(requests_per_minute=2))
    for _ in range(2):
        rates.count("who", "a")
    rates.count("who", "b")


def test_answers_carry_headers_that_protect(client):
    headers = client("viewer").get("/models").headers
    policy = headers["content-security-policy"]
    assert "unsafe-inline" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert "strict-transport-security" not in headers


def test_the_audit_log_says_who_did_what_without_secrets(client, root, keys):
    client("operator").post("/uploads", json={"package": "audited", "bytes": 3})
    client("viewer").post("/uploads", json={"package": "refused", "bytes": 3})
    client(None).post("/session", json={"key": "alp_00000000_secretsecret"})
    text = (root / "web" / "audit.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    done, refused, failed = lines[-3:]
    assert done["who"].startswith("operator (")
    assert (done["what"], done["outcome"]) == ("POST /api/v1/uploads", 201)
    assert (refused["outcome"], failed["outcome"]) == (403, 401)
    assert "secretsecret" not in text
    assert not any(key in text for key in keys.values())


def test_errors_are_problems_everywhere(client):
    signed_in = client("admin")
    found = {
        kind(signed_in.get("/nothing")),
        kind(signed_in.put("/models")),
        kind(signed_in.get("/models?state=strange")),
        kind(signed_in.post("/uploads", content=b"{", headers={"Content-Type": "application/json"})),
        kind(signed_in.post("/uploads", content=b"x", headers={"Content-Type": "text/plain"})),
        kind(signed_in.post("/sections/unpin", json={"section": "acme/fan/1", "more": 1})),
        kind(signed_in.post("/sections/unpin", content=b"x" * 300_000)),
    }
    assert found == {"not-found", "method-not-allowed", "invalid", "wrong-content-type", "too-large"}
    told = signed_in.get("/models?state=strange").json()
    assert told["errors"][0]["where"] == "query.state"


def test_addresses_with_a_nul_are_refused_before_a_database_sees_them(client):
    for place in ("/models/%00", "/models?engine=%00", "/feedback?package=a%00b"):
        assert kind(client("viewer").get(place)) == "invalid"


def test_a_database_that_does_not_answer_is_worth_asking_again(app, client, monkeypatch):
    def gone(**_):
        raise OperationalError("SELECT", {}, Exception("connection refused"))

    monkeypatch.setattr(app.state.services.models, "find", gone)
    answer = client("viewer").get("/models")
    assert (answer.status_code, kind(answer), int(answer.headers["Retry-After"]) > 0) == (503, "busy", True)


def test_whoever_hangs_up_leaves_no_trace_in_the_log(app, keys, caplog):
    async def gone():
        return {"type": "http.disconnect"}

    async def nobody(message):
        raise AssertionError(message)

    headers = {
        "authorization": f"Bearer {keys['operator']}",
        "content-type": "multipart/form-data; boundary=x",
        "content-length": "99",
    }
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/v1/diagnoses",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("alp.test", 80),
        "scheme": "http",
    }
    in_a_loop(app(scope, gone, nobody))
    assert not [record for record in caplog.records if record.name.startswith("alp_assets")]


def test_strangers_are_not_told_how_the_keys_are_kept(tmp_path):
    keys = make_keys(tmp_path)
    call = caller(server(tmp_path, QUICK), keys)("viewer")
    (tmp_path / "web" / "keys.json").write_text("{")
    answer = call.get("/models")
    assert (answer.status_code, kind(answer)) == (500, "internal")
    assert "keys.json" not in answer.text


def test_a_crash_tells_nothing_of_its_inside(app, client, monkeypatch):
    monkeypatch.setattr(app.state.services.models, "find", lambda **_: 1 / 0)
    answer = client("viewer").get("/models")
    assert answer.status_code == 500
    assert kind(answer) == "internal"
    assert "division" not in answer.text


def test_the_documentation_has_examples_and_needs_no_network(client):
    schema = client(None).get("/openapi.json").json()
    assert len(schema["paths"]) > 30
    for path, methods in schema["paths"].items():
        for method, about in methods.items():
            good = [item for code, item in about["responses"].items() if code in ("200", "201")]
            json_answers = [item["content"].get("application/json") for item in good if "content" in item]
            assert all("example" in item for item in json_answers if item), f"{method} {path}"
    page = client(None).get("/docs")
    assert "/api/v1/diagnoses" in page.text
    assert "http" not in page.text.replace("application/problem", "").lower().replace("alp http api", "")
    assert client(None).get("/problems/busy").json()["status"] == 503


@pytest.fixture(scope="module")
def issuer(root):
    """An OpenID Connect issuer whose keys lie in a file: makes tokens."""
    secret = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    public = {**json.loads(RSAAlgorithm.to_jwk(secret.public_key())), "kid": "k1", "use": "sig", "alg": "RS256"}
    jwks = root / "jwks.json"
    jwks.write_text(json.dumps({"keys": [public]}))
    settings = {"web.oidc.issuer": "https://id.test", "web.oidc.jwks": str(jwks)}

    def token(key=secret, algorithm="RS256", **claims):
        good = {
            "iss": "https://id.test",
            "aud": "alp",
            "sub": "u1",
            "exp": time.time() + 60,
            "alp_role": "operator",
            "alp_customer": "acme",
        }
        chosen = {name: value for name, value in {**good, **claims}.items() if value is not None}
        return jwt.encode(chosen, key, algorithm=algorithm, headers={"kid": "k1"})

    return token, settings


def test_tokens_of_the_issuer_are_believed_and_no_others(root, issuer):
    token, settings = issuer
    app = server(root, with_overrides(QUICK, {**settings, "web.failed_sign_ins_per_minute": 100}))
    call = TestClient(app, base_url="http://alp.test/api/v1", raise_server_exceptions=False)

    def told(text):
        return call.get("/session", headers={"Authorization": f"Bearer {text}"})

    good = told(token()).json()
    assert (good["role"], good["customer"], good["via"]) == ("operator", "acme", "oidc")
    assert told(token(alp_role=["viewer", "admin"])).json()["role"] == "admin"
    assert kind(told(token(exp=time.time() - 60))) == "expired"
    foreign = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    unsigned = jwt.encode({"iss": "https://id.test", "aud": "alp"}, "", algorithm="none")
    bad = [
        token(iss="https://evil.test"),
        token(aud="other"),
        token(alp_role=None),
        token(alp_role="root"),
        token(alp_customer=None),
        token(alp_customer="../x"),
        token(exp=None),
        token(key=foreign),
        token(key="k" * 40, algorithm="HS256"),
        unsigned,
        "a.b.c",
    ]
    assert {kind(told(text)) for text in bad} == {"wrong-key"}


def test_an_issuer_must_be_whole():
    with pytest.raises(AlpError, match="both issuer and jwks"):
        with_overrides(Params(), {"web.oidc.issuer": "https://id.test"})


@pytest.mark.parametrize(
    ("who", "role", "status"),
    [
        (None, "viewer", 401),
        ("admin", "viewer", 403),
        ("rival", "admin", 403),
        ("all", "viewer", 204),
        ("all", "admin", 204),
        ("all", "king", 422),
    ],
)
def test_a_proxy_can_ask_who_may_see_all_customers(client, who, role, status):
    assert client(who).get("/session/all-customers", params={"role": role}).status_code == status


def test_a_viewer_of_all_customers_gets_no_buttons(app, root):
    _, text = KeyStore(root).add(Role.VIEWER, "*", "", None)
    browser = TestClient(app, base_url="http://alp.test/api/v1", headers={"Authorization": f"Bearer {text}"})
    assert browser.get("/session/all-customers").status_code == 204
    assert browser.get("/session/all-customers", params={"role": "admin"}).status_code == 403
