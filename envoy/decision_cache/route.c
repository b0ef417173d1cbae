#include "route.h"

#include <stdatomic.h>
#include <stdlib.h>

uint32_t septem_crc32(uint32_t crc, const void *data, size_t length) {
  /* Four bits a step: a table is copied rarely. */
  static const uint32_t steps[16] = {
      0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
      0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
      0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
  const unsigned char *byte = data;
  crc = ~crc;
  while (length--) {
    crc ^= *byte++;
    crc = crc >> 4 ^ steps[crc & 15];
    crc = crc >> 4 ^ steps[crc & 15];
  }
  return ~crc;
}

static bool in_pool(uint32_t offset, uint32_t length, uint32_t used) {
  return offset <= used && length <= used - offset;
}

static bool row_possible(const septem_row *row, uint32_t used) {
  bool host = row->host_kind == SEPTEM_HOST_ANY
                  ? row->host_length == 0
                  : row->host_length > 0 && (row->host_kind == SEPTEM_HOST_EXACT ||
                                             row->host_kind == SEPTEM_HOST_SUFFIX);
  return host && (row->path_kind == SEPTEM_PATH_EXACT || row->path_kind == SEPTEM_PATH_PREFIX) &&
         (row->flags & ~SEPTEM_ROW_FLAGS) == 0 && (row->methods & ~SEPTEM_ALL_METHODS) == 0 &&
         in_pool(row->host_offset, row->host_length, used) &&
         in_pool(row->path_offset, row->path_length, used) &&
         in_pool(row->fold_offset, row->fold_length, used);
}

void septem_routes_free(septem_routes *routes) {
  free(routes->rows);
  *routes = (septem_routes){.sequence = 1};
}

bool septem_routes_copy(septem_routes *routes, const void *control) {
  const char *base = control;
  const septem_table *table = (const septem_table *)(const void *)(base + SEPTEM_TABLE_OFFSET);
  septem_routes_free(routes);
  uint64_t sequence = __atomic_load_n(&table->sequence, __ATOMIC_ACQUIRE);
  if (sequence & 1) return false;
  uint32_t count = __atomic_load_n(&table->rows, __ATOMIC_RELAXED);
  uint32_t used = __atomic_load_n(&table->pool_used, __ATOMIC_RELAXED);
  uint32_t crc = __atomic_load_n(&table->crc, __ATOMIC_RELAXED);
  if (count > SEPTEM_MAX_ROWS || used > SEPTEM_POOL_BYTES) return false;
  size_t rows_size = count * sizeof(septem_row);
  char *copy = malloc(rows_size + used + 1);
  if (copy == NULL) return false;
  memcpy(copy, base + SEPTEM_ROWS_OFFSET, rows_size);
  memcpy(copy + rows_size, base + SEPTEM_POOL_OFFSET, used);
  atomic_thread_fence(memory_order_acquire);
  bool whole = __atomic_load_n(&table->sequence, __ATOMIC_RELAXED) == sequence &&
               septem_crc32(septem_crc32(0, copy, rows_size), copy + rows_size, used) == crc;
  const septem_row *rows = (const septem_row *)(const void *)copy;
  for (uint32_t i = 0; whole && i < count; i++) whole = row_possible(&rows[i], used);
  if (!whole) {
    free(copy);
    return false;
  }
  *routes = (septem_routes){(septem_row *)(void *)copy, copy + rows_size, count, sequence};
  return true;
}

/* A path as lenient servers may read it: three texts over one buffer. */
typedef struct {
  char buffer[SEPTEM_MAX_PATH];
  text whole; /* folded */
  text bare;  /* without the last extension; the same as `whole` where there is none */
  text stem;  /* without all extensions of the last segment */
} folded_path;

static void fold(text path, folded_path *folded) {
  size_t length = 0;
  for (size_t i = 0; i < path.length; i++) {
    char c = path.at[i];
    if (c == '/')
      while (length && folded->buffer[length - 1] == '.') length--;
    folded->buffer[length++] = c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
  }
  while (length && folded->buffer[length - 1] == '.') length--;
  while (length && folded->buffer[length - 1] == '/') length--;
  folded->whole = folded->bare = folded->stem = (text){folded->buffer, length};
  size_t last = 0, dots = 0;
  for (size_t i = length; i > 0 && folded->buffer[i - 1] != '/'; i--) {
    size_t dot = i - 1;
    if (folded->buffer[dot] != '.') continue;
    if (dots++ == 0) last = dot;
    if (dot == 0 || folded->buffer[dot - 1] == '/' || folded->buffer[dot - 1] == '.') continue;
    folded->stem.length = dot;
    if (dot == last) folded->bare.length = dot;
  }
}

static bool under(text path, text prefix) {
  return text_starts(path, prefix) &&
         (path.length == prefix.length || path.at[prefix.length] == '/');
}

static bool host_matches(const septem_row *row, text wanted, text host) {
  switch (row->host_kind) {
    case SEPTEM_HOST_ANY:
      return true;
    case SEPTEM_HOST_EXACT:
      return text_equal(host, wanted);
    default:
      return host.length > wanted.length && text_ends(host, wanted);
  }
}

static bool path_matches(const septem_row *row, text wanted, text path) {
  return row->path_kind == SEPTEM_PATH_EXACT ? text_equal(path, wanted) : under(path, wanted);
}

static bool read_leniently(const septem_row *row, text fold_of_row, const folded_path *folded) {
  return path_matches(row, fold_of_row, folded->whole) || text_equal(folded->bare, fold_of_row) ||
         text_equal(folded->stem, fold_of_row);
}

const septem_row *septem_routes_find(const septem_routes *routes, uint32_t method, text host,
                                     text path) {
  folded_path folded;
  const septem_row *first = NULL;
  if (path.length > sizeof folded.buffer) return NULL;
  fold(path, &folded);
  for (uint32_t i = 0; i < routes->count; i++) {
    const septem_row *row = &routes->rows[i];
    if ((row->methods & method) == 0) continue;
    if (!host_matches(row, (text){routes->pool + row->host_offset, row->host_length}, host))
      continue;
    if (path_matches(row, (text){routes->pool + row->path_offset, row->path_length}, path)) {
      if (first == NULL) first = row;
    } else if (read_leniently(row, (text){routes->pool + row->fold_offset, row->fold_length},
                              &folded)) {
      return NULL;
    }
  }
  return first == NULL || (first->flags & SEPTEM_ASK) ? NULL : first;
}
