#include "fake_envoy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

char fake_logged[512];

static text copy(text value) {
  char *bytes = malloc(value.length ? value.length : 1);
  CHECK(bytes != NULL);
  if (value.length) memcpy(bytes, value.at, value.length);
  return (text){bytes, value.length};
}

static void drop(text *value) {
  free((void *)(uintptr_t)value->at);
  *value = (text){NULL, 0};
}

static text name_of(const char *name) { return (text){name, strlen(name)}; }

static void add(septem_pair *pairs, size_t *count, text name, text value) {
  CHECK(*count < FAKE_MAX);
  pairs[*count] = (septem_pair){copy(name), copy(value)};
  ++*count;
}

void fake_add(septem_pair *pairs, size_t *count, const char *name, text value) {
  add(pairs, count, name_of(name), value);
}

text fake_find(const septem_pair *pairs, size_t count, const char *name) {
  for (size_t i = 0; i < count; i++)
    if (text_equal(pairs[i].key, name_of(name))) return pairs[i].value;
  return (text){NULL, 0};
}

static void remove_all(septem_pair *pairs, size_t *count, text name) {
  size_t kept = 0;
  for (size_t i = 0; i < *count; i++) {
    if (text_equal(pairs[i].key, name)) {
      drop(&pairs[i].key);
      drop(&pairs[i].value);
    } else {
      pairs[kept++] = pairs[i];
    }
  }
  *count = kept;
}

void fake_set_metadata(fake_envoy *fake, const char *space, const char *key, text value) {
  fake_metadata *found = NULL;
  for (size_t i = 0; i < fake->metadatas; i++)
    if (!strcmp(fake->metadata[i].space, space) && !strcmp(fake->metadata[i].key, key))
      found = &fake->metadata[i];
  if (found == NULL) {
    CHECK(fake->metadatas < FAKE_MAX);
    found = &fake->metadata[fake->metadatas++];
    snprintf(found->space, sizeof found->space, "%s", space);
    snprintf(found->key, sizeof found->key, "%s", key);
    found->value = (text){NULL, 0};
  }
  text fresh = copy(value);
  drop(&found->value);
  found->value = fresh;
}

text fake_get_metadata(const fake_envoy *fake, const char *space, const char *key) {
  for (size_t i = 0; i < fake->metadatas; i++)
    if (!strcmp(fake->metadata[i].space, space) && !strcmp(fake->metadata[i].key, key))
      return fake->metadata[i].value;
  return (text){NULL, 0};
}

void fake_end(fake_envoy *fake) {
  for (size_t i = 0; i < fake->requests; i++)
    drop(&fake->request[i].key), drop(&fake->request[i].value);
  for (size_t i = 0; i < fake->responses; i++)
    drop(&fake->response[i].key), drop(&fake->response[i].value);
  for (size_t i = 0; i < fake->metadatas; i++) drop(&fake->metadata[i].value);
  fake->requests = fake->responses = fake->metadatas = 0;
}

/* ---- the callbacks -------------------------------------------------------------------------- */

static septem_pair *map_of(fake_envoy *fake, int map, size_t **count) {
  CHECK(map == SEPTEM_REQUEST_HEADERS || map == SEPTEM_RESPONSE_HEADERS);
  *count = map == SEPTEM_REQUEST_HEADERS ? &fake->requests : &fake->responses;
  return map == SEPTEM_REQUEST_HEADERS ? fake->request : fake->response;
}

size_t SEPTEM_CALLBACK(http_get_headers_size)(void *envoy, int map) {
  size_t *count;
  map_of(envoy, map, &count);
  return *count;
}

bool SEPTEM_CALLBACK(http_get_headers)(void *envoy, int map, septem_pair *found) {
  size_t *count;
  septem_pair *pairs = map_of(envoy, map, &count);
  if (((fake_envoy *)envoy)->headers_fail) return false;
  memcpy(found, pairs, *count * sizeof *pairs);
  return true;
}

bool SEPTEM_CALLBACK(http_get_header)(void *envoy, int map, text key, text *found, size_t index,
                                      size_t *total) {
  size_t *count;
  septem_pair *pairs = map_of(envoy, map, &count);
  *total = 0;
  *found = (text){NULL, 0};
  for (size_t i = 0; i < *count; i++)
    if (text_equal(pairs[i].key, key) && (*total)++ == index) *found = pairs[i].value;
  return index < *total;
}

bool SEPTEM_CALLBACK(http_set_header)(void *envoy, int map, text key, text value) {
  size_t *count;
  septem_pair *pairs = map_of(envoy, map, &count);
  ((fake_envoy *)envoy)->changes++;
  remove_all(pairs, count, key);
  if (value.at != NULL) add(pairs, count, key, value);
  return true;
}

bool SEPTEM_CALLBACK(http_add_header)(void *envoy, int map, text key, text value) {
  size_t *count;
  septem_pair *pairs = map_of(envoy, map, &count);
  ((fake_envoy *)envoy)->changes++;
  add(pairs, count, key, value);
  return true;
}

static const char *terminated(text value, char *buffer, size_t size) {
  CHECK(value.length < size);
  memcpy(buffer, value.at, value.length);
  buffer[value.length] = 0;
  return buffer;
}

bool SEPTEM_CALLBACK(http_get_metadata_string)(void *envoy, int source, text space, text key,
                                               text *found) {
  char spaces[40], keys[160];
  CHECK(source == SEPTEM_DYNAMIC_METADATA);
  *found = fake_get_metadata(envoy, terminated(space, spaces, sizeof spaces),
                             terminated(key, keys, sizeof keys));
  return found->at != NULL;
}

void SEPTEM_CALLBACK(http_set_dynamic_metadata_string)(void *envoy, text space, text key,
                                                       text value) {
  char spaces[40], keys[160];
  ((fake_envoy *)envoy)->calls++;
  fake_set_metadata(envoy, terminated(space, spaces, sizeof spaces),
                    terminated(key, keys, sizeof keys), value);
}

void SEPTEM_CALLBACK(http_set_dynamic_metadata_string_batch)(void *envoy, text space,
                                                             const septem_pair *pairs,
                                                             size_t count) {
  CHECK(count > 0);
  for (size_t i = 0; i < count; i++)
    SEPTEM_CALLBACK(http_set_dynamic_metadata_string)(envoy, space, pairs[i].key, pairs[i].value);
  ((fake_envoy *)envoy)->calls -= (unsigned)count - 1;
}

bool SEPTEM_CALLBACK(http_filter_get_attribute_string)(void *envoy, int id, text *found) {
  const char *source = ((fake_envoy *)envoy)->source;
  CHECK(id == SEPTEM_SOURCE_ADDRESS);
  if (source == NULL) return false;
  *found = name_of(source);
  return true;
}

bool SEPTEM_CALLBACK(http_filter_get_attribute_bool)(void *envoy, int id, bool *found) {
  CHECK(id == SEPTEM_CONNECTION_MTLS);
  *found = ((fake_envoy *)envoy)->client_certificate;
  return true;
}

void SEPTEM_CALLBACK(log)(int level, text message) {
  CHECK(level == SEPTEM_LOG_ERROR);
  terminated(message, fake_logged, sizeof fake_logged);
}
