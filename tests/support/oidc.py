"""A small OpenID Connect provider on loopback: whoever asks is signed in at once, as the person it was given."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwk, jwt

CLIENT, SECRET = "dartifact", "a secret of the test"


@dataclass
class Provider:
    """A provider; `claims` are those of who signs in next."""

    url: str
    claims: dict[str, Any]
    key: jwk.RSAKey = field(default_factory=lambda: jwk.RSAKey.generate_key(2048, {"kid": "test"}))
    nonces: dict[str, str] = field(default_factory=dict)

    def write_secrets(self, ui: str) -> str:
        """Return the secrets of Streamlit for a UI that signs in here."""
        return f"""
[auth]
redirect_uri = "{ui}/oauth2callback"
cookie_secret = "not a secret, but long enough"
client_id = "{CLIENT}"
client_secret = "{SECRET}"
server_metadata_url = "{self.url}/.well-known/openid-configuration"
"""


@contextmanager
def running_provider(**claims: Any) -> Iterator[Provider]:
    """Run a provider that signs a person with these claims in."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlsplit(self.path)
            asked = {name: values[0] for name, values in parse_qs(address.query).items()}
            match address.path:
                case "/.well-known/openid-configuration":
                    self._answer(
                        {
                            "issuer": provider.url,
                            "authorization_endpoint": f"{provider.url}/authorize",
                            "token_endpoint": f"{provider.url}/token",
                            "jwks_uri": f"{provider.url}/keys",
                            "response_types_supported": ["code"],
                            "subject_types_supported": ["public"],
                            "id_token_signing_alg_values_supported": ["RS256"],
                        }
                    )
                case "/keys":
                    self._answer({"keys": [provider.key.as_dict(private=False)]})
                case "/authorize":
                    provider.nonces["code"] = asked.get("nonce", "")
                    target = f"{asked['redirect_uri']}?{urlencode({'code': 'code', 'state': asked['state']})}"
                    self.send_response(302)
                    self.send_header("Location", target)
                    self.end_headers()
                case _:
                    self.send_error(404)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            now = int(time.time())
            body = {"iss": provider.url, "aud": CLIENT, "iat": now, "exp": now + 600, **provider.claims}
            if nonce := provider.nonces.get("code"):
                body["nonce"] = nonce
            token = jwt.encode({"alg": "RS256", "kid": "test"}, body, provider.key)
            self._answer({"access_token": "a", "token_type": "Bearer", "expires_in": 600, "id_token": token})

        def _answer(self, document: dict[str, Any]) -> None:
            body = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider = Provider(f"http://127.0.0.1:{server.server_port}", {"sub": "1", **claims})
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
