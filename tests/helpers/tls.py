"""TLS for tests: a certificate that signs itself, and contexts of both ends with it.

``tests/data/tls`` was made by ``openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1
-nodes -days 36500 -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -addext
basicConstraints=critical,CA:TRUE``: signatures by this key do not all have one length.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

ROOM: Final = Path(__file__).parent.parent / "data" / "tls"
CERTIFICATE: Final = str(ROOM / "certificate.pem")
KEY: Final = str(ROOM / "key.pem")


def server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE, KEY)
    return context


def client_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(CERTIFICATE)
    return context


SERVER: Final = server_context()
CLIENT: Final = client_context()
