/* One stream of Envoy through the filter: repeat an answer, or learn one. */
#ifndef SEPTEM_FILTER_H
#define SEPTEM_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "lease.h"

typedef struct {
  const septem_config *config;
  septem_lease *lease;     /* this thread's; NULL before it is known */
  septem_entry *repeated;  /* held until the stream ends */
  char *key;               /* the authorization of a request that was asked for */
  uint32_t key_length;
  uint32_t scope;
  uint64_t generation; /* of the lease when it was asked */
} septem_filter;

/* Before ext_authz: repeat what is remembered, or note what to learn. */
void septem_filter_request(septem_filter *filter, void *envoy, bool has_body);

/* After it, on the way back: a repeated answer's response headers, or learn what was asked. */
void septem_filter_response(septem_filter *filter, void *envoy);

/* The stream is over. */
void septem_filter_end(septem_filter *filter);

/* This thread's lease for a configuration; NULL without memory or with too many sockets. */
septem_lease *septem_filter_lease(const septem_config *config);

/* Free this thread's leases: for tests, as Envoy's threads keep theirs for life. */
void septem_filter_forget_thread(void);

#endif
