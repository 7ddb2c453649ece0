# SPDX-License-Identifier: Apache-2.0
"""A small Backblaze B2 on real sockets, with failures that tests choose."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import itertools
import json
import re
import socket
import threading
from collections import defaultdict, deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote_plus, urlsplit

from oio.api.backblaze_http import Backblaze, Backoff

KEY_ID = "0a1b2c3d4e5f"
KEY = "K001topsecretkey"
ACCOUNT_ID = "ffffffffffff"
BUCKET = "openio-test"
BUCKET_ID = "b" * 24


@dataclass
class Refusal(Exception):
    """An answer with an error status."""

    status: int
    code: str | None = None
    headers: dict = field(default_factory=dict)
    message: str = "because"


@dataclass(frozen=True)
class Cut:
    """The connection ends without an answer: before the request is executed, or after (``done``)."""

    done: bool = False


@dataclass(frozen=True)
class Damage:
    """Changes to the body, the headers or the status of a download."""

    keep: int | None = None
    flip: bool = False
    headers: dict = field(default_factory=dict)
    status: int | None = None


@dataclass(frozen=True)
class Stall:
    """No answer comes until the test is over."""


@dataclass(frozen=True)
class Held:
    """The request waits until the test sets ``event``; then it is refused or executed."""

    event: threading.Event
    refusal: Refusal | None = None


@dataclass
class File:
    file_id: str
    name: str
    data: bytes | None
    info: dict
    mime_type: str = "x"
    sha1: str = "none"
    action: str = "upload"
    parts: dict = field(default_factory=dict)

    def entry(self):
        size = len(self.data or b"")
        return {
            "fileId": self.file_id,
            "fileName": self.name,
            "contentLength": size,
            "size": size,
            "contentSha1": self.sha1,
            "contentType": self.mime_type,
            "fileInfo": self.info,
            "action": self.action,
            "bucketId": BUCKET_ID,
            "accountId": ACCOUNT_ID,
        }


@dataclass
class Call:
    operation: str
    headers: dict
    body: bytes
    target: str

    @property
    def json(self):
        return json.loads(self.body)


class FakeB2:
    """State of the service. Each request takes the next of ``faults[operation]``, where None is no fault."""

    def __init__(self):
        self.files: list[File] = []
        self.calls: list[Call] = []
        self.faults = defaultdict(deque)
        #: Valid tokens and upload URLs.
        self.tokens: set[str] = set()
        self.urls: dict[str, str] = {}
        self.busy: set[str] = set()
        self.most_busy = 0
        self.page = 1000
        #: Error messages repeat the credentials.
        self.echo = False
        self.connections = 0
        #: Barrier at which each upload waits: it proves that so many run at a time.
        self.meeting: threading.Barrier | None = None
        self.over = threading.Event()
        self.ids = itertools.count(1)
        self.lock = threading.Lock()

    # --- for tests ---

    def count(self, operation):
        return sum(call.operation == operation for call in self.calls)

    def of(self, operation):
        return [call for call in self.calls if call.operation == operation]

    def fail(self, operation, *faults):
        self.faults[operation].extend(faults)

    def add(self, name, data, sha1=None, **info):
        file = File(self._new_id(), name, data, info, sha1=sha1 or hashlib.sha1(data).hexdigest())
        self.files.append(file)
        return file

    def version(self, name):
        found = [file for file in self.files if file.name == name and file.action == "upload"]
        if not found:
            raise Refusal(404, "not_found")
        return found[-1]

    def data(self, name):
        return self.version(name).data

    # --- operations ---

    def _new_id(self):
        return f"4_z{BUCKET_ID}_f{next(self.ids):016x}"

    def authorize(self, headers, base):
        expected = "Basic " + base64.b64encode(f"{KEY_ID}:{KEY}".encode()).decode()
        if headers.get("authorization") != expected:
            raise Refusal(401, "unauthorized", message=f"wrong: {headers.get('authorization')}")
        return self.authorization(base)

    def authorization(self, base=None):
        """Answer to ``b2_authorize_account``."""
        base = base or self.url
        token = f"4_token_{next(self.ids)}"
        self.tokens.add(token)
        return {
            "accountId": ACCOUNT_ID,
            "authorizationToken": token,
            "apiUrl": base,
            "downloadUrl": base,
            "allowed": {},
            "absoluteMinimumPartSize": 1,
            "recommendedPartSize": 100,
        }

    def check_token(self, headers):
        token = headers.get("authorization")
        if token not in self.tokens:
            raise Refusal(401, "expired_auth_token", message=f"Token {token} has ended")

    def b2_list_buckets(self, asked, base):
        assert asked["accountId"] == ACCOUNT_ID
        return {"buckets": [{"bucketName": BUCKET, "bucketId": BUCKET_ID, "bucketType": "allPrivate"}]}

    def b2_get_upload_url(self, asked, base):
        assert asked["bucketId"] == BUCKET_ID
        return {"bucketId": BUCKET_ID, **self._new_url(f"{base}/b2api/v1/b2_upload_file/{BUCKET_ID}")}

    def b2_get_upload_part_url(self, asked, base):
        self._unfinished(asked["fileId"])
        url = self._new_url(f"{base}/b2api/v1/b2_upload_part/{asked['fileId']}")
        return {"fileId": asked["fileId"], **url}

    def _new_url(self, prefix):
        number = next(self.ids)
        url = f"{prefix}/c001_v{number}"
        self.urls[urlsplit(url).path] = f"4_upload_{number}"
        return {"uploadUrl": url, "authorizationToken": f"4_upload_{number}"}

    @contextlib.contextmanager
    def using(self, path, headers):
        with self.lock:
            if self.urls.get(path) != headers.get("authorization"):
                raise Refusal(401, "bad_auth_token")
            if path in self.busy:
                raise Refusal(400, "auth_token_limit")
            self.busy.add(path)
            self.most_busy = max(self.most_busy, len(self.busy))
        try:
            if self.meeting is not None:
                self.meeting.wait(10)
            yield
        except BaseException:
            self.urls.pop(path, None)
            raise
        finally:
            self.busy.discard(path)

    def upload(self, operation, path, headers, body):
        sha1 = hashlib.sha1(body).hexdigest()
        if headers["x-bz-content-sha1"] != sha1:
            raise Refusal(400, "bad_request", message="Sha1 did not match data received")
        if operation == "b2_upload_part":
            file = self._unfinished(path.split("/")[-2])
            number = int(headers["x-bz-part-number"])
            file.parts[number] = body
            return {
                "fileId": file.file_id,
                "partNumber": number,
                "contentLength": len(body),
                "contentSha1": sha1,
            }
        info = {
            name.removeprefix("x-bz-info-"): unquote_plus(value)
            for name, value in headers.items()
            if name.startswith("x-bz-info-")
        }
        name = unquote_plus(headers["x-bz-file-name"])
        file = File(self._new_id(), name, body, info, headers["content-type"], sha1)
        self.files.append(file)
        return file.entry()

    def _unfinished(self, file_id):
        for file in self.files:
            if file.file_id == file_id and file.action == "start":
                return file
        raise Refusal(400, "bad_request", message=f"No active upload for: {file_id}")

    def b2_start_large_file(self, asked, base):
        file = File(
            self._new_id(),
            asked["fileName"],
            None,
            asked.get("fileInfo") or {},
            asked["contentType"],
            action="start",
        )
        self.files.append(file)
        return file.entry()

    def b2_finish_large_file(self, asked, base):
        file = self._unfinished(asked["fileId"])
        parts = [file.parts[number] for number in sorted(file.parts)]
        if sorted(file.parts) != list(range(1, len(parts) + 1)) or len(parts) < 2:
            raise Refusal(400, "missing_part")
        if [hashlib.sha1(part).hexdigest() for part in parts] != asked["partSha1Array"]:
            raise Refusal(400, "part_sha1_mismatch")
        file.data, file.action = b"".join(parts), "upload"
        return file.entry()

    def b2_cancel_large_file(self, asked, base):
        file = self._unfinished(asked["fileId"])
        self.files.remove(file)
        return {"fileId": file.file_id, "fileName": file.name}

    def b2_list_unfinished_large_files(self, asked, base):
        found = [file for file in self.files if file.action == "start"]
        found = [file.entry() for file in found if file.name.startswith(asked.get("namePrefix") or "")]
        return {"files": found, "nextFileId": None}

    def b2_get_file_info(self, asked, base):
        for file in self.files:
            if file.file_id == asked["fileId"] and file.action == "upload":
                return file.entry()
        raise Refusal(404, "not_found")

    def b2_list_file_names(self, asked, base):
        names = sorted({file.name for file in self.files if file.action == "upload"})
        names = [name for name in names if name >= (asked.get("startFileName") or "")]
        page = [self.version(name).entry() for name in names[: self.page]]
        return {"files": page, "nextFileName": page[-1]["fileName"] + " " if names[self.page :] else None}

    def b2_list_file_versions(self, asked, base):
        order = self.files[::-1]
        order.sort(key=lambda file: file.name)
        found = [
            file
            for file in order
            if file.name >= asked["startFileName"] and file.name.startswith(asked.get("prefix") or "")
        ]
        ids = [file.file_id for file in found]
        if asked.get("startFileId"):
            found = found[ids.index(asked["startFileId"]) :]
        rest = found[self.page :]
        return {
            "files": [file.entry() for file in found[: self.page]],
            "nextFileName": rest[0].name if rest else None,
            "nextFileId": rest[0].file_id if rest else None,
        }

    def b2_delete_file_version(self, asked, base):
        for file in self.files:
            if (file.file_id, file.name) == (asked["fileId"], asked["fileName"]):
                self.files.remove(file)
                return dict(asked)
        raise Refusal(400, "file_not_present")

    def download(self, path, headers):
        _, _, bucket, name = path.split("/", 3)
        if bucket != BUCKET:
            raise Refusal(404, "not_found")
        file = self.version(unquote_plus(name))
        size = len(file.data)
        known = {
            "X-Bz-File-Id": file.file_id,
            "X-Bz-Content-Sha1": file.sha1,
            **{f"X-Bz-Info-{key}": value for key, value in file.info.items()},
        }
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", headers.get("range", ""))
        if match is None:
            return 200, known, file.data
        first, last = int(match[1]), min(int(match[2] or size), size - 1)
        if first >= size:
            raise Refusal(416, "range_not_satisfiable")
        if (first, last) == (0, size - 1):
            return 200, known, file.data
        return 206, {**known, "Content-Range": f"bytes {first}-{last}/{size}"}, file.data[first : last + 1]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    service: FakeB2

    def log_message(self, *args):
        pass

    def _serve(self):
        service = self.service
        headers = {name.lower(): value for name, value in self.headers.items()}
        assert "transfer-encoding" not in headers
        body = self.rfile.read(int(headers.get("content-length", 0)))
        path = urlsplit(self.path).path
        operation = "download" if path.startswith("/file/") else path.split("/")[3]
        with service.lock:
            service.calls.append(Call(operation, headers, body, self.path))
            faults = service.faults[operation]
            fault = faults.popleft() if faults else None
        status, extra, data = 200, {}, b""
        try:
            if isinstance(fault, Held):
                fault.event.wait()
                fault = fault.refusal
            if isinstance(fault, Refusal):
                raise fault
            if isinstance(fault, Stall):
                service.over.wait()
            if isinstance(fault, Stall) or fault == Cut():
                self.close_connection = True
                return
            if operation == "download":
                service.check_token(headers)
                status, extra, data = service.download(path, headers)
            else:
                data = json.dumps(self._act(operation, path, headers, body)).encode()
        except Refusal as err:
            status, extra = err.status, err.headers
            message = f"{err.message} {headers.get('authorization')}" if service.echo else err.message
            data = json.dumps({"status": err.status, "code": err.code, "message": message}).encode()
            if err.code is None:
                data = f"<html>{message}</html>".encode()
        if isinstance(fault, Cut):
            self.close_connection = True
            return
        self._answer(status, extra, data, fault)

    do_GET = do_POST = do_HEAD = _serve  # noqa: N815 - names of the standard library

    def _act(self, operation, path, headers, body):
        service = self.service
        base = service.url
        if operation == "b2_authorize_account":
            return service.authorize(headers, base)
        if operation.startswith("b2_upload_"):
            with service.using(path, headers):
                return service.upload(operation, path, headers, body)
        service.check_token(headers)
        return getattr(service, operation)(json.loads(body), base)

    def _answer(self, status, extra, data, fault):
        if isinstance(fault, bytes):
            data = fault
        damage = fault if isinstance(fault, Damage) else Damage()
        self.send_response(damage.status or status)
        for name, value in {**extra, "Content-Length": len(data), **damage.headers}.items():
            if value is not None:
                self.send_header(name, str(value))
        self.end_headers()
        if damage.flip:
            data = bytes([data[0] ^ 1]) + data[1:]
        if self.command != "HEAD":
            self.wfile.write(data[: damage.keep])
        if damage.keep is not None or damage.headers:
            self.close_connection = True


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 128

    def __init__(self, service, tls):
        self.peers = []
        self.tls = tls
        super().__init__(("127.0.0.1", 0), type("Handler", (_Handler,), {"service": service}))

    def get_request(self):
        sock, address = super().get_request()
        if self.tls is not None:
            # The handler does the handshake, so that other connections need not wait for it here.
            sock = self.tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        self.peers.append(sock)
        self.RequestHandlerClass.service.connections += 1
        return sock, address

    def handle_error(self, request, client_address):
        pass


@contextlib.contextmanager
def serving_b2(tls=None):
    """Run a service, whose ``url`` is the address for authorisation.

    :param tls: TLS context of the server
    """
    service = FakeB2()
    server = _Server(service, tls)
    service.url = f"http{'' if tls is None else 's'}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield service
    finally:
        service.over.set()
        server.shutdown()
        for sock in server.peers:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        server.server_close()
        thread.join()


class Waits(list):
    """Pauses of a client, in seconds: recorded, but not waited for."""

    @property
    def backoff(self):
        return Backoff(sleep=self.append, draw=lambda: 0.0)


@contextlib.contextmanager
def client_of(service, **options):
    """A client that records its pauses in ``waits`` instead of waiting."""
    waits = Waits()
    known = {"api_url": service.url, "backoff": waits.backoff, **options}
    with Backblaze(KEY_ID, KEY, **known) as client:
        client.waits = waits
        yield client


class Pipe:
    """A source that cannot seek, and gives at most ``most`` bytes at a time."""

    def __init__(self, data, most=1000):
        self._data = memoryview(data)
        self._most = most
        self.given = 0

    def read(self, size):
        block = bytes(self._data[self.given : self.given + min(size, self._most)])
        self.given += len(block)
        return block
