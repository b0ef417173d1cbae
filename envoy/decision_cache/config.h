/* The filter's configuration in Envoy: one string of `key=value`, separated by `;` or lines. */
#ifndef SEPTEM_CONFIG_H
#define SEPTEM_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "text.h"

#define SEPTEM_SOCKET_PATH 108 /* sizeof(sockaddr_un.sun_path) */

typedef struct {
  char socket[SEPTEM_SOCKET_PATH]; /* absolute, NUL-terminated */
  bool any_own_uid;                /* no sidecar_uid was given: root or Envoy's own user */
  uid_t sidecar_uid;
  uint32_t entries; /* answers remembered by each worker thread; a power of two */
  uint64_t bytes;   /* memory for them, by each worker thread */
} septem_config;

/* Read a configuration. Return NULL, or what is wrong with it as a static sentence. */
const char *septem_config_read(text source, septem_config *config);

bool septem_config_equal(const septem_config *a, const septem_config *b);

#endif
