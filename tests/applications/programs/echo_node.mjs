// What Node's own servers tell their application: http, and http2 in the clear.
// Usage: node echo_node.mjs KIND PORT
import http from 'node:http';
import http2 from 'node:http2';

const [kind, port] = process.argv.slice(2);
const answer = (request, response) => {
  request.resume();
  request.on('end', () => {
    const body = JSON.stringify({
      method: request.method,
      path: request.url.split('?')[0],
      host: request.headers.host ?? request.headers[':authority'],
      client: request.socket.remoteAddress,
      seen: request.headers,
      cookies: {},
      trailers: request.trailers,
    });
    response.writeHead(200, {'content-type': 'application/json'});
    if (kind === 'http2') {
      response.addTrailers({'x-checksum': 'abc', 'set-cookie': 'a=b', 'access-control-allow-origin': '*', server: 'node'});
    }
    response.end(body);
  });
};
const server = kind === 'http2' ? http2.createServer(answer) : http.createServer(answer);
// Where a handshake is passed on, what is said in it.
server.on('upgrade', (request, socket) => {
  const body = JSON.stringify({seen: request.headers, raw: request.rawHeaders});
  socket.end('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n' + body);
});
server.listen(Number(port), '127.0.0.1');
