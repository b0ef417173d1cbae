/* As much of Envoy as the module calls. Each text is an allocation of its own and of its exact
 * size, so that a sanitizer sees a byte too many; each change frees what it replaces, so that it
 * sees a text that is read too late. */
#ifndef FAKE_ENVOY_H
#define FAKE_ENVOY_H

#include "abi.h"

enum { FAKE_MAX = 96 };

typedef struct {
  char space[40];
  char key[160];
  text value;
} fake_metadata;

typedef struct {
  septem_pair request[FAKE_MAX];
  size_t requests;
  septem_pair response[FAKE_MAX];
  size_t responses;
  fake_metadata metadata[FAKE_MAX];
  size_t metadatas;
  const char *source; /* NULL: no IP */
  bool client_certificate;
  bool headers_fail;
  unsigned changes; /* of headers */
  unsigned calls;   /* of metadata */
} fake_envoy;

void fake_add(septem_pair *pairs, size_t *count, const char *name, text value);
text fake_find(const septem_pair *pairs, size_t count, const char *name);
void fake_set_metadata(fake_envoy *fake, const char *space, const char *key, text value);
text fake_get_metadata(const fake_envoy *fake, const char *space, const char *key);
void fake_end(fake_envoy *fake);

extern char fake_logged[512]; /* what was logged last */

#endif
