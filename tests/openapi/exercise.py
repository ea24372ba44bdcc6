#!/usr/bin/env python3
"""Lets schemathesis exercise a real server by docs/openapi.json: exercise.py PROGRAM [ARGUMENT OF `st run` ...].

The server has a database of its own in a temporary folder, made by the program's own commands: an app with
client_credentials, a resource server, an admin who is signed in, and a receipt. The seed is fixed, so the same requests
are made every time. Of the endless /revocations/feed the first event is read; tests/http/feed.rs reads the others. The
server's log goes to a file, and is shown if something is found.
"""

import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
from pathlib import Path

HERE = Path(__file__).resolve().parent
PASSWORD = "correct horse battery"
METRICS_TOKEN = "a-token-for-metrics"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_until_ready(server, port):
    for _ in range(200):
        if server.poll() is not None:
            sys.exit(f"the server ended with {server.returncode}")
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        time.sleep(0.05)
    sys.exit("the server is not ready after ten seconds")


def sign_in(port, name):
    """The session cookie's value."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    form = urllib.parse.urlencode({"username": name, "password": PASSWORD})
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"}
    connection.request("POST", "/login", form, headers)
    answer = connection.getresponse()
    cookie = answer.getheader("Set-Cookie") or ""
    if answer.status != 303 or not cookie.startswith("rescind="):
        sys.exit(f"signing in was answered with {answer.status}")
    return cookie.split(";")[0].split("=", 1)[1]


def main(program, *arguments):
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        issuer = f"http://127.0.0.1:{port}"
        settings = {
            **os.environ,
            "RESCIND_DATABASE_URL": f"sqlite://{folder}/rescind.db",
            "RESCIND_ISSUER": issuer,
            "RESCIND_LISTEN": f"127.0.0.1:{port}",
            "RESCIND_METRICS_TOKEN": METRICS_TOKEN,
        }

        def rescind(*words, stdin=""):
            done = subprocess.run(
                [program, *words, "--json"], env=settings, input=stdin, stdout=subprocess.PIPE, text=True, check=True
            )
            return json.loads(done.stdout)

        log = open(f"{folder}/log", "w+")
        server = subprocess.Popen([program, "serve"], env=settings, stderr=log)
        try:
            wait_until_ready(server, port)
            rescind("user", "add", "max", "--role", "admin", "--password-stdin", stdin=PASSWORD)
            api = rescind(
                "resource-server", "add", "Photos", "--audience", "https://photos.example", "--scope", "read=See your photos"
            )
            types = ["client_credentials", "authorization_code", "refresh_token"]
            words = [word for kind in types for word in ("--grant-type", kind)]
            app = rescind(
                "client", "add", "--owner", "max", "--name", "Prints", *words,
                "--redirect-uri", "https://app.example/callback",
            )
            receipt = rescind("revoke", "client", app["client_id"])["receipt"]
            known = {
                "CLIENT_ID": app["client_id"],
                "CLIENT_SECRET": app["client_secret"],
                "RESOURCE_SERVER_ID": api["id"],
                "RESOURCE_SERVER_SECRET": api["secret"],
                "METRICS_TOKEN": METRICS_TOKEN,
                "SESSION": sign_in(port, "max"),
                "RECEIPT_ID": receipt,
            }
            st = Path(sys.executable).with_name("st")
            done = subprocess.run(
                [st, "--config-file", HERE / "schemathesis.toml", "run", HERE.parent.parent / "docs/openapi.json",
                 "--url", issuer, *arguments],
                env={**os.environ, **known}, cwd=folder,
            )
            if server.poll() is not None:
                sys.exit(f"the server ended with {server.returncode}")
            server.terminate()
            # Within ten seconds it stops by itself.
            if server.wait(timeout=30) != 0 or done.returncode != 0:
                log.seek(0)
                sys.exit(f"schemathesis: {done.returncode}, the server: {server.returncode}\n{log.read()}")
        finally:
            server.kill()


if __name__ == "__main__":
    main(os.path.abspath(sys.argv[1]), *sys.argv[2:])
