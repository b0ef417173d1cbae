/* A lease server within the test's own process: it does what it is told between two calls. */
#ifndef FAKE_SIDECAR_H
#define FAKE_SIDECAR_H

#include <stdbool.h>

#include "lease.h"

enum { FAKE_RING = SEPTEM_MIN_RING };

typedef struct {
  char path[SEPTEM_SOCKET_PATH];
  int listener;
  int peer; /* -1: none */
  int control_fd, credit_fd, ring_fd;
  septem_control *control;
  septem_credit *credits;
  septem_ring *ring;
  int old_ring; /* handed over with the last hello; -1: none */
  septem_hello hello;
} fake_sidecar;

typedef struct {
  uint32_t scope;
  uint32_t flags;
  const char *path;
  bool exact;
} fake_row;

/* As zlib's crc32, a bit at a time. */
uint32_t fake_crc(uint32_t crc, const void *bytes, size_t length);

int fake_memory(size_t size, int seals);

/* Listen at a path of its own, with memory that is in order: one worker, epoch 1, one credit
 * slot with much credit, a row for `/api` of scope 1. */
void fake_sidecar_start(fake_sidecar *sidecar);
void fake_sidecar_stop(fake_sidecar *sidecar);

/* Have control memory for so many workers, before it is given to anybody. */
void fake_workers(fake_sidecar *sidecar, uint32_t workers);

void fake_rows(fake_sidecar *sidecar, const fake_row *rows, unsigned count);
void fake_beat(fake_sidecar *sidecar);

/* Take the hello of a connection that waits; false if there is none. */
bool fake_accept(fake_sidecar *sidecar);
/* Answer it with these descriptors. */
void fake_answer(const fake_sidecar *sidecar, const void *bytes, size_t size, const int *fds,
                 unsigned count);
void fake_welcome(const fake_sidecar *sidecar);
void fake_hang_up(fake_sidecar *sidecar);

/* Have a lease held; returns the time that it was held at. */
uint64_t fake_lease(fake_sidecar *sidecar, septem_lease *lease, uint64_t now_ns);

/* A payload of this sidecar for a scope, into a buffer. `common` and `own` may be NULL. */
text fake_payload(const fake_sidecar *sidecar, char *buffer, size_t size, uint32_t scope,
                  const char *common, const char *own);

#define FAKE_LINE "l\x1f{\"time\":\"\x1aT\",\"id\":\"\x1aI\",\"m\":\"\x1aM\",\"h\":\"\x1aH\",\"p\":\"\x1aP\",\"s\":\"\x1aS\",\"u\":\"\x1a" "0\",\"l\":\x1aU\x1aR}"
#define FAKE_COMMON                                                              \
  FAKE_LINE "\x1eh\x1fx-user-id\x1f\x1a" "0\x1eh\x1fx-tenant-id\x1f" "acme\x1e" \
  "d\x1fx-secret\x1e" "0\x1fvary\x1forigin\x1e" "1\x1fx-absent\x1f" "1\x1e"     \
  "2\x1fx-replaced\x1f" "1\x1e" "3\x1fserver\x1f" "1\x1em\x1ftenant\x1f" "acme"
#define FAKE_OWN "user-1"

#endif
