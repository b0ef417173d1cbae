#include "config.h"

#include "protocol.h"

enum { MIN_ENTRIES = 1024, MAX_ENTRIES = 1048576, DEFAULT_ENTRIES = 16384 };
static const uint64_t MIN_BYTES = 1u << 20, MAX_BYTES = 1u << 30, DEFAULT_BYTES = 16u << 20;

static const char *read_socket(text value, septem_config *config) {
  if (value.length < 2 || value.length >= sizeof config->socket || value.at[0] != '/' ||
      memchr(value.at, 0, value.length) != NULL)
    return "decision cache: socket must be an absolute path of at most 107 bytes";
  memcpy(config->socket, value.at, value.length);
  return NULL;
}

static const char *read_setting(text key, text value, septem_config *config) {
  uint64_t number;
  if (text_equal(key, TEXT("socket"))) return read_socket(value, config);
  if (text_equal(key, TEXT("sidecar_uid"))) {
    if (!text_number(value, UINT32_MAX - 1, &number))
      return "decision cache: sidecar_uid must be a user's number";
    config->any_own_uid = false;
    config->sidecar_uid = (uid_t)number;
    return NULL;
  }
  if (text_equal(key, TEXT("entries"))) {
    if (!text_number(value, MAX_ENTRIES, &number) || number < MIN_ENTRIES || (number & (number - 1)))
      return "decision cache: entries must be a power of two from 1024 to 1048576";
    config->entries = (uint32_t)number;
    return NULL;
  }
  if (text_equal(key, TEXT("bytes"))) {
    if (!text_number(value, MAX_BYTES, &number) || number < MIN_BYTES)
      return "decision cache: bytes must be from 1048576 to 1073741824";
    config->bytes = number;
    return NULL;
  }
  return "decision cache: the settings are socket, sidecar_uid, entries and bytes";
}

const char *septem_config_read(text source, septem_config *config) {
  char seen[4] = {0};
  memset(config, 0, sizeof *config);
  config->any_own_uid = true;
  config->entries = DEFAULT_ENTRIES;
  config->bytes = DEFAULT_BYTES;
  if (source.length > 4096) return "decision cache: the configuration is too long";
  text lines = source, line;
  while (source.length && text_next(&lines, '\n', &line)) {
    text settings = line, setting;
    while (text_next(&settings, ';', &setting)) {
      while (setting.length && setting.at[0] == ' ') setting.at++, setting.length--;
      while (setting.length && setting.at[setting.length - 1] == ' ') setting.length--;
      if (setting.length == 0) continue;
      text value = setting, key;
      if (!text_next(&value, '=', &key) || value.at == NULL)
        return "decision cache: the configuration is lines of key=value";
      const char *problem = read_setting(key, value, config);
      if (problem != NULL) return problem;
      char *once = &seen[key.at[0] == 's' ? key.at[1] == 'i' : 2 + (key.at[0] == 'b')];
      if (*once) return "decision cache: a setting is given twice";
      *once = 1;
    }
  }
  if (config->socket[0] == 0)
    return "decision cache: socket is missing: the path of the sidecar's "
           "listen.authz.decision_cache.socket";
  if (config->bytes / 64 < config->entries)
    return "decision cache: bytes must be 64 times entries at least";
  return NULL;
}

bool septem_config_equal(const septem_config *a, const septem_config *b) {
  return strcmp(a->socket, b->socket) == 0 && a->any_own_uid == b->any_own_uid &&
         a->sidecar_uid == b->sidecar_uid && a->entries == b->entries && a->bytes == b->bytes;
}
