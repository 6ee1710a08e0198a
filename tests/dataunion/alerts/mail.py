"""A mail server at the wire: says what SMTP wants to hear, keeps what it was given."""

from __future__ import annotations

import email
import email.policy
import socket
import threading
from contextlib import suppress
from email.message import EmailMessage


class MailServer:
    """Takes one message a connection. `refusal` is what it answers to a message instead, such as "451 later"."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.receivers: list[list[str]] = []
        self.refusal = ""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def stop(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, suppress(OSError), connection.makefile("rwb", buffering=0) as wire:
                self._serve(wire)

    def _serve(self, wire: socket.SocketIO) -> None:
        def say(line: str) -> None:
            wire.write(f"{line}\r\n".encode())

        receivers: list[str] = []
        say("220 fake")
        while line := wire.readline().decode().strip():
            verb = line[:4].upper()
            if verb == "RCPT":
                receivers.append(line.partition("<")[2].partition(">")[0])
            if verb == "DATA" and not self.refusal:
                say("354 go on")
                self._take(wire, receivers)
            say(self.refusal if verb == "DATA" and self.refusal else "221 bye" if verb == "QUIT" else "250 fine")
            if verb == "QUIT":
                return

    def _take(self, wire: socket.SocketIO, receivers: list[str]) -> None:
        body = b""
        while not body.endswith(b"\r\n.\r\n"):
            body += wire.readline()
        self.receivers.append(receivers)
        self.messages.append(email.message_from_bytes(body[:-3].replace(b"\r\n", b"\n"), policy=email.policy.default))  # type: ignore[arg-type]
