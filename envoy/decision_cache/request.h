/* What a request says that decides whether its answer may be repeated at all. */
#ifndef SEPTEM_REQUEST_H
#define SEPTEM_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "abi.h"
#include "protocol.h"

#define SEPTEM_MAX_HOST 253
#define SEPTEM_MAX_HEADERS 64
#define SEPTEM_MIN_AUTHORIZATION 20
#define SEPTEM_MAX_AUTHORIZATION 8192
#define SEPTEM_MIN_REQUEST_ID 8
#define SEPTEM_MAX_REQUEST_ID 64

typedef struct {
  septem_pair headers[SEPTEM_MAX_HEADERS];
  size_t count;
  uint32_t method; /* septem_method */
  text method_name;
  text host;
  text path; /* without the query */
  text authorization;
  text request_id; /* x-request-id; length 0: none, several, or none of an id's form */
  bool has_origin;
  bool has_cookie;
  bool has_query;
  bool has_body;
} septem_request;

/* Read Envoy's request. False if it is of a kind that is never repeated (the list is in
 * docs/decision-cache-protocol.md). The texts live until the first header is changed. */
bool septem_request_read(void *envoy, bool has_body, septem_request *request);

/* Whether a row's flags let such a request be repeated. */
bool septem_request_suits(const septem_request *request, const septem_row *row);

/* The parts, for themselves. */
bool septem_plain_path(text path);
bool septem_plain_host(text host);
bool septem_query_may_hold_token(text query);
bool septem_is_request_id(text value);

#endif
