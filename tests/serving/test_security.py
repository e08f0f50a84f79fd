"""Who may do what, how much anybody may send, and by which name the server may be called."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving import served
from serving.served import ADMIN, FACTS, NAME, READ, Served
from ultraedit.errors import ConfigError
from ultraedit.serving import app as app_module
from ultraedit.serving.address import check_name, check_origin, is_loopback, url_of
from ultraedit.serving.app import build
from ultraedit.serving.guard import LARGEST_BODY, READING_POSTS
from ultraedit.serving.keys import Keys, WrongTries

ADDRESS = {"Authorization": "Bearer wrong-wrong-wrong-wrong"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served.serving(tmp_path_factory.mktemp("secure")) as made:
        yield made


def routes(server: Served) -> list[tuple[str, str]]:
    """(method, path) of every endpoint that there is, the page's files and the schema with them."""
    fastapi = server.app._app  # type: ignore[attr-defined]
    schema = fastapi.openapi()["paths"]
    found = [(m.upper(), path) for path, methods in schema.items() for m in methods]
    listed: list[object] = list(fastapi.routes)
    for route in listed:  # routers that were taken in keep their routes to themselves
        listed += getattr(getattr(route, "original_router", None), "routes", [])
        found += [(method, route.path) for method in getattr(route, "methods", None) or ()]
    return sorted(set(found))


def filled(path: str) -> str:
    for name, value in (
        ("{model:path}", NAME),
        ("{model}", NAME),
        ("{edit}", "1"),
        ("{name}", "a"),
    ):
        path = path.replace(name, value)
    return path.replace("{job}", "job-1")


def test_every_route_but_health_readiness_and_the_page_wants_a_key(server: Served) -> None:
    page = app_module._page(app_module.FastAPI())
    nobody = served.client_of(server.app, "")
    found = routes(server)
    assert {p for _, p in found} >= {
        "/v1/models",
        "/edits",
        "/metrics",
        "/openapi.json",
        "/events",
        "/jobs/{job}",
    }
    assert len(found) >= 25
    for method, path in found:
        for client in (nobody, served.client_of(server.app, "wrong-wrong-wrong")):
            answer = client.request(method, filled(path))
            if path in {"/health", "/ready", *page} and method in ("GET", "HEAD"):
                assert answer.status_code == 200, (method, path)
            else:
                assert answer.status_code in (401, 429), (method, path)
                if method != "HEAD":
                    assert answer.json()["error"]["code"] == answer.status_code
    for path in ("/nothing", "/v1", "/page", "/edits/", "/health/x", "/docs", "/redoc"):
        assert nobody.get(path).status_code == 401, path


def test_the_read_key_writes_nothing(server: Served) -> None:
    reader = served.client_of(server.app, READ)
    writes = [
        (m, p) for m, p in routes(server) if m not in ("GET", "HEAD") and p not in READING_POSTS
    ]
    assert {p for _, p in writes} == {
        "/edits",
        "/edits/{edit}",
        "/undo",
        "/rollback",
        "/marks/{name}",
    }
    before = server.client.get("/version").json()
    for method, path in writes:
        answer = reader.request(method, filled(path), json={"edits": [FACTS[0]]})
        assert answer.status_code == 403, (method, path)
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert reader.request(method, "/anything").status_code == 403
    assert reader.get("/history").status_code == 200
    asked = {"model": NAME, "prompt": "a", "max_tokens": 1}
    assert reader.post("/v1/completions", json=asked).status_code == 200
    assert server.client.get("/version").json() == before


@pytest.mark.parametrize(
    "header", ["Basic {}", "Bearer", "{}", "Bearer {}x", "bearer  ", "Bearer \u00e9"]
)
def test_keys_that_are_none(server: Served, header: str) -> None:
    nobody = served.client_of(server.app, "")
    value = header.format(ADMIN).encode("latin-1")
    answer = nobody.get("/v1/models", headers={"Authorization": value})  # type: ignore[dict-item]
    assert answer.status_code in (401, 429)
    assert nobody.get("/v1/models", headers={"Authorization": f"bearer {ADMIN}"}).status_code == 200


def test_many_wrong_keys_are_told_to_wait(tmp_path: Path) -> None:
    with served.serving(tmp_path) as server:
        wrong = served.client_of(server.app, "wrong-wrong-wrong")
        codes = [wrong.get("/v1/models").status_code for _ in range(12)]
        assert codes == [401] * 10 + [429] * 2
        assert wrong.get("/v1/models").headers["Retry-After"]
        assert server.client.get("/v1/models").status_code == 200  # a right key is never locked out
        assert served.client_of(server.app, "").get("/v1/models").status_code == 401


def test_wrong_tries_are_forgotten_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = WrongTries()
    for i in range(3000):
        tries.too_many(f"address {i}")
    assert len(tries._tries) <= 1024
    assert [tries.too_many("a") for _ in range(11)][-1]
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 61)
    assert not tries.too_many("a")


@pytest.mark.parametrize(
    ("host", "good"),
    [
        ("127.0.0.1", True), ("127.0.0.1:8000", True), ("localhost:8000", True), ("[::1]:8000", True),
        ("10.1.2.3", True), ("LOCALHOST", True), ("evil.example", False), ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False), ("", False), ("good.example", False),
    ],
)  # fmt: skip
def test_a_name_that_is_not_the_servers_is_refused(server: Served, host: str, good: bool) -> None:
    answer = server.client.get("/v1/models", headers={"Host": host})
    assert answer.status_code == (200 if good else 421), answer.text
    assert server.client.get("/health", headers={"Host": host}).status_code == (
        200 if good else 421
    )


def test_more_names_can_be_allowed(server: Served) -> None:
    named = build(server.service, served.keys(), hosts=["Good.example"])
    client = served.client_of(named)
    assert client.get("/v1/models", headers={"Host": "good.example:80"}).status_code == 200
    assert client.get("/v1/models", headers={"Host": "evil.example"}).status_code == 421


def test_no_origin_is_allowed_unless_given(server: Served) -> None:
    asked = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
    nobody = served.client_of(server.app, "")
    assert nobody.options("/edits", headers=asked).status_code == 401
    found = server.client.get("/v1/models", headers=asked)
    assert not any(name.startswith("access-control") for name in found.headers)
    open_to = build(server.service, served.keys(), origins=["https://a.example"])
    client = served.client_of(open_to, "")
    allowed = client.options("/edits", headers=asked)
    assert allowed.headers["access-control-allow-origin"] == "https://a.example"
    other = client.options("/edits", headers=asked | {"Origin": "https://b.example"})
    assert "access-control-allow-origin" not in other.headers
    assert client.get("/v1/models", headers=asked).status_code == 401


def test_a_body_has_a_limit(server: Served) -> None:
    post = server.client.post
    big = json.dumps({"model": NAME, "prompt": "x" * LARGEST_BODY}).encode()
    assert post("/v1/completions", content=big).status_code == 413

    def parts() -> Iterator[bytes]:  # with no length given beforehand
        for _ in range(LARGEST_BODY // 2**16 + 2):
            yield b"x" * 2**16

    assert post("/v1/completions", content=parts()).status_code == 413
    lying = {"Content-Length": "9" * 30}
    assert post("/v1/completions", content=b"{}", headers=lying).status_code == 413


def test_a_body_has_a_depth(server: Served) -> None:
    json_type = {"Content-Type": "application/json"}
    for deep in (
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"metadata": ' + b"[" * 40 + b"]" * 40 + b"}",
    ):
        found = server.client.post("/v1/completions", content=deep, headers=json_type)
        assert found.status_code == 400 and "brackets" in found.json()["error"]["message"]
    flat = {"model": NAME, "prompt": "[[[{{{" * 20 + '\\"' + "[" * 50, "max_tokens": 1}
    assert (
        server.client.post("/v1/completions", json=flat).status_code == 400
    )  # too long, and not too deep
    flat["prompt"] = "[" * 60
    assert server.client.post("/v1/completions", json=flat).status_code == 200


def test_an_answer_is_not_sniffed_and_has_a_number(server: Served) -> None:
    first, second = (server.client.get("/health").headers for _ in range(2))
    assert first["x-content-type-options"] == "nosniff"
    assert first["x-request-id"] != second["x-request-id"]


def test_no_model_name_reaches_the_disk(server: Served) -> None:
    for name in (
        "/etc/passwd",
        f"{NAME}@../../x",
        f"{NAME}@turn:../1",
        "..%2f..%2fetc",
        f"{NAME}@\x00",
    ):
        asked = {"model": name, "prompt": "a"}
        assert server.client.post("/v1/completions", json=asked).status_code == 404
    for path in ("/../pyproject.toml", "/%2e%2e/app.py", "/app.py", "/page/app.py", "/__init__.py"):
        assert server.client.get(path).status_code == 404


def test_keys_from_the_environment_and_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# who\n\nann admin {ADMIN}\nbob read {READ}\n")
    keys = Keys.find(file, {"ULTRAEDIT_API_KEY": "x" * 20}, public=True)
    assert keys.caller(ADMIN).name == "ann" and keys.caller(READ).level == "read"  # type: ignore[union-attr]
    assert keys.caller("x" * 20) is None and not keys.printed
    only = Keys.find(None, {"ULTRAEDIT_API_KEY": READ}, public=True)
    assert not only.can_write and only.caller(READ)
    made = Keys.find(None, {}, public=False)
    assert made.can_write and made.caller(made.printed["admin"]).level == "admin"  # type: ignore[union-attr]
    assert Keys.find(None, {}, public=False).printed != made.printed


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no key"),
        ("ann admin", "line 1"),
        (f"ann root {ADMIN}", "line 1"),
        (f"a/b admin {ADMIN}", "line 1"),
        ("\nann admin short", "line 2"),
        (f"a admin {ADMIN}\nb read {ADMIN}", "twice"),
    ],
)
def test_a_file_of_keys_that_cannot_be_used(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "keys"
    file.write_text(text)
    with pytest.raises(ConfigError, match=said) as refused:
        Keys.find(file, {}, public=False)
    assert ADMIN not in str(refused.value) and "short" not in str(refused.value).replace(
        "too short", ""
    )


def test_keys_that_are_refused(tmp_path: Path) -> None:
    for environment in (
        {"ULTRAEDIT_API_KEY": "short"},
        {"ULTRAEDIT_ADMIN_KEY": "with a blank in it"},
    ):
        with pytest.raises(ConfigError, match="16 printable"):
            Keys.find(None, environment, public=False)
    with pytest.raises(ConfigError, match="same key"):
        Keys.find(None, {"ULTRAEDIT_API_KEY": READ, "ULTRAEDIT_ADMIN_KEY": READ}, public=False)
    with pytest.raises(ConfigError, match="other machines"):
        Keys.find(None, {}, public=True)
    with pytest.raises(ConfigError, match="cannot be read"):
        Keys.find(tmp_path / "none", {}, public=False)


def test_addresses_and_names() -> None:
    loopback = {
        h: is_loopback(h)
        for h in ("127.0.0.1", "::1", "localhost", "127.9.9.9", "0.0.0.0", "::", "a.b")
    }
    assert [h for h, yes in loopback.items() if yes] == [
        "127.0.0.1",
        "::1",
        "localhost",
        "127.9.9.9",
    ]
    assert url_of("0.0.0.0", 1) == "http://127.0.0.1:1" and url_of("::1", 2) == "http://[::1]:2"
    assert check_name("org/model-1.5") == "org/model-1.5"
    for name in ("", "a@b", "a b", "-x", "x" * 101, "é"):
        with pytest.raises(ConfigError):
            check_name(name)
    for origin in ("*", "a.example", "https://a.example/", "ftp://a.example", "null"):
        with pytest.raises(ConfigError):
            check_origin(origin)


def test_many_threads_may_call(server: Served) -> None:
    """Requests of all kinds at once: tokenising, listing and answering share nothing that breaks."""
    codes: list[int] = []

    def call(i: int) -> None:
        asked = {"model": NAME, "prompt": "a" * (i + 1), "max_tokens": 5, "temperature": 0}
        codes.append(server.client.post("/v1/completions", json=asked).status_code)
        codes.append(server.client.get("/metrics").status_code)

    threads = [threading.Thread(target=call, args=(i,)) for i in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [200] * 24
