/* libFuzzer: an input is a client's request and what the sidecar says to it, twice over, and what
 * happens between: NUL-separated path, host, authorization, names of headers, payload. */
#define _GNU_SOURCE
#include <string.h>
#include <time.h>

#include "check.h"
#include "fake_envoy.h"
#include "fake_sidecar.h"
#include "filter.h"

static fake_sidecar sidecar;
static const void *config;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void begin(void) {
  char source[300];
  fake_sidecar_start(&sidecar);
  sidecar.control->stale_ns = SEPTEM_MAX_STALE_NS;
  fake_rows(&sidecar,
            (fake_row[]){{1, SEPTEM_BODY_REPEATS | SEPTEM_QUERY_REPEATS, "/api", false},
                         {2, SEPTEM_QUERY_REPEATS, "/exact.path", true},
                         {3, SEPTEM_ASK, "/ask", false}},
            3);
  snprintf(source, sizeof source, "socket=%s;entries=1024;bytes=1048576", sidecar.path);
  config = SEPTEM_EVENT(http_filter_config_new)(NULL, TEXT("x"), (text){source, strlen(source)});
  septem_lease *lease = septem_filter_lease(config);
  CHECK(lease != NULL);
  fake_lease(&sidecar, lease, septem_clock_ns(CLOCK_MONOTONIC));
}

/* Half of the inputs get a head that is vouched for, so that what follows is reached. */
static void payload_of(fake_envoy *envoy, text rest) {
  char buffer[3 * SEPTEM_MAX_PAYLOAD];
  size_t used = 0;
  if (rest.length > 0 && rest.at[0] == '+') {
    used = fake_payload(&sidecar, buffer, sizeof buffer, 1, "", "").length - 1;
    rest.at++, rest.length--;
  } else if (rest.length > 0 && rest.at[0] == '@') {
    /* The input stands in shared memory, up to its group separator, and is read from there. */
    char said[64];
    text common;
    rest.at++, rest.length--;
    if (text_next(&rest, SEPTEM_GROUP, &common) && common.length <= SEPTEM_MAX_PAYLOAD) {
      if (common.length > 0)
        memcpy((char *)sidecar.control + SEPTEM_COMMON_OFFSET, common.at, common.length);
      snprintf(said, sizeof said, "@0\x1f%zu\x1f%u", common.length,
               fake_crc(0, common.at, common.length));
      used = fake_payload(&sidecar, buffer, sizeof buffer, 1, said, "").length;
    }
  }
  if (rest.length > 2 * SEPTEM_MAX_PAYLOAD) rest.length = 2 * SEPTEM_MAX_PAYLOAD;
  if (rest.length > 0) memcpy(buffer + used, rest.at, rest.length);
  fake_set_metadata(envoy, SEPTEM_PAYLOAD_NAMESPACE, SEPTEM_PAYLOAD_KEY, (text){buffer, used + rest.length});
}

/* What no input may bring about. */
static void check_request(const fake_envoy *envoy) {
  for (size_t i = 0; i < envoy->requests; i++) {
    const septem_pair *each = &envoy->request[i];
    CHECK(each->key.length > 0);
    if (envoy->changes == 0) continue;
    for (size_t j = 0; j < each->value.length && i >= 4; j++)
      CHECK(each->value.at[j] != '\n' && each->value.at[j] != '\r' && each->value.at[j] != 0);
  }
  CHECK(sidecar.ring->head - sidecar.ring->tail <= FAKE_RING);
  CHECK(sidecar.credits[0].spent <= sidecar.credits[0].granted);
}

static void stream(text path, text host, text token, text names, text payload, bool end) {
  fake_envoy envoy = {.source = "203.0.113.7:4711"};
  char name[4] = "x-a";
  fake_add(envoy.request, &envoy.requests, ":method", TEXT("GET"));
  fake_add(envoy.request, &envoy.requests, ":path", path);
  fake_add(envoy.request, &envoy.requests, ":authority", host);
  fake_add(envoy.request, &envoy.requests, "authorization", token);
  for (size_t i = 0; i < names.length && i < 62; i++) {
    name[2] = names.at[i] ? names.at[i] : 'x';
    fake_add(envoy.request, &envoy.requests, name, TEXT("v"));
  }
  const void *filter = SEPTEM_EVENT(http_filter_new)(config, &envoy);
  SEPTEM_EVENT(http_filter_request_headers)(&envoy, filter, end);
  check_request(&envoy);
  if (envoy.changes == 0) payload_of(&envoy, payload);
  fake_add(envoy.response, &envoy.responses, "server", TEXT("x"));
  SEPTEM_EVENT(http_filter_response_headers)(&envoy, filter, true);
  SEPTEM_EVENT(http_filter_destroy)(filter);
  fake_end(&envoy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  text rest = {(const char *)data, size}, part[4];
  if (config == NULL) begin();
  for (unsigned i = 0; i < 4; i++)
    if (!text_next(&rest, 0, &part[i]) || rest.at == NULL) return 0;
  fake_beat(&sidecar);
  char what = part[3].length ? part[3].at[0] : 0;
  for (int i = 0; i < 2; i++) stream(part[0], part[1], part[2], part[3], rest, what != 'b');
  if (what == '!') sidecar.control->worker[0].epoch++;
  if (what != '#') sidecar.ring->tail = sidecar.ring->head;
  return 0;
}
