"""A transaction pooler as small as one can be: many clients, one session of PostgreSQL, lent for a transaction at a time."""

import socket
import struct
import threading
from types import TracebackType
from typing import Self

from psycopg.conninfo import conninfo_to_dict, make_conninfo

_PLAIN_STARTUP = 196_608
"""Protocol 3.0. What else a client may begin with (SSL, GSSAPI, a cancel) is a number of its own."""


class TransactionPooler:
    """In front of a server that asks for no password on its socket. Clients are let in as they come."""

    def __init__(self, dsn: str) -> None:
        facts = {name: str(value) for name, value in conninfo_to_dict(dsn).items()}
        self._server = socket.socket(socket.AF_UNIX)
        self._server.connect(f"{facts['host']}/.s.PGSQL.{facts.get('port', '5432')}")
        pairs = b"".join(
            text.encode() + b"\0" for text in ("user", facts["user"], "database", facts["dbname"])
        )
        self._server.sendall(struct.pack("!ii", len(pairs) + 9, _PLAIN_STARTUP) + pairs + b"\0")
        self._greeting = self._answer()
        self._lent = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, name="pooler", daemon=True).start()
        port = self._listener.getsockname()[1]
        self.dsn = make_conninfo(host="127.0.0.1", port=port, user=facts["user"], dbname=facts["dbname"])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), name="pooler client", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        mine = False
        try:
            while struct.unpack("!i", _read(client, _length(client) - 4)[:4])[0] != _PLAIN_STARTUP:
                client.sendall(b"N")
            client.sendall(self._greeting)
            while (kind := _read(client, 1)) != b"X":
                if not mine:
                    self._lent.acquire()
                    mine = True
                length = _length(client)
                self._server.sendall(kind + struct.pack("!i", length) + _read(client, length - 4))
                if kind in b"QS":
                    answer = self._answer()
                    client.sendall(answer)
                    if answer.endswith(b"I"):
                        self._lent.release()
                        mine = False
        except (ConnectionError, OSError):
            return
        finally:
            if mine:
                self._lent.release()
            client.close()

    def _answer(self) -> bytes:
        """Everything up to ReadyForQuery, whose last byte says whether a transaction is open."""
        whole = b""
        while True:
            kind = _read(self._server, 1)
            length = _length(self._server)
            whole += kind + struct.pack("!i", length) + _read(self._server, length - 4)
            if kind == b"Z":
                return whole


def _length(source: socket.socket) -> int:
    return int(struct.unpack("!i", _read(source, 4))[0])


def _read(source: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        part = source.recv(size - len(found))
        if not part:
            raise ConnectionResetError("the other side has gone")
        found += part
    return found
