#include "request.h"

#include "route.h"

enum { LETTER = 1, LOWER = 2, DIGIT = 4, MARK = 8 /* - _ */ };

static unsigned kind_of(char c) {
  if (c >= 'a' && c <= 'z') return LETTER | LOWER;
  if (c >= 'A' && c <= 'Z') return LETTER;
  if (c >= '0' && c <= '9') return DIGIT;
  return c == '-' || c == '_' ? MARK : 0;
}

/* One spelling only, and nothing that the audit log would mask (sidecar.common.redact): every
 * pattern that such a path can match has a dot before twenty or more of these bytes, or `eyJ`. */
bool septem_plain_path(text path) {
  enum { LIKE_A_TOKEN = 20 };
  if (path.length == 0 || path.length > SEPTEM_MAX_PATH || path.at[0] != '/') return false;
  size_t after_dot = 0;
  bool dotted = false;
  for (size_t i = 0; i < path.length; i++) {
    char c = path.at[i], before = i ? path.at[i - 1] : 'a';
    if (c == '/' || c == '.') {
      if (before == '/') return false;
      dotted = c == '.';
      after_dot = 0;
    } else if (c == '~') {
      dotted = false;
    } else if (kind_of(c) == 0) {
      return false;
    } else if (dotted && ++after_dot >= LIKE_A_TOKEN) {
      return false;
    }
    if (c == 'J' && i >= 2 && before == 'y' && path.at[i - 2] == 'e') return false;
  }
  return true;
}

/* A name as the sidecar's `canonical_host` leaves it, and would not change. */
bool septem_plain_host(text host) {
  if (host.length == 0 || host.length > SEPTEM_MAX_HOST) return false;
  size_t label = 0;
  for (size_t i = 0; i <= host.length; i++) {
    char c = i < host.length ? host.at[i] : '.';
    if (c == '.') {
      if (label == 0 || label > 63 || host.at[i - label] == '-' || host.at[i - 1] == '-')
        return false;
      label = 0;
    } else if ((kind_of(c) & (LOWER | DIGIT | MARK)) == 0) {
      return false;
    } else {
      label++;
    }
  }
  return true;
}

static int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* As `sidecar.authz.spelling.may_hold(query, (b"access_token",))`: escapes decoded, letters in
 * lower case, and what some server reads as an underscore as one. */
bool septem_query_may_hold_token(text query) {
  static const char name[] = "access_token";
  size_t found = 0;
  for (size_t i = 0; i < query.length; i++) {
    char c = query.at[i];
    if (c == '%' && i + 2 < query.length && hex(query.at[i + 1]) >= 0 && hex(query.at[i + 2]) >= 0) {
      c = (char)(hex(query.at[i + 1]) << 4 | hex(query.at[i + 2]));
      i += 2;
    }
    if (c >= 'A' && c <= 'Z') c = (char)(c + ('a' - 'A'));
    if (c == '.' || c == ' ' || c == '+' || c == '[') c = '_';
    /* The name's first letter stands in it once, so a failed match can only begin again here. */
    found = c == name[found] ? found + 1 : c == name[0];
    if (found == sizeof name - 1) return true;
  }
  return false;
}

/* As `sidecar.authz.request_ids`: what a client may have sent is an id, or is not written. */
bool septem_is_request_id(text value) {
  if (value.length < SEPTEM_MIN_REQUEST_ID || value.length > SEPTEM_MAX_REQUEST_ID) return false;
  for (size_t i = 0; i < value.length; i++) {
    if (kind_of(value.at[i]) == 0) return false;
    if (i >= 2 && value.at[i] == 'J' && value.at[i - 1] == 'y' && value.at[i - 2] == 'e')
      return false;
  }
  return true;
}

static uint32_t method_of(text name) {
  if (text_equal(name, TEXT("GET"))) return SEPTEM_GET;
  if (text_equal(name, TEXT("HEAD"))) return SEPTEM_HEAD;
  if (text_equal(name, TEXT("POST"))) return SEPTEM_POST;
  if (text_equal(name, TEXT("PUT"))) return SEPTEM_PUT;
  if (text_equal(name, TEXT("PATCH"))) return SEPTEM_PATCH;
  return text_equal(name, TEXT("DELETE")) ? SEPTEM_DELETE : 0;
}

static bool read_pseudo(text name, text value, septem_request *request) {
  if (text_equal(name, TEXT(":path"))) {
    request->path = value;
  } else if (text_equal(name, TEXT(":method"))) {
    request->method_name = value;
    request->method = method_of(value);
  } else if (text_equal(name, TEXT(":authority"))) {
    request->host = value;
  } else {
    return text_equal(name, TEXT(":scheme"));
  }
  return true;
}

/* False for a header with which nothing is repeated. */
static bool read_header(text name, text value, septem_request *request) {
  if (name.length == 0) return false;
  if (name.at[0] == ':') return read_pseudo(name, value, request);
  switch (name.length) {
    case 4: /* the proof of a bound token is for one request */
      return !text_equal(name, TEXT("dpop"));
    case 6:
      if (text_equal(name, TEXT("origin"))) request->has_origin = true;
      if (text_equal(name, TEXT("cookie"))) request->has_cookie = true;
      return true;
    case 7:
      return !text_equal(name, TEXT("upgrade"));
    case 12:
      if (!text_equal(name, TEXT("x-request-id"))) return true;
      /* Of several the sidecar gets them joined, and takes none. */
      if (request->request_id.at != NULL || value.at == NULL) value = (text){name.at, 0};
      request->request_id = value;
      return true;
    case 13:
      if (!text_equal(name, TEXT("authorization"))) return true;
      if (request->authorization.at != NULL) return false;
      request->authorization = value;
      return value.at != NULL;
    case 18:
      return !text_equal(name, TEXT("x-module-signature"));
    case 22:
      return !text_equal(name, TEXT("sec-websocket-protocol"));
    case 29:
      return !text_equal(name, TEXT("access-control-request-method"));
    default:
      return true;
  }
}

static bool split_query(septem_request *request) {
  const char *mark =
      request->path.length ? memchr(request->path.at, '?', request->path.length) : NULL;
  if (mark == NULL) return true;
  size_t path = (size_t)(mark - request->path.at);
  text query = {mark + 1, request->path.length - path - 1};
  request->path.length = path;
  request->has_query = true;
  return !septem_query_may_hold_token(query);
}

bool septem_request_read(void *envoy, bool has_body, septem_request *request) {
  size_t count = SEPTEM_CALLBACK(http_get_headers_size)(envoy, SEPTEM_REQUEST_HEADERS);
  if (count == 0 || count > SEPTEM_MAX_HEADERS) return false;
  if (!SEPTEM_CALLBACK(http_get_headers)(envoy, SEPTEM_REQUEST_HEADERS, request->headers))
    return false;
  request->count = count;
  request->method = 0;
  request->method_name = request->host = request->path = (text){NULL, 0};
  request->authorization = request->request_id = (text){NULL, 0};
  request->has_origin = request->has_cookie = request->has_query = false;
  request->has_body = has_body;
  for (size_t i = 0; i < count; i++)
    if (!read_header(request->headers[i].key, request->headers[i].value, request)) return false;
  if (!septem_is_request_id(request->request_id)) request->request_id.length = 0;
  return request->method != 0 && request->authorization.length >= SEPTEM_MIN_AUTHORIZATION &&
         request->authorization.length <= SEPTEM_MAX_AUTHORIZATION && split_query(request) &&
         septem_plain_path(request->path) && septem_plain_host(request->host);
}

bool septem_request_suits(const septem_request *request, const septem_row *row) {
  return !(request->has_origin && (row->flags & SEPTEM_ASK_ORIGIN)) &&
         !(request->has_cookie && (row->flags & SEPTEM_ASK_COOKIE)) &&
         !(request->has_body && !(row->flags & SEPTEM_BODY_REPEATS)) &&
         !(request->has_query && !(row->flags & SEPTEM_QUERY_REPEATS));
}
