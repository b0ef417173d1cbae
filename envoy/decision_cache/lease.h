/* The lease that one worker thread of Envoy holds of one sidecar: connection, shared memory, and
 * what is remembered under it. Nothing here blocks, and nothing runs but within a request. */
#ifndef SEPTEM_LEASE_H
#define SEPTEM_LEASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "audit.h"
#include "config.h"
#include "protocol.h"
#include "route.h"
#include "table.h"

enum septem_state {
  SEPTEM_CLOSED,  /* no connection; another try at `next_ns` */
  SEPTEM_WAITING, /* the hello is sent; looks for the welcome at `next_ns` */
  SEPTEM_HELD,    /* mapped; looks at the socket at `next_ns` */
};

typedef struct septem_lease {
  struct septem_lease *next; /* of this thread */
  septem_config config;
  enum septem_state state;
  int socket;        /* -1: none */
  int ring_fd;       /* of `writer`, or of an earlier connection; -1: none */
  uint64_t next_ns;
  uint64_t since_ns; /* of the state; in SEPTEM_HELD, when the lease was last fresh */

  const septem_control *control;
  size_t control_bytes;
  septem_credit *credits;
  size_t credit_bytes;
  uint32_t credit_slots;
  uint32_t workers;
  uint64_t stale_ns;
  char secret[SEPTEM_SECRET_BYTES];

  uint64_t epochs[SEPTEM_MAX_WORKERS]; /* under which everything was learnt */
  uint64_t generation;                 /* grows whenever everything is dropped */
  septem_routes routes;
  septem_table_t table;
  septem_writer writer;
} septem_lease;

/* Make one without a connection. NULL without memory. */
septem_lease *septem_lease_new(const septem_config *config, uint64_t seed);
void septem_lease_free(septem_lease *lease);

/* Give up the connection and everything that is remembered; the ring's descriptor is kept for
 * the next hello. */
void septem_lease_drop(septem_lease *lease);

enum septem_answer { SEPTEM_YES, SEPTEM_NO_LEASE, SEPTEM_NEW_EPOCH };

/* Whether what is remembered may be repeated now: connected, every beat fresh, the epochs and
 * the route table as before. If it says SEPTEM_NEW_EPOCH, everything was dropped. */
enum septem_answer septem_lease_check(septem_lease *lease, uint64_t now_ns);

/* Spend one of a slot's credit; false if there is none. */
bool septem_lease_spend(septem_lease *lease, uint32_t slot);

/* Count, where there is a ring to count in. */
void septem_lease_count(septem_lease *lease, enum septem_count what);

/* Whether a payload was written by the sidecar of this lease, and may be learnt. */
bool septem_lease_vouches(const septem_lease *lease, const septem_payload *payload);

/* Read the common part of a payload that is vouched for and says where it stands, into `space`.
 * False if it is not what the payload says it is: then the epoch has been raised meanwhile. */
bool septem_lease_common(const septem_lease *lease, septem_payload *payload,
                         char space[SEPTEM_MAX_PAYLOAD]);

/* Take the three memories, as if they had come with a welcome. Takes the descriptors, always. */
bool septem_lease_take(septem_lease *lease, int control, int credit, int ring, uint64_t now_ns);

uint64_t septem_clock_ns(int clock);

#endif
