"""Services of AWS as a real server on a real socket, and one that answers as it is told."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "somebody",
    "AWS_SECRET_ACCESS_KEY": "s3cr3t-of-aws",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/nowhere/config",
    "AWS_SHARED_CREDENTIALS_FILE": "/nowhere/credentials",
}


def begin_threads():
    """Have the threads begin that fsspec never ends, so that they are those of no test."""
    from fsspec.asyn import get_loop, sync

    loop = get_loop()

    async def use_all():
        await asyncio.gather(*(loop.run_in_executor(None, time.sleep, 0.1) for _ in range(32)))

    sync(loop, use_all)


@contextlib.contextmanager
def aws(bucket=None):
    """The environment that leads to a server with one bucket; it runs in this process."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        variables = {**CREDENTIALS, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}
        if bucket:
            client(variables).create_bucket(Bucket=bucket)
        yield variables
    finally:
        server.stop()


def client(variables, service="s3"):
    """A client of another library than the one that is tested."""
    import boto3

    return boto3.client(
        service,
        endpoint_url=variables["AWS_ENDPOINT_URL"],
        region_name=variables["AWS_DEFAULT_REGION"],
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
    )


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # which says that a body may come

    def _answer(self):
        server = self.server
        self.rfile.read(int(self.headers.get("content-length", 0)))
        server.asked.append(self.command)
        status, code = server.answers.popleft() if server.answers else (200, "")
        if status == 0:
            server.over.wait(60)
            self.close_connection = True
            return
        body = (
            f"<Error><Code>{code}</Code><Message>{code}!</Message></Error>".encode()
            if code
            else b""
        )
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"e"')
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _answer  # noqa: N815

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def answering(*answers):
    """A server that gives these answers (status, code of S3), then 200; (0, "") never answers."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.answers, server.asked, server.over = deque(answers), [], threading.Event()
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        server.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield server
    finally:
        server.over.set()
        server.shutdown()
        thread.join()
        server.server_close()
