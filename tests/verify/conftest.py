"""An S3 and a chain with records on them, and a server that says what a test tells it to, as no honest one would."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from partners.akave.encoding import encrypt, new_record_key
from partners.sandbox.chain.deploy import ROLES, Wiring, key_address, public_key, role_key
from partners.sandbox.chain.server import start_chain
from partners.sandbox.s3 import start_s3
from partners.vana.encoding import ecies_seal
from verify.__main__ import main
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


class Estate:
    """Records at both partners, as a delivery without fault leaves them; and the verification of them."""

    def __init__(self, folder, server, put, chain):
        self.folder, self.server, self.put, self.chain = folder, server, put, chain
        self.input = folder / "input"
        self.owner = key_address(chain.keys["admin"])
        self.dlp_public = bytes.fromhex(public_key(chain.keys["dlp"])[2:])
        self.files = 0
        for name, secret in (("s3.txt", "secret"), ("dlp.txt", chain.keys["dlp"])):
            (folder / name).write_text(secret + "\n")

    def write(self, name, content):
        path = self.input / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def seal(self, message):
        """Encrypt for the DLP."""
        return ecies_seal(self.dlp_public, message).blob

    def register(self, url, record_key, owner=None):
        """Register a URL with the DLP's key; return the file id."""
        return self.register_with(url, [(self.chain.addresses.dlp, self.seal(record_key.encode()))], owner)

    def register_with(self, url, permissions, owner=None):
        self.transact("registry", "addFileWithPermissions", url, owner or self.owner, permissions)
        self.files += 1
        return self.files

    def transact(self, contract, function, *args):
        self.chain.admin.transact(contract, function, *args)

    def url(self, place):
        return f"{self.server.url}/{place}"

    def store(self, place, content, record_key=None):
        """Put an object with this content; return its record key."""
        record_key = record_key or new_record_key()
        self.put(place, encrypt(content, record_key))
        return record_key

    def deliver(self, name, content, place):
        """Do all that a delivery does: input file, object, registration; return the file id."""
        self.write(name, content)
        return self.register(self.url(place), self.store(place, content))

    @property
    def s3_options(self):
        options = ["--s3", self.server.url, "--s3-access-key-id", "id", "--s3-secret-file", str(self.folder / "s3.txt")]
        options += ["--s3-log", f"{self.server.url}/_sandbox/log", "--report", str(self.folder / "report.json")]
        return ["--input", str(self.input), "--bucket", "health", "--bucket", "checkin", *options]

    @property
    def options(self):
        addresses = self.chain.addresses
        options = ["--rpc", addresses.rpc_url, "--registry", addresses.registry, "--dlp", addresses.dlp]
        options += ["--dlp-key-file", str(self.folder / "dlp.txt"), "--owner", self.owner]
        return [*self.s3_options, *options]

    def verify(self, *more, options=None):
        """Run the verification; return its exit status and what it found, as (rule, subject) pairs."""
        status = main([*(self.options if options is None else options), *more])
        report = json.loads((self.folder / "report.json").read_text())
        assert status == (0 if report["ok"] else 1)
        assert report["ok"] is (not report["findings"])
        self.report = report
        return [(finding["rule"], finding["subject"]) for finding in report["findings"]]


@pytest.fixture
def estate(tmp_path, server, put):
    """Three records, two of them alike, delivered without fault; no TEE fee, and the admin is the TEE."""
    keys = {role: role_key("admin" if role == "tee" else role) for role in ROLES}
    chain = start_chain(block_s=0, wiring=Wiring(keys=keys, tee_url="http://tee.invalid", tee_fee=0))
    estate = Estate(tmp_path, server, put, chain)
    estate.deliver("a/1.json", b'{"pulse": 60}', "health/one")
    estate.deliver("a/2.json", b'"text"', "checkin/two")
    estate.deliver("b/3.json", b'{"pulse": 60}', "health/three")
    yield estate
    chain.stop()
