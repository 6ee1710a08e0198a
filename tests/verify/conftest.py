"""An S3 that checks signatures, and a server that says what a test tells it to, as no honest service would."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from partners.sandbox.s3 import start_s3
from verify.wire import Wire


class Told(BaseHTTPRequestHandler):
    """Answers each request by `server.answer(handler, body) -> (status, headers, body)`; None hangs up."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer = self.server.answer(self, body)
        if answer is None:
            self.close_connection = True
            return
        status, headers, content = answer
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET

    def log_message(self, *arguments):
        pass


@pytest.fixture
def told():
    """Start a server with an answer function; returns its URL."""
    servers = []

    def start(answer):
        server = ThreadingHTTPServer(("127.0.0.1", 0), Told)
        server.answer = answer
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def wire():
    with Wire() as wire:
        yield wire


@pytest.fixture
def server():
    server = start_s3(access_key_id="id", secret="secret")
    yield server
    server.stop()


@pytest.fixture
def put(wire, server):
    """Do a signed request on an object of the S3: put("health/key", b"bytes")."""

    def ask(path, body=b"x", method="PUT"):
        request = AWSRequest(method, f"{server.url}/{path}", data=body)
        S3SigV4Auth(Credentials("id", "secret"), "s3", "us-south-1").add_auth(request)
        answer = wire.request(method, request.url, dict(request.headers.items()), body)
        assert answer.status in (200, 204), answer.body

    return ask
