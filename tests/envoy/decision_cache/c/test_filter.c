/* Streams through the filter, with a fake Envoy around it: what is repeated, what is asked for,
 * what is learnt. */
#define _GNU_SOURCE
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "fake_envoy.h"
#include "fake_sidecar.h"
#include "filter.h"

static fake_sidecar sidecar;
static const void *config;
static char source[300];

typedef struct {
  fake_envoy envoy;
  const void *filter;
} stream;

#define TOKEN "Bearer aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define OTHER "Bearer bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

typedef struct {
  const char *name;
  const char *value;
} header;

/* A request: these headers, and of GET http://edge.example/api/x with a token what they leave. */
static void stream_of(stream *it, const header *headers, size_t count) {
  static const header usual[] = {{":method", "GET"},
                                 {":authority", "edge.example"},
                                 {":path", "/api/x"},
                                 {":scheme", "https"},
                                 {"authorization", TOKEN}};
  memset(it, 0, sizeof *it);
  it->envoy.source = "203.0.113.7:4711";
  for (size_t i = 0; i < LENGTH(usual); i++) {
    bool given = false;
    for (size_t j = 0; j < count; j++) given |= !strcmp(headers[j].name, usual[i].name);
    if (!given)
      fake_add(it->envoy.request, &it->envoy.requests, usual[i].name,
               (text){usual[i].value, strlen(usual[i].value)});
  }
  for (size_t j = 0; j < count; j++)
    if (headers[j].value != NULL)
      fake_add(it->envoy.request, &it->envoy.requests, headers[j].name,
               (text){headers[j].value, strlen(headers[j].value)});
  it->filter = SEPTEM_EVENT(http_filter_new)(config, &it->envoy);
  CHECK(it->filter != NULL);
}

static bool is_repeated(const stream *it) {
  return text_equal(fake_get_metadata(&it->envoy, SEPTEM_OWN_NAMESPACE, SEPTEM_REPEATED_KEY),
                    TEXT("1"));
}

/* The request passes the filter; true if it was repeated. */
static bool request(stream *it, bool end) {
  fake_beat(&sidecar);
  CHECK(SEPTEM_EVENT(http_filter_request_headers)(&it->envoy, it->filter, end) == SEPTEM_CONTINUE);
  return is_repeated(it);
}

/* ext_authz has answered with this payload, and the response comes back. */
static void answer(stream *it, uint32_t scope, const char *common, const char *own) {
  char buffer[9000];
  fake_set_metadata(&it->envoy, SEPTEM_PAYLOAD_NAMESPACE, SEPTEM_PAYLOAD_KEY,
                    fake_payload(&sidecar, buffer, sizeof buffer, scope, common, own));
}

static void respond(stream *it) {
  CHECK(SEPTEM_EVENT(http_filter_response_headers)(&it->envoy, it->filter, false) == SEPTEM_CONTINUE);
}

static void finish(stream *it) {
  SEPTEM_EVENT(http_filter_stream_complete)(&it->envoy, it->filter);
  SEPTEM_EVENT(http_filter_destroy)(it->filter);
  fake_end(&it->envoy);
}

/* One request from begin to end, answered with a payload of scope 1 if it is asked for. */
static bool pass(const header *headers, size_t count, bool end) {
  stream it;
  stream_of(&it, headers, count);
  bool repeated = request(&it, end);
  if (!repeated) answer(&it, 1, NULL, NULL);
  respond(&it);
  finish(&it);
  return repeated;
}

static bool usual(void) { return pass(NULL, 0, true); }

static void begin(void) {
  fake_sidecar_start(&sidecar);
  snprintf(source, sizeof source, "socket=%s;entries=1024;bytes=1048576", sidecar.path);
  config = SEPTEM_EVENT(http_filter_config_new)(NULL, TEXT("x"), (text){source, strlen(source)});
  CHECK(config != NULL);
  CHECK(!usual()); /* connects */
  CHECK(fake_accept(&sidecar));
  fake_welcome(&sidecar);
  usleep(1100); /* it looks for the welcome once a millisecond */
}

static void end(void) {
  septem_filter_forget_thread();
  SEPTEM_EVENT(http_filter_config_destroy)(config);
  fake_sidecar_stop(&sidecar);
}

static uint64_t count_of(enum septem_count what) { return sidecar.ring->count[what]; }

static text drained(char *buffer, size_t size) {
  uint64_t length = sidecar.ring->head - sidecar.ring->tail;
  CHECK(length < size);
  for (uint64_t i = 0; i < length; i++)
    buffer[i] = ((char *)sidecar.ring + SEPTEM_RING_HEADER)[(sidecar.ring->tail + i) % FAKE_RING];
  sidecar.ring->tail = sidecar.ring->head;
  return (text){buffer, length};
}

static bool request_has(const stream *it, const char *name, const char *value) {
  text found = fake_find(it->envoy.request, it->envoy.requests, name);
  return value == NULL ? found.at == NULL : text_equal(found, (text){value, strlen(value)});
}

static void test_it_repeats_what_it_has_learnt(void) {
  stream it;
  char buffer[4096], expected[400];
  begin();
  CHECK(!usual() && count_of(SEPTEM_LEARNT) == 1 && count_of(SEPTEM_ENTRIES) == 1);
  stream_of(&it, (header[]){{"x-secret", "1"}, {"x-user-id", "forged"}, {"accept", "*"}}, 3);
  CHECK(request(&it, true));
  CHECK(request_has(&it, "x-user-id", "user-1") && request_has(&it, "x-tenant-id", "acme"));
  CHECK(request_has(&it, "x-secret", NULL) && request_has(&it, "accept", "*"));
  CHECK(it.envoy.changes == 3 && it.envoy.calls == 2);
  CHECK(text_equal(fake_get_metadata(&it.envoy, SEPTEM_PAYLOAD_NAMESPACE, "tenant"), TEXT("acme")));
  text id = fake_get_metadata(&it.envoy, SEPTEM_OWN_NAMESPACE, SEPTEM_DECISION_ID_KEY);
  CHECK(id.length == SEPTEM_ID_DIGITS && sidecar.ring->count[SEPTEM_REPEATED] == 1);
  CHECK(text_equal(
      fake_get_metadata(&it.envoy, SEPTEM_PAYLOAD_NAMESPACE, SEPTEM_DECISION_ID_KEY), id));
  text line = drained(buffer, sizeof buffer);
  CHECK(text_starts(line, TEXT("{\"time\":\"20")) && text_ends(line, TEXT("}\n")));
  snprintf(expected, sizeof expected,
           "+00:00\",\"id\":\"%.20s\",\"m\":\"GET\",\"h\":\"edge.example\",\"p\":\"/api/x\","
           "\"s\":\"203.0.113.7\",\"u\":\"user-1\",\"l\":",
           id.at);
  CHECK(memmem(line.at, line.length, expected, strlen(expected)) != NULL);
  finish(&it);
  end();
}

/* What a client may have sent is in the line if it has an id's form, and else the member is not. */
static void test_the_line_has_the_requests_id(void) {
  static const struct {
    header sent[2];
    size_t count;
    const char *written;
  } rows[] = {
      {{{"x-request-id", "0d1c6c3a-5b0e-4c1d-9a55-6a0b7f0c1e2d"}},
       1,
       ",\"request_id\":\"0d1c6c3a-5b0e-4c1d-9a55-6a0b7f0c1e2d\"}\n"},
      {{{"x-request-id", "aaaaaaaa"}, {"x-request-id", "bbbbbbbb"}}, 2, NULL},
      {{{"x-request-id", ""}, {"x-request-id", "bbbbbbbb"}}, 2, NULL},
      {{{"x-request-id", "aaaaaaaa\"b"}}, 1, NULL},
      {{{"x-request-id", "eyJhbGciOiJFUzI1NiJ9"}}, 1, NULL},
      {{{"x-request-idx", "aaaaaaaa"}}, 1, NULL},
  };
  char buffer[4096];
  begin();
  usual();
  for (size_t i = 0; i < LENGTH(rows); i++) {
    stream it;
    stream_of(&it, rows[i].sent, rows[i].count);
    CHECK(request(&it, true));
    text line = drained(buffer, sizeof buffer);
    if (rows[i].written == NULL)
      CHECK(memmem(line.at, line.length, "request_id", 10) == NULL);
    else
      CHECK(text_ends(line, (text){rows[i].written, strlen(rows[i].written)}));
    finish(&it);
  }
  end();
}

/* The default configuration has 35 names to remove; one with many is repeated in full too. */
static void test_many_names_are_removed(void) {
  stream it;
  static char common[6000];
  strcpy(common, FAKE_LINE "\x1eh\x1fx-user-id\x1f\x1a" "0");
  for (int i = 0; i < 180; i++)
    snprintf(common + strlen(common), 40, "\x1e" "d\x1fx-secret-%d", i);
  begin();
  stream_of(&it, NULL, 0);
  CHECK(!request(&it, true));
  answer(&it, 1, common, FAKE_OWN);
  respond(&it);
  finish(&it);
  const header given[] = {{"x-secret-0", "1"}, {"x-secret-63", "1"}, {"x-secret-64", "1"},
                          {"x-secret-179", "1"}, {"x-secret-180", "1"}, {"x-user-id", "forged"}};
  stream_of(&it, given, LENGTH(given));
  CHECK(request(&it, true));
  for (int i = 0; i < 4; i++) CHECK_ROW(given[i].name, request_has(&it, given[i].name, NULL));
  CHECK(request_has(&it, "x-secret-180", "1") && request_has(&it, "x-user-id", "user-1"));
  CHECK(it.envoy.changes == 5);
  finish(&it);
  end();
}

static void test_the_response_is_as_ext_authz_makes_it(void) {
  stream it;
  begin();
  usual();
  stream_of(&it, NULL, 0);
  CHECK(request(&it, true));
  const header sent[] = {{"vary", "accept"}, {"x-absent", "0"}, {"x-replaced", "0"}, {"server", "0"}};
  for (size_t i = 0; i < LENGTH(sent); i++)
    fake_add(it.envoy.response, &it.envoy.responses, sent[i].name,
             (text){sent[i].value, strlen(sent[i].value)});
  respond(&it);
  CHECK(it.envoy.responses == 5); /* vary twice */
  CHECK(text_equal(fake_find(it.envoy.response, 5, "vary"), TEXT("accept")));
  CHECK(text_equal(fake_find(it.envoy.response, 5, "x-absent"), TEXT("0")));
  CHECK(text_equal(fake_find(it.envoy.response, 5, "x-replaced"), TEXT("1")));
  CHECK(text_equal(fake_find(it.envoy.response, 5, "server"), TEXT("1")));
  finish(&it);
  stream_of(&it, NULL, 0);
  CHECK(request(&it, true));
  respond(&it);
  CHECK(it.envoy.responses == 3);
  CHECK(text_equal(fake_find(it.envoy.response, 3, "vary"), TEXT("origin")));
  CHECK(text_equal(fake_find(it.envoy.response, 3, "x-absent"), TEXT("1")));
  CHECK(text_equal(fake_find(it.envoy.response, 3, "x-replaced"), TEXT("1")));
  finish(&it);
  end();
}

/* The document's "never" list, and what the key says. */
static void test_what_is_never_repeated(void) {
  static const struct {
    const char *name;
    header headers[3];
    bool has_body;
  } rows[] = {
      {"another token", {{"authorization", OTHER}}, false},
      {"no token", {{"authorization", NULL}}, false},
      {"two tokens", {{"authorization", TOKEN}, {"authorization", TOKEN}}, false},
      {"a token with one byte less", {{"authorization", "Bearer aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}}, false},
      {"a short token", {{"authorization", "Bearer aaaaaaaaaaaa"}}, false},
      {"OPTIONS", {{":method", "OPTIONS"}}, false},
      {"CONNECT", {{":method", "CONNECT"}}, false},
      {"a method of nobody", {{":method", "get"}}, false},
      {"extended CONNECT", {{":protocol", "websocket"}}, false},
      {"an upgrade", {{"upgrade", "websocket"}}, false},
      {"a subprotocol", {{"sec-websocket-protocol", "bearer.x"}}, false},
      {"a proof of a bound token", {{"dpop", "x"}}, false},
      {"a module's signature", {{"x-module-signature", "x"}}, false},
      {"a preflight", {{"access-control-request-method", "GET"}}, false},
      {"a host with capitals", {{":authority", "Edge.example"}}, false},
      {"a host with a port", {{":authority", "edge.example:443"}}, false},
      {"a host with a dot", {{":authority", "edge.example."}}, false},
      {"a host with an empty label", {{":authority", "edge..example"}}, false},
      {"a host with a hyphen in front", {{":authority", "-edge.example"}}, false},
      {"a literal", {{":authority", "[::1]"}}, false},
      {"no host", {{":authority", ""}}, false},
      {"a path with an escape", {{":path", "/api/%78"}}, false},
      {"a path with a dot segment", {{":path", "/api/../x"}}, false},
      {"a path with a dot in front", {{":path", "/api/.x"}}, false},
      {"a path with an empty segment", {{":path", "/api//x"}}, false},
      {"a path with a semicolon", {{":path", "/api/x;y"}}, false},
      {"a path with a backslash", {{":path", "/api/x\\y"}}, false},
      {"a path of a later plus", {{":path", "/api/a+b"}}, false},
      {"no path", {{":path", ""}}, false},
      {"an asterisk", {{":path", "*"}}, false},
      {"an absolute path", {{":path", "http://edge.example/api/x"}}, false},
      {"a path like a token", {{":path", "/api/eyJhbGciOiJ"}}, false},
      {"a path with a token after a dot", {{":path", "/api/s.01234567890123456789"}}, false},
      {"another route", {{":path", "/apix"}}, false},
      {"capitals that some servers ignore", {{":path", "/API/x"}}, false},
      {"a route's path with an extension", {{":path", "/api.json"}}, false},
      {"a dot at a segment's end", {{":path", "/api./x"}}, false},
      {"a token in the query", {{":path", "/api/x?access_token=1"}}, false},
      {"in other spellings", {{":path", "/api/x?a=1&ACCESS%2etoken=1"}}, false},
  };
  begin();
  CHECK(!usual());
  CHECK(usual());
  for (size_t i = 0; i < LENGTH(rows); i++) {
    stream it;
    size_t count = 0;
    while (count < 3 && rows[i].headers[count].name != NULL) count++;
    stream_of(&it, rows[i].headers, count);
    uint64_t head = sidecar.ring->head, spent = sidecar.credits[0].spent;
    CHECK_ROW(rows[i].name, !request(&it, !rows[i].has_body));
    CHECK_ROW(rows[i].name, it.envoy.changes == 0 && it.envoy.calls == 0);
    CHECK_ROW(rows[i].name, sidecar.ring->head == head && sidecar.credits[0].spent == spent);
    finish(&it);
    CHECK_ROW(rows[i].name, usual());
  }
  end();
}

/* A row may have any host, and an answer depends on it: whose domain it is. */
static void test_another_host_is_another_answer(void) {
  static const header other[] = {{":authority", "shop.example"}};
  begin();
  CHECK(!usual());
  CHECK(usual());
  CHECK(!pass(other, 1, true));
  CHECK(pass(other, 1, true));
  CHECK(usual());
  end();
}

static void test_an_odd_host_is_not_learnt(void) {
  static const header rows[] = {
      {":authority", "Edge.example"}, {":authority", "edge.example:443"},
      {":authority", "edge.example."}, {":authority", "edge..example"},
      {":authority", "[::1]"},         {":authority", ""},
  };
  begin();
  for (size_t i = 0; i < LENGTH(rows); i++)
    for (int times = 0; times < 3; times++) CHECK_ROW(rows[i].value, !pass(&rows[i], 1, true));
  end();
}

static void test_what_envoy_says_of_the_connection(void) {
  stream it;
  static const struct {
    const char *source, *line;
    bool certificate;
  } rows[] = {
      {"203.0.113.7:4711", "\"s\":\"203.0.113.7\"", false},
      {"203.0.113.7", "\"s\":\"203.0.113.7\"", false},
      {"[2001:db8::1]:4711", "\"s\":\"2001:db8::1\"", false},
      {"2001:db8::1", "\"s\":\"2001:db8::1\"", false},
      {"203.0.113.7:4711", NULL, true},
      {NULL, NULL, false},
      {"", NULL, false},
      {"[]:1", NULL, false},
      {"[::1", NULL, false},
      {"@abstract\"socket", NULL, false},
      {"0000:0000:0000:0000:0000:0000:0000:0000:0000:0000", NULL, false},
  };
  begin();
  usual();
  for (size_t i = 0; i < LENGTH(rows); i++) {
    char buffer[4096];
    const char *name = rows[i].source ? rows[i].source : "(none)";
    stream_of(&it, NULL, 0);
    it.envoy.source = rows[i].source;
    it.envoy.client_certificate = rows[i].certificate;
    CHECK_ROW(name, request(&it, true) == (rows[i].line != NULL));
    text line = drained(buffer, sizeof buffer);
    CHECK_ROW(name, rows[i].line == NULL
                        ? line.length == 0
                        : memmem(line.at, line.length, rows[i].line, strlen(rows[i].line)) != NULL);
    finish(&it);
  }
  end();
}

static void test_the_flags_of_a_row(void) {
  static const struct {
    const char *name;
    uint32_t flags;
    header given;
    bool has_body, repeats;
  } rows[] = {
      {"bare", 0, {"accept", "*"}, false, true},
      {"a route that asks", SEPTEM_ASK, {"accept", "*"}, false, false},
      {"origin, not read", 0, {"origin", "https://a.example"}, false, true},
      {"origin, read", SEPTEM_ASK_ORIGIN, {"origin", "https://a.example"}, false, false},
      {"no origin, read", SEPTEM_ASK_ORIGIN, {"accept", "*"}, false, true},
      {"cookie, not read", 0, {"cookie", "a=b"}, false, true},
      {"cookie, read", SEPTEM_ASK_COOKIE, {"cookie", "a=b"}, false, false},
      {"body", 0, {"accept", "*"}, true, false},
      {"body, repeats", SEPTEM_BODY_REPEATS, {"accept", "*"}, true, true},
      {"query", 0, {":path", "/api/x?a=b"}, false, false},
      {"empty query", 0, {":path", "/api/x?"}, false, false},
      {"query, repeats", SEPTEM_QUERY_REPEATS, {":path", "/api/x?a=b"}, false, true},
  };
  begin();
  for (size_t i = 0; i < LENGTH(rows); i++) {
    fake_rows(&sidecar, &(fake_row){1, rows[i].flags, "/api", false}, 1);
    usual(); /* sees the table */
    usual(); /* learns */
    pass(&rows[i].given, 1, !rows[i].has_body);
    CHECK_ROW(rows[i].name, pass(&rows[i].given, 1, !rows[i].has_body) == rows[i].repeats);
  }
  end();
}

static void test_the_first_row_decides_and_the_scope_is_part_of_the_key(void) {
  const header inner = {":path", "/api/inner/x"};
  begin();
  fake_rows(&sidecar, (fake_row[]){{1, SEPTEM_ASK, "/api/inner", false}, {1, 0, "/api", false}}, 2);
  usual(), usual();
  CHECK(usual() && !pass(&inner, 1, true) && !pass(&inner, 1, true));
  fake_rows(&sidecar, (fake_row[]){{2, 0, "/api/inner", false}, {1, 0, "/api", false}}, 2);
  usual(), usual();
  CHECK(usual() && !pass(&inner, 1, true));
  CHECK(!pass(&inner, 1, true)); /* the payload was one of scope 1, and not learnt */
  CHECK(count_of(SEPTEM_NOT_LEARNT) == 2);
  fake_rows(&sidecar, NULL, 0);
  usual();
  CHECK(!usual() && !usual());
  end();
}

/* A lenient server may read these as `/api/admin`, so nobody but the sidecar decides. */
static void test_a_path_of_two_readings_asks(void) {
  const char *odd[] = {"/api/Admin", "/api/Admin/x", "/api/admin.json", "/api/admin.tar.gz", "/api/admin./x"};
  const header plain[] = {{":path", "/api/administer"}, {":path", "/api/x/admin"}};
  begin();
  fake_rows(&sidecar, (fake_row[]){{2, SEPTEM_ASK, "/api/admin", false}, {1, 0, "/api", false}}, 2);
  usual(), usual();
  for (size_t i = 0; i < LENGTH(plain); i++) CHECK_ROW(plain[i].value, pass(&plain[i], 1, true));
  for (size_t i = 0; i < LENGTH(odd); i++) {
    const header path = {":path", odd[i]};
    CHECK_ROW(odd[i], !pass(&path, 1, true) && !pass(&path, 1, true));
  }
  end();
}

static void test_headers_that_are_too_many_or_withheld(void) {
  stream it;
  header many[60];
  char names[60][16];
  for (int i = 0; i < 60; i++) {
    snprintf(names[i], sizeof names[i], "x-%d", i);
    many[i] = (header){names[i], "1"};
  }
  begin();
  usual();
  CHECK(pass(many, 59, true)); /* with the five others 64 */
  CHECK(!pass(many, 60, true));
  stream_of(&it, NULL, 0);
  it.envoy.headers_fail = true;
  CHECK(!request(&it, true));
  finish(&it);
  end();
}

static void test_an_epoch_that_is_raised_meanwhile(void) {
  stream it;
  begin();
  usual();
  /* While the request is upstream: it gets its response's headers all the same. */
  stream_of(&it, NULL, 0);
  CHECK(request(&it, true));
  sidecar.control->worker[0].epoch++;
  CHECK(!usual());
  respond(&it);
  CHECK(text_equal(fake_find(it.envoy.response, it.envoy.responses, "x-replaced"), TEXT("1")));
  finish(&it);
  /* Between the question and its answer: not learnt, whatever epoch the answer is of. */
  CHECK(!usual() && usual());
  sidecar.control->worker[0].epoch++;
  CHECK(!usual());
  stream_of(&it, NULL, 0);
  CHECK(!request(&it, true));
  answer(&it, 1, NULL, NULL);
  sidecar.control->worker[0].epoch++;
  respond(&it);
  finish(&it);
  CHECK(!usual() && usual()); /* this one was learnt */
  sidecar.control->worker[0].epoch++;
  CHECK(!usual());
  stream_of(&it, NULL, 0);
  CHECK(!request(&it, true));
  sidecar.control->worker[0].epoch++;
  CHECK(!usual());
  answer(&it, 1, NULL, NULL); /* of the epoch of now, but asked under another */
  respond(&it);
  finish(&it);
  CHECK(!usual());
  end();
}

static void test_time(void) {
  stream it;
  char buffer[4096], head[200];
  uint64_t now_ms = septem_clock_ns(CLOCK_REALTIME) / 1000000;
  const struct {
    const char *name;
    uint64_t from, until;
    bool repeats;
  } rows[] = {
      {"now", now_ms - 1, now_ms + 60000, true},
      {"over", now_ms - 2, now_ms - 1, false},
      {"not yet", now_ms + 60000, now_ms + 120000, false},
      {"never", now_ms + 1, now_ms + 1, false},
  };
  begin();
  usual();
  for (size_t i = 0; i < LENGTH(rows); i++) {
    sidecar.control->worker[0].epoch++;
    CHECK(!usual());
    stream_of(&it, NULL, 0);
    CHECK(!request(&it, true));
    snprintf(head, sizeof head, "1\x1f%.32s\x1f" "0\x1f%llu\x1f%llu\x1f%llu\x1f" "1\x1f" "0\x1d",
             sidecar.control->secret, (unsigned long long)sidecar.control->worker[0].epoch,
             (unsigned long long)rows[i].from, (unsigned long long)rows[i].until);
    snprintf(buffer, sizeof buffer, "%s%s\x1d%s", head, FAKE_COMMON, FAKE_OWN);
    fake_set_metadata(&it.envoy, SEPTEM_PAYLOAD_NAMESPACE, SEPTEM_PAYLOAD_KEY,
                      (text){buffer, strlen(buffer)});
    respond(&it);
    finish(&it);
    CHECK_ROW(rows[i].name, usual() == rows[i].repeats);
  }
  end();
}

static void test_forged_metadata_neither_passes_nor_is_learnt(void) {
  stream it;
  char buffer[4096];
  begin();
  stream_of(&it, NULL, 0);
  fake_set_metadata(&it.envoy, SEPTEM_OWN_NAMESPACE, SEPTEM_REPEATED_KEY, TEXT("1"));
  CHECK(!request(&it, true)); /* it was reset */
  finish(&it);
  stream_of(&it, NULL, 0);
  fake_set_metadata(&it.envoy, SEPTEM_PAYLOAD_NAMESPACE, SEPTEM_PAYLOAD_KEY,
                    fake_payload(&sidecar, buffer, sizeof buffer, 1, NULL, NULL));
  CHECK(!request(&it, true));
  CHECK(fake_get_metadata(&it.envoy, SEPTEM_PAYLOAD_NAMESPACE, SEPTEM_PAYLOAD_KEY).length == 0);
  answer(&it, 1, NULL, NULL); /* not even what ext_authz writes after that */
  respond(&it);
  finish(&it);
  CHECK(count_of(SEPTEM_LEARNT) == 0 && !usual());
  /* Without a lease it is reset as well. */
  fake_hang_up(&sidecar);
  sidecar.control->worker[0].beat = 0;
  stream_of(&it, NULL, 0);
  fake_set_metadata(&it.envoy, SEPTEM_OWN_NAMESPACE, SEPTEM_REPEATED_KEY, TEXT("1"));
  SEPTEM_EVENT(http_filter_request_headers)(&it.envoy, it.filter, true);
  CHECK(!is_repeated(&it));
  finish(&it);
  end();
}

static void test_the_payload_is_not_shown_to_the_log(void) {
  stream it;
  begin();
  stream_of(&it, NULL, 0);
  CHECK(!request(&it, true));
  answer(&it, 1, NULL, NULL);
  respond(&it);
  CHECK(fake_get_metadata(&it.envoy, SEPTEM_PAYLOAD_NAMESPACE, SEPTEM_PAYLOAD_KEY).length == 0);
  finish(&it);
  end();
}

/* What a payload says of a common part that stands in shared memory. */
static const char *placed(uint32_t offset, const char *common) {
  static char said[64];
  size_t length = strlen(common);
  memcpy((char *)sidecar.control + SEPTEM_COMMON_OFFSET + offset, common, length);
  snprintf(said, sizeof said, "@%u\x1f%zu\x1f%u", offset, length, fake_crc(0, common, length));
  return said;
}

static bool learns(const char *token, const char *common) {
  stream it;
  uint64_t before = count_of(SEPTEM_LEARNT);
  stream_of(&it, (header[]){{"authorization", token}}, 1);
  CHECK(!request(&it, true));
  answer(&it, 1, common, FAKE_OWN);
  respond(&it);
  finish(&it);
  return count_of(SEPTEM_LEARNT) == before + 1;
}

static bool tenant_is(const char *token, const char *tenant) {
  stream it;
  stream_of(&it, (header[]){{"authorization", token}}, 1);
  bool is = request(&it, true) &&
            text_equal(fake_find(it.envoy.request, it.envoy.requests, "x-tenant-id"),
                       (text){tenant, strlen(tenant)});
  respond(&it);
  finish(&it);
  return is;
}

#define LINE_OF "l\x1f{\"time\":\"\x1aT\",\"id\":\"\x1aI\"}\x1eh\x1fx-tenant-id\x1f"
#define ONE "Bearer aaaaaaaaaaaaaaaaaaaaaaaa"
#define TWO "Bearer bbbbbbbbbbbbbbbbbbbbbbbb"

static void test_a_common_part_that_stands_in_shared_memory(void) {
  begin();
  usual();
  CHECK(learns(ONE, placed(100, LINE_OF "one")) && tenant_is(ONE, "one"));
  /* What is known is not read again: under one epoch nothing is overwritten. */
  const char *said = placed(100, LINE_OF "one");
  memset((char *)sidecar.control + SEPTEM_COMMON_OFFSET + 100, 'x', 20);
  CHECK(learns(TWO, said) && tenant_is(TWO, "one"));
  char wrong[80];
  snprintf(wrong, sizeof wrong, "%s0", said); /* another checksum */
  CHECK(!learns("Bearer cccccccccccccccccccccccc", wrong));
  /* Two that were asked at once: the second takes the place of the first, and its profile. */
  sidecar.control->worker[0].epoch++;
  CHECK(!usual());
  stream twins[2];
  for (int i = 0; i < 2; i++) {
    stream_of(&twins[i], (header[]){{"authorization", ONE}}, 1);
    CHECK(!request(&twins[i], true));
  }
  uint64_t learnt = count_of(SEPTEM_LEARNT);
  for (int i = 0; i < 2; i++) {
    answer(&twins[i], 1, placed(300, LINE_OF "one"), FAKE_OWN);
    respond(&twins[i]);
    finish(&twins[i]);
  }
  CHECK(count_of(SEPTEM_LEARNT) == learnt + 2 && tenant_is(ONE, "one"));
  snprintf(wrong, sizeof wrong, "%s\x1f" "0", placed(200, LINE_OF "three"));
  CHECK(!learns("Bearer cccccccccccccccccccccccc", wrong));
  CHECK(!learns("Bearer dddddddddddddddddddddddd", "@100\x1f" "20"));
  CHECK(!learns("Bearer dddddddddddddddddddddddd", "@"));
  CHECK(!learns("Bearer dddddddddddddddddddddddd", "@0\x1f" "0\x1f" "0")); /* no line in it */
  /* Under another one the same place has another text. */
  stream held;
  stream_of(&held, (header[]){{"authorization", ONE}}, 1);
  CHECK(request(&held, true)); /* it keeps the old one until it ends */
  sidecar.control->worker[0].epoch++;
  CHECK(!usual());
  CHECK(learns(ONE, placed(100, LINE_OF "two")) && tenant_is(ONE, "two"));
  respond(&held);
  finish(&held);
  CHECK(tenant_is(ONE, "two"));
  end();
}

static void test_a_denial_is_not_learnt(void) {
  stream it;
  begin();
  for (int i = 0; i < 3; i++) {
    stream_of(&it, NULL, 0);
    CHECK(!request(&it, true));
    respond(&it);
    finish(&it);
  }
  CHECK(count_of(SEPTEM_LEARNT) == 0 && count_of(SEPTEM_NOT_LEARNT) == 0);
  end();
}

static void test_no_credit_and_no_space_ask_and_change_nothing(void) {
  stream it;
  begin();
  usual();
  sidecar.credits[0].granted = sidecar.credits[0].spent;
  stream_of(&it, NULL, 0);
  uint64_t head = sidecar.ring->head;
  CHECK(!request(&it, true) && it.envoy.changes == 0 && sidecar.ring->head == head);
  CHECK(count_of(SEPTEM_ASKED_CREDIT) == 1);
  finish(&it);
  sidecar.credits[0].granted += 1000000;
  uint64_t before = sidecar.credits[0].spent, repeated = 0;
  while (usual()) repeated++;
  CHECK(repeated > 100 && sidecar.credits[0].spent == before + repeated);
  CHECK(count_of(SEPTEM_ASKED_RING) == 1 && sidecar.ring->head - sidecar.ring->tail <= FAKE_RING);
  sidecar.ring->tail = sidecar.ring->head;
  CHECK(usual());
  sidecar.ring->tail = sidecar.ring->head + 1; /* a lie ends the lease */
  CHECK(!usual());
  sidecar.ring->tail = sidecar.ring->head;
  CHECK(!usual());
  end();
}

static void test_a_line_that_is_too_long_asks(void) {
  stream it;
  static char common[5000];
  snprintf(common, sizeof common, "l\x1f\x1aT\x1aI%0*d", SEPTEM_MAX_LINE - 29 - 20 - 1, 0);
  begin();
  usual();
  for (int extra = 0; extra < 2; extra++) {
    sidecar.control->worker[0].epoch++;
    CHECK(!usual());
    if (extra) strcat(common, "x");
    stream_of(&it, NULL, 0);
    CHECK(!request(&it, true));
    answer(&it, 1, common, FAKE_OWN);
    respond(&it);
    finish(&it);
    CHECK(usual() == !extra);
  }
  end();
}

static void test_values_that_do_not_fit_ask_and_write_no_line(void) {
  stream it;
  char common[600], own[1200];
  /* 22 times 900 bytes are more than any buffer. */
  strcpy(common, "l\x1f\x1aT\x1aI\x1eh\x1fx-long\x1f");
  for (int i = 0; i < 22; i++) strcat(common, "\x1a" "0");
  memset(own, 'x', 900), own[900] = 0;
  begin();
  stream_of(&it, NULL, 0);
  CHECK(!request(&it, true));
  answer(&it, 1, common, own);
  respond(&it);
  finish(&it);
  CHECK(count_of(SEPTEM_LEARNT) == 1);
  stream_of(&it, NULL, 0);
  uint64_t head = sidecar.ring->head;
  CHECK(!request(&it, true) && it.envoy.changes == 0 && sidecar.ring->head == head);
  finish(&it);
  end();
}

static void test_a_response_of_many_headers(void) {
  stream it;
  char name[16];
  begin();
  usual();
  for (unsigned headers = 62; headers < 68; headers++) {
    stream_of(&it, NULL, 0);
    CHECK(request(&it, true));
    for (unsigned i = 2; i < headers; i++) {
      snprintf(name, sizeof name, "x-%u", i);
      fake_add(it.envoy.response, &it.envoy.responses, name, TEXT("v"));
    }
    fake_add(it.envoy.response, &it.envoy.responses, "server", TEXT("envoy"));
    fake_add(it.envoy.response, &it.envoy.responses, "x-absent", TEXT("0"));
    respond(&it);
    text server = fake_find(it.envoy.response, it.envoy.responses, "server");
    text absent = fake_find(it.envoy.response, it.envoy.responses, "x-absent");
    CHECK(text_equal(server, TEXT("1")) && text_equal(absent, TEXT("0")));
    CHECK(fake_find(it.envoy.response, it.envoy.responses, "x-replaced").length == 1);
    finish(&it);
  }
  end();
}

static void test_a_streams_end_without_a_response(void) {
  stream it;
  begin();
  stream_of(&it, NULL, 0);
  CHECK(!request(&it, true));
  finish(&it);
  usual();
  stream_of(&it, NULL, 0);
  CHECK(request(&it, true));
  finish(&it);
  end();
}

static void test_the_configuration(void) {
  static const struct {
    const char *source, *problem;
  } rows[] = {
      {"socket=/run/x.sock", NULL},
      {"socket=/run/x.sock;entries=1024;bytes=1048576;sidecar_uid=65534", NULL},
      {"\n socket=/run/x.sock \n entries=1024 \n", NULL},
      {"", "socket is missing"},
      {"entries=1024", "socket is missing"},
      {"socket=run/x.sock", "absolute path"},
      {"socket=", "absolute path"},
      {"socket", "key=value"},
      {"socket=/a;socket=/b", "twice"},
      {"socket=/a;sokcet=/b", "the settings are"},
      {"socket=/a;entries=1000", "power of two"},
      {"socket=/a;entries=512", "power of two"},
      {"socket=/a;entries=2097152", "power of two"},
      {"socket=/a;entries=-1", "power of two"},
      {"socket=/a;bytes=1", "bytes must be"},
      {"socket=/a;bytes=2000000000000", "bytes must be"},
      {"socket=/a;entries=1048576", "64 times"},
      {"socket=/a;sidecar_uid=root", "sidecar_uid"},
      {"socket=/a;sidecar_uid=4294967295", "sidecar_uid"},
      {"socket=/a;sidecar_uid=1;sidecar_uid=2", "twice"},
      {"socket=/0123456789012345678901234567890123456789012345678901234567890123456789"
       "0123456789012345678901234567890123456",
       "absolute path"},
  };
  for (size_t i = 0; i < LENGTH(rows); i++) {
    text given = {rows[i].source, strlen(rows[i].source)};
    const void *read = SEPTEM_EVENT(http_filter_config_new)(NULL, TEXT("x"), given);
    CHECK_ROW(rows[i].source, (read != NULL) == (rows[i].problem == NULL));
    if (read == NULL) CHECK_ROW(rows[i].source, strstr(fake_logged, rows[i].problem) != NULL);
    SEPTEM_EVENT(http_filter_config_destroy)(read);
  }
  CHECK(SEPTEM_EVENT(http_filter_per_route_config_new)(TEXT("x"), TEXT("off")) == NULL);
  CHECK(strstr(fake_logged, "FilterConfig") != NULL);
  CHECK(strcmp(SEPTEM_EVENT(program_init)(), "v0.2.0") == 0);
}

static void test_a_thread_has_few_leases(void) {
  septem_config each;
  for (int i = 0; i < 6; i++) {
    char given[60];
    snprintf(given, sizeof given, "socket=/nowhere/%d;entries=1024;bytes=1048576", i);
    CHECK(septem_config_read((text){given, strlen(given)}, &each) == NULL);
    septem_lease *lease = septem_filter_lease(&each);
    CHECK((lease != NULL) == (i < 4));
    CHECK(septem_filter_lease(&each) == lease);
  }
  septem_filter_forget_thread();
}

int main(void) {
  test_it_repeats_what_it_has_learnt();
  test_many_names_are_removed();
  test_the_response_is_as_ext_authz_makes_it();
  test_what_is_never_repeated();
  test_what_envoy_says_of_the_connection();
  test_the_flags_of_a_row();
  test_the_first_row_decides_and_the_scope_is_part_of_the_key();
  test_a_path_of_two_readings_asks();
  test_headers_that_are_too_many_or_withheld();
  test_an_epoch_that_is_raised_meanwhile();
  test_time();
  test_another_host_is_another_answer();
  test_an_odd_host_is_not_learnt();
  test_forged_metadata_neither_passes_nor_is_learnt();
  test_the_payload_is_not_shown_to_the_log();
  test_a_common_part_that_stands_in_shared_memory();
  test_a_denial_is_not_learnt();
  test_no_credit_and_no_space_ask_and_change_nothing();
  test_a_line_that_is_too_long_asks();
  test_the_line_has_the_requests_id();
  test_values_that_do_not_fit_ask_and_write_no_line();
  test_a_response_of_many_headers();
  test_a_streams_end_without_a_response();
  test_the_configuration();
  test_a_thread_has_few_leases();
  return 0;
}
