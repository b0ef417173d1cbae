# What a Rack server (puma) tells its application, and what Rack's own readers make of it.
require 'json'
require 'rack'
run lambda { |environment|
  request = Rack::Request.new(environment)
  told = {
    method: environment['REQUEST_METHOD'],
    path: Rack::Utils.unescape_path(environment['PATH_INFO']),
    host: request.host,
    scheme: request.scheme,
    client: request.ip,
    seen: environment.select { |_, value| value.is_a?(String) },
    cookies: request.cookies,
  }
  [200, { 'content-type' => 'application/json' }, [JSON.generate(told)]]
}
