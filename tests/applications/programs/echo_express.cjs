// Express as it is usually set up behind a proxy. Usage: node echo_express.cjs PORT
const express = require('express');
const cookieParser = require('cookie-parser');
const methodOverride = require('method-override');

const application = express();
application.set('trust proxy', true);
for (const name of ['X-HTTP-Method', 'X-HTTP-Method-Override', 'X-Method-Override']) {
  application.use(methodOverride(name));
}
application.use(methodOverride('_method'));
application.use(cookieParser());
const tell = (handler) => (request, response) => response.json({
  handler,
  method: request.method,
  path: request.path,
  host: request.hostname,
  scheme: request.protocol,
  client: request.ip,
  params: request.params,
  seen: request.headers,
  cookies: request.cookies,
});
application.all('/api/admin', tell('admin'));
application.all('/users/:name', tell('user'));
application.delete('*', tell('delete'));
application.all('*', tell('other'));
application.listen(Number(process.argv[2]), '127.0.0.1');
