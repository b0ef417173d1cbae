"""A small HTTP/2 client over TLS that keeps its connection, and knows which certificate it met."""

import asyncio
import ssl
from typing import Self

from cryptography import x509
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, ResponseReceived, StreamEnded, StreamReset

SECONDS = 10.0


class H2Client:
    """One connection, one request at a time. An end of the connection raises."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._host = host
        self._h2 = H2Connection()
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        self.serial = f"{x509.load_der_x509_certificate(der).serial_number:x}"
        self._h2.initiate_connection()

    @classmethod
    async def connect(cls, port: int, host: str) -> Self:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        async with asyncio.timeout(SECONDS):
            streams = await asyncio.open_connection(
                "127.0.0.1", port, ssl=context, server_hostname=host
            )
        return cls(*streams, host)

    async def get(self, path: str) -> int:
        """GET and return the status."""
        stream = self._h2.get_next_available_stream_id()
        headers = {":method": "GET", ":scheme": "https", ":path": path, ":authority": self._host}
        self._h2.send_headers(stream, list(headers.items()), end_stream=True)
        status = 0
        async with asyncio.timeout(SECONDS):
            while True:
                self._writer.write(self._h2.data_to_send())
                received = await self._reader.read(65_536)
                if not received:
                    raise ConnectionError("the connection was dropped")
                for event in self._h2.receive_data(received):
                    match event:
                        case ResponseReceived(stream_id=number) if number == stream:
                            status = int(dict(event.headers or ())[b":status"])
                        case DataReceived(flow_controlled_length=size, stream_id=number):
                            self._h2.acknowledge_received_data(size, number)
                        case StreamEnded(stream_id=number) if number == stream:
                            return status
                        case ConnectionTerminated() | StreamReset():
                            raise ConnectionError(f"{event}")

    async def close(self) -> None:
        self._writer.close()
        try:
            async with asyncio.timeout(SECONDS):
                await self._writer.wait_closed()
        except (OSError, ssl.SSLError):
            return
