"""TLS with what is outside of the run, of threads.

Its keys are drawn in C, so that no replay could say the same. It is done between the real socket
and the program: the handshake is one call to the outside, whose answer is what the library tells of
the connection; what is sent and received is recorded as the program has it.
"""

from __future__ import annotations

import contextlib
import ssl
from typing import Any, Final

from tracelock.instrument.network import operations
from tracelock.instrument.network.ends import End
from tracelock.instrument.network.links import patience
from tracelock.instrument.outside.calls import ask, outside_of, refuse
from tracelock.instrument.worker import Worker

#: What stands before the parts of an error that was the answer.
_ERROR: Final = "error"
#: What an error of the library says besides its arguments.
_SAYS: Final = ("library", "reason", "verify_code", "verify_message")


class TlsFacts:
    """What the library tells of a connection with the outside after its handshake. ``told``: the
    version, the cipher, the protocol, the certificate of the other end in words, and as it is."""

    session = None
    session_reused = False

    def __init__(self, context: Any, told: tuple[Any, ...]) -> None:
        self.context, self.told = context, told

    def version(self) -> Any:
        return self.told[0]

    def cipher(self) -> Any:
        return self.told[1]

    def selected_alpn_protocol(self) -> Any:
        return self.told[2]

    def getpeercert(self, binary_form: bool = False) -> Any:
        return self.told[4] if binary_form else dict(self.told[3])

    def compression(self) -> None:
        return None

    def shared_ciphers(self) -> None:
        return None

    def pending(self) -> int:
        return 0


def shake_hands(
    worker: Worker, end: End, context: Any, server_hostname: str | None, wait: float | None
) -> TlsFacts:  # fmt: skip
    """The handshake with who is at the other end of a connection with the outside. Raises what the
    library raises."""
    link = end.link

    def live() -> tuple[Any, ...]:
        link.real.settimeout(patience(worker, wait))
        try:
            secured = context.wrap_socket(link.real, server_hostname=server_hostname)
        except ssl.SSLError as error:
            said = tuple(getattr(error, name, None) for name in _SAYS)
            return _ERROR, type(error).__name__, tuple(error.args), said
        link.real = secured
        outside_of(worker.hub).to_end.append(secured.close)
        named = tuple((secured.getpeercert() or {}).items())
        return (
            secured.version(), secured.cipher(), secured.selected_alpn_protocol(), named,
            secured.getpeercert(True),
        )  # fmt: skip

    told = ask(worker, "connection", f"TLS handshake with {link.where}", live, [server_hostname])
    if told[0] == _ERROR:
        raise _error(*told[1:])
    link.secured = True
    link.nothing = (*link.nothing, ssl.SSLWantReadError)
    return TlsFacts(context, told)


def _error(name: str, arguments: tuple[Any, ...], said: tuple[Any, ...]) -> ssl.SSLError:
    found: Any = getattr(ssl, name, None)  # a trace says which: nothing but an error is made of it
    known = isinstance(found, type) and issubclass(found, ssl.SSLError)
    error: ssl.SSLError = found(*arguments) if known else ssl.SSLError(*arguments)
    for attribute, value in zip(_SAYS, said, strict=True):
        if value is not None:
            with contextlib.suppress(AttributeError):
                setattr(error, attribute, value)
    return error


def read(worker: Worker, end: End, wait: float | None, size: int, buffer: Any = None) -> Any:
    """Up to ``size`` bytes that were sent from outside."""
    if buffer is None:
        return operations.receive(worker, end, size, wait)
    data = operations.receive(worker, end, min(size or len(buffer), len(buffer)), wait)
    memoryview(buffer).cast("B")[: len(data)] = data
    return len(data)


def write(worker: Worker, end: End, wait: float | None, data: Any) -> int:
    return operations.send(worker, end, memoryview(data).cast("B"), wait)


def refuse_unwrapping(worker: Worker, end: End) -> None:
    """What is said without TLS afterwards would go another way."""
    refuse(worker, f"TLS with {end.link.where} is not ended before the connection is")
