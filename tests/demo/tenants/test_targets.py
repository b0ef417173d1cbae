"""How requests are sent, and which ports a process listens on."""

import os
import socket
import threading
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, HTTPServer

from demo.tenants.attacks import Step
from demo.tenants.facts import ATTACKER, VICTIM
from demo.tenants.targets import UNREACHED, ControlTarget, exchange, tcp_ports


class Echo(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        said = f"{self.path} {self.headers['host']} {self.headers.get_all('x-tenant-id')}".encode()
        self.send_response(200)
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None:
        pass


def test_a_request_says_who_sends_it_once() -> None:
    with HTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        control = ControlTarget(server.server_address[1])
        said = [
            control.send(step).body
            for step in (
                Step(path="/x", query={"words": "' --"}),
                Step(by_victim=True, host="shop.example"),
                Step(headers={"x-tenant-id": VICTIM}),
                Step(logged_in=False),
            )
        ]
        server.shutdown()
        thread.join()
    port = server.server_address[1]
    assert said == [
        f"/x?words=%27+-- localhost:{port} ['{ATTACKER}']",
        f"/api/orders shop.example ['{VICTIM}']",
        f"/api/orders localhost:{port} ['{VICTIM}']",
        f"/api/orders localhost:{port} None",
    ]


def test_nobody_there_is_an_answer_too() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert exchange(HTTPConnection("127.0.0.1", port), Step(), {}).status == UNREACHED


def test_the_ports_of_a_process() -> None:
    before = tcp_ports(os.getpid())
    with (
        socket.socket() as listening,
        socket.socket() as bound,
        socket.socket(socket.AF_INET6) as six,
    ):
        for each, address in ((listening, "127.0.0.1"), (bound, "127.0.0.1"), (six, "::1")):
            each.bind((address, 0))
        listening.listen()
        six.listen()
        ports = {listening.getsockname()[1], six.getsockname()[1]}
        assert tcp_ports(os.getpid()) - before == ports
