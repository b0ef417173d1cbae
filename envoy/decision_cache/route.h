/* The sidecar's route table, copied out of the control memory, and the search in it. */
#ifndef SEPTEM_ROUTE_H
#define SEPTEM_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol.h"
#include "text.h"

#define SEPTEM_MAX_PATH 512

typedef struct {
  septem_row *rows; /* one allocation: the rows, then the pool */
  const char *pool;
  uint32_t count;
  uint64_t sequence; /* the copy's; odd: there is no copy */
} septem_routes;

/* IEEE 802.3, as zlib's crc32: begun with 0, continued with what it returned. */
uint32_t septem_crc32(uint32_t crc, const void *data, size_t length);

/* Copy and validate the table of a control memory. False, and no rows, while it is being written,
 * when it is torn, or when a row of it is impossible. */
bool septem_routes_copy(septem_routes *routes, const void *control);
void septem_routes_free(septem_routes *routes);

/* Return the first row that matches, or NULL: none does, it says SEPTEM_ASK, or a lenient server
 * may read the path as another row's. The path is plain (request.h) and has no query. */
const septem_row *septem_routes_find(const septem_routes *routes, uint32_t method, text host,
                                     text path);

#endif
