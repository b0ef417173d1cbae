/* The lease against honest, broken, dead and hostile sidecars. Time is passed in; the sidecar
 * acts between two calls. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "fake_sidecar.h"

static const uint64_t MS = 1000000ull;
static fake_sidecar sidecar;
static septem_lease *lease;
static uint64_t now;

static int open_descriptors(void) {
  int count = 0;
  DIR *folder = opendir("/proc/self/fd");
  CHECK(folder != NULL);
  while (readdir(folder) != NULL) count++;
  closedir(folder);
  return count;
}

static void begin(void) {
  septem_config config;
  char source[200];
  fake_sidecar_start(&sidecar);
  snprintf(source, sizeof source, "socket=%s;entries=1024;bytes=1048576", sidecar.path);
  CHECK(septem_config_read((text){source, strlen(source)}, &config) == NULL);
  lease = septem_lease_new(&config, 7);
  CHECK(lease != NULL);
  now = septem_clock_ns(CLOCK_MONOTONIC);
}

static void end(void) {
  septem_lease_free(lease);
  fake_sidecar_stop(&sidecar);
}

static enum septem_answer check_after(uint64_t ms) {
  now += ms * MS;
  return septem_lease_check(lease, now);
}

/* A time later, with a beat of that time. */
static enum septem_answer check_alive_after(uint64_t ms) {
  sidecar.control->worker[0].beat = now + ms * MS;
  return check_after(ms);
}

static bool learn(const char *token) {
  char buffer[4096];
  septem_payload payload;
  return septem_payload_split(fake_payload(&sidecar, buffer, sizeof buffer, 1, NULL, NULL), &payload) &&
         septem_lease_vouches(lease, &payload) &&
         septem_table_put(&lease->table, &payload, (text){token, strlen(token)});
}

static bool knows(const char *token) {
  return septem_table_find(&lease->table, 1, (text){token, strlen(token)}) != NULL;
}

static void test_it_connects_without_waiting(void) {
  begin();
  CHECK(septem_lease_check(lease, now) == SEPTEM_NO_LEASE);
  CHECK(check_after(1) == SEPTEM_NO_LEASE); /* nobody has answered yet */
  CHECK(fake_accept(&sidecar));
  CHECK(!fake_accept(&sidecar)); /* one connection */
  end();
}

static void test_it_tries_once_a_second(void) {
  begin();
  close(sidecar.listener);
  sidecar.listener = -1;
  CHECK(septem_lease_check(lease, now) == SEPTEM_NO_LEASE);
  uint64_t next = lease->next_ns;
  CHECK(next == now + 1000 * MS);
  CHECK(check_after(999) == SEPTEM_NO_LEASE && lease->next_ns == next);
  CHECK(check_after(1) == SEPTEM_NO_LEASE && lease->next_ns == now + 1000 * MS);
  end();
}

static void test_a_silent_sidecar_is_left_after_five_seconds(void) {
  begin();
  CHECK(septem_lease_check(lease, now) == SEPTEM_NO_LEASE);
  CHECK(check_after(5000) == SEPTEM_NO_LEASE && lease->state == SEPTEM_WAITING);
  CHECK(check_after(2) == SEPTEM_NO_LEASE && lease->state == SEPTEM_CLOSED);
  end();
}

static void test_a_listener_of_another_user_is_not_trusted(void) {
  septem_config config;
  begin();
  lease->config.any_own_uid = false;
  lease->config.sidecar_uid = geteuid() + 1;
  CHECK(septem_lease_check(lease, now) == SEPTEM_NO_LEASE);
  /* Root is always trusted; as root this can't be shown otherwise than by becoming another. */
  CHECK((lease->state == SEPTEM_WAITING) == (geteuid() == 0));
  end();
  if (geteuid() != 0) return;
  begin();
  config = lease->config;
  close(sidecar.listener);
  unlink(sidecar.path);
  CHECK(seteuid(65534) == 0);
  fake_sidecar other;
  fake_sidecar_start(&other);
  memcpy(lease->config.socket, other.path, sizeof other.path);
  CHECK(seteuid(0) == 0);
  lease->config.any_own_uid = true;
  CHECK(septem_lease_check(lease, now) == SEPTEM_NO_LEASE && lease->state == SEPTEM_CLOSED);
  lease->config.any_own_uid = false;
  lease->config.sidecar_uid = 65534;
  CHECK(check_after(1000) == SEPTEM_NO_LEASE && lease->state == SEPTEM_WAITING);
  fake_sidecar_stop(&other);
  lease->config = config;
  sidecar.listener = -1;
  end();
}

/* ---- what comes with a welcome -------------------------------------------------------------- */

typedef struct {
  const char *name;
  size_t control, credit, ring; /* sizes; 0: as they should be */
  int seals;                    /* of all three; 0: as they should be */
  void (*spoil)(septem_control *control, septem_ring *ring);
} hostile_memory;

static void no_spoil(septem_control *c, septem_ring *r) { (void)c, (void)r; }
static void magic(septem_control *c, septem_ring *r) { (void)r, c->magic++; }
static void protocol(septem_control *c, septem_ring *r) { (void)r, c->protocol++; }
static void size(septem_control *c, septem_ring *r) { (void)r, c->bytes++; }
static void size_of_two(septem_control *c, septem_ring *r) { (void)r, c->bytes = SEPTEM_CONTROL_BYTES(2); }
static void no_workers(septem_control *c, septem_ring *r) { (void)r, c->workers = 0; }
static void many_workers(septem_control *c, septem_ring *r) { (void)r, c->workers = 17; }
static void no_patience(septem_control *c, septem_ring *r) { (void)r, c->stale_ns = 49999999; }
static void much_patience(septem_control *c, septem_ring *r) { (void)r, c->stale_ns = 5000000001; }
static void many_slots(septem_control *c, septem_ring *r) { (void)r, c->credit_slots = 4097; }
static void more_slots(septem_control *c, septem_ring *r) { (void)r, c->credit_slots = 33; }
static void no_secret(septem_control *c, septem_ring *r) { (void)r, memset(c->secret, 0, 32); }
static void odd_secret(septem_control *c, septem_ring *r) { (void)r, c->secret[31] = 'G'; }
static void ring_magic(septem_control *c, septem_ring *r) { (void)c, r->magic++; }
static void ring_protocol(septem_control *c, septem_ring *r) { (void)c, r->protocol++; }
static void ring_header(septem_control *c, septem_ring *r) { (void)c, r->header = 8192; }
static void ring_size(septem_control *c, septem_ring *r) { (void)c, r->bytes *= 2; }
static void ring_id(septem_control *c, septem_ring *r) { (void)c, r->id[3] = '"'; }
static void ring_tail(septem_control *c, septem_ring *r) { (void)c, r->tail = 1; }

static const hostile_memory MEMORIES[] = {
    {"unsealed", 0, 0, 0, -1, no_spoil},
    {"may shrink", 0, 0, 0, F_SEAL_GROW | F_SEAL_SEAL, no_spoil},
    {"may grow", 0, 0, 0, F_SEAL_SHRINK | F_SEAL_SEAL, no_spoil},
    {"may be unsealed", 0, 0, 0, F_SEAL_SHRINK | F_SEAL_GROW, no_spoil},
    {"control too small", 4096, 0, 0, 0, no_spoil},
    {"control too large", SEPTEM_CONTROL_BYTES(1) + 4096, 0, 0, 0, no_spoil},
    {"credit too large", 0, 8192, 0, 0, no_spoil},
    {"ring of a page", 0, 0, 4096, 0, no_spoil},
    {"ring too small", 0, 0, SEPTEM_RING_HEADER + 32768, 0, no_spoil},
    {"ring too large", 0, 0, SEPTEM_RING_HEADER + 2 * SEPTEM_MAX_RING, 0, no_spoil},
    {"ring of no power of two", 0, 0, SEPTEM_RING_HEADER + 3 * 65536, 0, no_spoil},
    {"control's magic", 0, 0, 0, 0, magic},
    {"control's protocol", 0, 0, 0, 0, protocol},
    {"control's size", 0, 0, 0, 0, size},
    {"control of more workers than it says", SEPTEM_CONTROL_BYTES(2), 0, 0, 0, size_of_two},
    {"no workers", 0, 0, 0, 0, no_workers},
    {"too many workers", 0, 0, 0, 0, many_workers},
    {"stale at once", 0, 0, 0, 0, no_patience},
    {"never stale", 0, 0, 0, 0, much_patience},
    {"too many credit slots", 0, SEPTEM_CREDIT_BYTES(4097), 0, 0, many_slots},
    {"more credit slots than memory", 0, 0, 0, 0, more_slots},
    {"no secret", 0, 0, 0, 0, no_secret},
    {"a secret of other bytes", 0, 0, 0, 0, odd_secret},
    {"ring's magic", 0, 0, 0, 0, ring_magic},
    {"ring's protocol", 0, 0, 0, 0, ring_protocol},
    {"ring's header", 0, 0, 0, 0, ring_header},
    {"ring's size", 0, 0, 0, 0, ring_size},
    {"ring's id", 0, 0, 0, 0, ring_id},
    {"ring's tail", 0, 0, 0, 0, ring_tail},
};

static int hostile_fd(const void *bytes, size_t honest, size_t wanted, int seals) {
  size_t size = wanted ? wanted : honest;
  int fd = fake_memory(size, 0);
  CHECK(pwrite(fd, bytes, honest < size ? honest : size, 0) > 0);
  CHECK(fcntl(fd, F_ADD_SEALS, seals < 0 ? 0 : seals ? seals : SEPTEM_SEALS) == 0);
  return fd;
}

static void test_no_lease_with_memory_that_is_not_in_order(void) {
  for (size_t i = 0; i < LENGTH(MEMORIES); i++) {
    const hostile_memory *row = &MEMORIES[i];
    begin();
    int before = open_descriptors();
    row->spoil(sidecar.control, sidecar.ring);
    if (row->ring) sidecar.ring->bytes = row->ring - SEPTEM_RING_HEADER;
    CHECK(septem_lease_check(lease, now) == SEPTEM_NO_LEASE);
    CHECK(fake_accept(&sidecar));
    int fds[] = {
        hostile_fd(sidecar.control, SEPTEM_CONTROL_BYTES(1), row->control, row->seals),
        hostile_fd(sidecar.credits, 4096, row->credit, row->seals),
        hostile_fd(sidecar.ring, SEPTEM_RING_HEADER + FAKE_RING, row->ring, row->seals),
    };
    septem_welcome welcome = {.magic = SEPTEM_WELCOME_MAGIC, .protocol = SEPTEM_PROTOCOL};
    fake_answer(&sidecar, &welcome, sizeof welcome, fds, 3);
    for (int each = 0; each < 3; each++) close(fds[each]);
    fake_beat(&sidecar);
    CHECK_ROW(row->name, check_after(1) == SEPTEM_NO_LEASE);
    CHECK_ROW(row->name, lease->state == SEPTEM_CLOSED && lease->control == NULL);
    fake_hang_up(&sidecar);
    CHECK_ROW(row->name, open_descriptors() == before);
    end();
  }
}

static void test_a_file_or_a_pipe_is_no_memory(void) {
  begin();
  int before = open_descriptors(), pipes[2];
  CHECK(pipe2(pipes, O_CLOEXEC) == 0);
  int file = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  CHECK(septem_lease_check(lease, now) == SEPTEM_NO_LEASE && fake_accept(&sidecar));
  septem_welcome welcome = {.magic = SEPTEM_WELCOME_MAGIC, .protocol = SEPTEM_PROTOCOL};
  fake_answer(&sidecar, &welcome, sizeof welcome, (int[]){file, pipes[0], sidecar.ring_fd}, 3);
  close(pipes[0]), close(pipes[1]), close(file);
  CHECK(check_after(1) == SEPTEM_NO_LEASE && lease->state == SEPTEM_CLOSED);
  fake_hang_up(&sidecar);
  CHECK(open_descriptors() == before);
  end();
}

typedef struct {
  const char *name;
  septem_welcome welcome;
  size_t size;
  unsigned descriptors;
} hostile_welcome;

static void test_no_lease_with_a_welcome_that_is_not_in_order(void) {
  const hostile_welcome rows[] = {
      {"another magic", {.magic = SEPTEM_HELLO_MAGIC, .protocol = SEPTEM_PROTOCOL}, 64, 3},
      {"another protocol", {.magic = SEPTEM_WELCOME_MAGIC, .protocol = SEPTEM_PROTOCOL + 1}, 64, 3},
      {"flags", {.magic = SEPTEM_WELCOME_MAGIC, .protocol = SEPTEM_PROTOCOL, .flags = 1}, 64, 3},
      {"too short", {.magic = SEPTEM_WELCOME_MAGIC, .protocol = SEPTEM_PROTOCOL}, 63, 3},
      {"empty but for descriptors", {.magic = SEPTEM_WELCOME_MAGIC, .protocol = SEPTEM_PROTOCOL}, 1, 3},
      {"no descriptors", {.magic = SEPTEM_WELCOME_MAGIC, .protocol = SEPTEM_PROTOCOL}, 64, 0},
      {"one descriptor", {.magic = SEPTEM_WELCOME_MAGIC, .protocol = SEPTEM_PROTOCOL}, 64, 1},
      {"two descriptors", {.magic = SEPTEM_WELCOME_MAGIC, .protocol = SEPTEM_PROTOCOL}, 64, 2},
      {"four descriptors", {.magic = SEPTEM_WELCOME_MAGIC, .protocol = SEPTEM_PROTOCOL}, 64, 4},
      {"thirty descriptors", {.magic = SEPTEM_WELCOME_MAGIC, .protocol = SEPTEM_PROTOCOL}, 64, 30},
  };
  for (size_t i = 0; i < LENGTH(rows); i++) {
    begin();
    int before = open_descriptors(), fds[30];
    for (int each = 0; each < 30; each++)
      fds[each] = each == 0 ? sidecar.control_fd : each == 1 ? sidecar.credit_fd : sidecar.ring_fd;
    CHECK(septem_lease_check(lease, now) == SEPTEM_NO_LEASE && fake_accept(&sidecar));
    fake_answer(&sidecar, &rows[i].welcome, rows[i].size, fds, rows[i].descriptors);
    CHECK_ROW(rows[i].name, check_after(1) == SEPTEM_NO_LEASE && lease->state == SEPTEM_CLOSED);
    fake_hang_up(&sidecar);
    CHECK_ROW(rows[i].name, open_descriptors() == before);
    end();
  }
  char large[128] = {0};
  begin();
  memcpy(large, &rows[0].welcome, sizeof rows[0].welcome);
  ((septem_welcome *)(void *)large)->magic = SEPTEM_WELCOME_MAGIC;
  CHECK(septem_lease_check(lease, now) == SEPTEM_NO_LEASE && fake_accept(&sidecar));
  fake_answer(&sidecar, large, sizeof large,
              (int[]){sidecar.control_fd, sidecar.credit_fd, sidecar.ring_fd}, 3);
  CHECK(check_after(1) == SEPTEM_NO_LEASE && lease->state == SEPTEM_CLOSED);
  end();
}

/* ---- while it is held ----------------------------------------------------------------------- */

static void test_a_raised_epoch_drops_everything(void) {
  begin();
  now = fake_lease(&sidecar, lease, now);
  CHECK(learn("token") && knows("token"));
  CHECK(check_after(1) == SEPTEM_YES && knows("token"));
  sidecar.control->worker[0].epoch++;
  uint64_t generation = lease->generation;
  CHECK(check_after(1) == SEPTEM_NEW_EPOCH && !knows("token"));
  CHECK(lease->generation != generation);
  CHECK(check_after(1) == SEPTEM_YES);
  sidecar.control->worker[0].epoch--; /* it never falls; but if it does, it is another */
  CHECK(learn("token") == false);
  CHECK(check_after(1) == SEPTEM_NEW_EPOCH);
  end();
}

static void test_every_workers_word_counts(void) {
  begin();
  fake_workers(&sidecar, 3);
  for (int i = 0; i < 3; i++) sidecar.control->worker[i].beat = now;
  CHECK(septem_lease_check(lease, now) == SEPTEM_NO_LEASE && fake_accept(&sidecar));
  fake_welcome(&sidecar);
  CHECK(check_after(1) == SEPTEM_YES);
  CHECK(learn("token"));
  sidecar.control->worker[2].epoch++;
  CHECK(check_after(1) == SEPTEM_NEW_EPOCH && !knows("token"));
  /* Raised here and lowered there: the sum is the same, the epochs are not. */
  sidecar.control->worker[0].epoch++;
  sidecar.control->worker[2].epoch--;
  CHECK(check_after(1) == SEPTEM_NEW_EPOCH);
  sidecar.control->worker[1].beat = now - 501 * MS;
  CHECK(check_after(1) == SEPTEM_NO_LEASE);
  sidecar.control->worker[1].beat = now;
  CHECK(check_after(1) == SEPTEM_YES);
  sidecar.control->worker[5].beat = 0; /* of no worker */
  sidecar.control->worker[5].epoch++;
  CHECK(check_after(1) == SEPTEM_YES);
  end();
}

static void test_a_lease_ends_with_the_beat(void) {
  begin();
  now = fake_lease(&sidecar, lease, now);
  CHECK(learn("token"));
  sidecar.control->worker[0].beat = now;
  CHECK(check_after(500) == SEPTEM_YES);
  now += 1;
  CHECK(septem_lease_check(lease, now) == SEPTEM_NO_LEASE);
  /* It comes back, and nothing has changed meanwhile. */
  CHECK(check_alive_after(100) == SEPTEM_YES && knows("token"));
  sidecar.control->worker[0].beat = 0;
  CHECK(check_after(1) == SEPTEM_NO_LEASE);
  end();
}

static void test_a_beat_of_the_future_is_none(void) {
  begin();
  now = fake_lease(&sidecar, lease, now);
  sidecar.control->worker[0].beat = septem_clock_ns(CLOCK_MONOTONIC) + 3600000 * MS;
  CHECK(check_after(0) == SEPTEM_NO_LEASE);
  sidecar.control->worker[0].beat = UINT64_MAX;
  CHECK(check_after(0) == SEPTEM_NO_LEASE);
  /* One that was written after the time was read is of the present. */
  now = septem_clock_ns(CLOCK_MONOTONIC);
  fake_beat(&sidecar);
  CHECK(sidecar.control->worker[0].beat > now);
  CHECK(check_after(0) == SEPTEM_YES);
  end();
}

static void test_a_frozen_sidecar_is_left_after_five_seconds(void) {
  begin();
  now = fake_lease(&sidecar, lease, now);
  CHECK(learn("token"));
  CHECK(check_after(4999) == SEPTEM_NO_LEASE && lease->state == SEPTEM_HELD);
  CHECK(check_after(2) == SEPTEM_NO_LEASE && lease->state == SEPTEM_CLOSED && !knows("token"));
  CHECK(check_after(1) == SEPTEM_NO_LEASE && lease->state == SEPTEM_WAITING);
  end();
}

static void test_the_end_of_the_connection_ends_it(void) {
  begin();
  now = fake_lease(&sidecar, lease, now);
  CHECK(learn("token"));
  fake_hang_up(&sidecar);
  CHECK(check_alive_after(50) == SEPTEM_NO_LEASE && !knows("token"));
  CHECK(lease->state == SEPTEM_CLOSED && lease->control == NULL);
  CHECK(check_after(999) == SEPTEM_NO_LEASE && lease->state == SEPTEM_CLOSED);
  CHECK(check_after(1) == SEPTEM_NO_LEASE && lease->state == SEPTEM_WAITING);
  end();
}

static void test_a_message_ends_it(void) {
  begin();
  now = fake_lease(&sidecar, lease, now);
  fake_answer(&sidecar, "x", 1, &sidecar.ring_fd, 1);
  CHECK(check_alive_after(50) == SEPTEM_NO_LEASE && lease->state == SEPTEM_CLOSED);
  end();
}

static void test_the_old_ring_is_handed_over_until_it_is_taken(void) {
  begin();
  now = fake_lease(&sidecar, lease, now);
  CHECK(sidecar.hello.flags == 0);
  septem_writer_append(&lease->writer, "line\n", 5);
  fake_hang_up(&sidecar);
  CHECK(check_alive_after(50) == SEPTEM_NO_LEASE);
  for (int tries = 0; tries < 2; tries++) {
    CHECK(check_after(1000) == SEPTEM_NO_LEASE && fake_accept(&sidecar));
    CHECK(sidecar.old_ring >= 0);
    septem_ring *old = mmap(NULL, SEPTEM_RING_HEADER + FAKE_RING, PROT_READ, MAP_SHARED, sidecar.old_ring, 0);
    CHECK(old != MAP_FAILED && old->head == 5);
    CHECK(memcmp((char *)old + SEPTEM_RING_HEADER, "line\n", 5) == 0);
    munmap(old, SEPTEM_RING_HEADER + FAKE_RING);
    if (tries == 0) {
      fake_hang_up(&sidecar);
      CHECK(check_after(1) == SEPTEM_NO_LEASE); /* it notices */
    }
  }
  fake_welcome(&sidecar);
  sidecar.control->worker[0].beat = now;
  CHECK(check_after(1) == SEPTEM_YES);
  end();
}

static void test_the_route_table_is_read_whole_or_not(void) {
  septem_table *table;
  begin();
  table = (septem_table *)(void *)((char *)sidecar.control + SEPTEM_TABLE_OFFSET);
  septem_row *rows = (septem_row *)(void *)((char *)sidecar.control + SEPTEM_ROWS_OFFSET);
  now = fake_lease(&sidecar, lease, now);
  CHECK(lease->routes.count == 1 && learn("token"));
  table->sequence++; /* being written */
  CHECK(check_after(1) == SEPTEM_NEW_EPOCH && !knows("token") && lease->routes.count == 0);
  CHECK(check_after(1) == SEPTEM_NEW_EPOCH);
  table->sequence++;
  CHECK(check_after(1) == SEPTEM_NEW_EPOCH && lease->routes.count == 1);
  CHECK(check_after(1) == SEPTEM_YES);
#define TORN(name, change)                                                  \
  do {                                                                      \
    fake_rows(&sidecar, &(fake_row){1, 0, "/api", false}, 1);               \
    CHECK_ROW(name, check_after(1) == SEPTEM_NEW_EPOCH);                    \
    CHECK_ROW(name, check_after(1) == SEPTEM_YES && lease->routes.count);   \
    change;                                                                 \
    table->sequence += 2;                                                   \
    CHECK_ROW(name, check_after(1) == SEPTEM_NEW_EPOCH);                    \
    CHECK_ROW(name, check_after(1) == SEPTEM_NEW_EPOCH && !lease->routes.count); \
  } while (0)
  TORN("a byte of the pool", ((char *)sidecar.control)[SEPTEM_POOL_OFFSET]++);
  TORN("a row", rows[0].scope++);
  TORN("the checksum", table->crc++);
  TORN("too many rows", {
    for (unsigned i = 1; i <= SEPTEM_MAX_ROWS; i++) rows[i] = rows[0];
    table->rows = SEPTEM_MAX_ROWS + 1;
    table->crc = fake_crc(fake_crc(0, rows, sizeof *rows * table->rows),
                          (char *)sidecar.control + SEPTEM_POOL_OFFSET, table->pool_used);
  });
  TORN("far too many rows", table->rows = UINT32_MAX);
  TORN("too large a pool", table->pool_used = SEPTEM_POOL_BYTES + 1);
#undef TORN
  end();
}

static void test_a_row_that_is_impossible_makes_no_table(void) {
  static const struct {
    const char *name;
    septem_row row;
  } impossible[] = {
#define ROW(...) {.methods = 1, .path_kind = 1, .path_length = 1, .fold_length = 1, __VA_ARGS__}
      {"path outside", ROW(.path_offset = 8)},
      {"path too long", ROW(.path_length = 9)},
      {"path at the end of all numbers", ROW(.path_offset = UINT32_MAX, .path_length = 2)},
      {"fold outside", ROW(.fold_offset = 8)},
      {"host outside", ROW(.host_kind = 1, .host_length = 1, .host_offset = 8)},
      {"a name of no bytes", ROW(.host_kind = 1)},
      {"any host with a name", ROW(.host_length = 1)},
      {"another kind of host", ROW(.host_kind = 3, .host_length = 1)},
      {"no kind of path", ROW(.path_kind = 0)},
      {"another kind of path", ROW(.path_kind = 3)},
      {"another flag", ROW(.flags = 32)},
      {"another method", ROW(.methods = 64)},
#undef ROW
  };
  begin();
  char *base = (char *)sidecar.control;
  septem_table *table = (septem_table *)(void *)(base + SEPTEM_TABLE_OFFSET);
  for (size_t i = 0; i <= LENGTH(impossible); i++) {
    septem_row row = {.methods = 1, .path_kind = 1, .path_length = 1, .fold_length = 1};
    septem_routes routes = {.sequence = 1};
    if (i < LENGTH(impossible)) row = impossible[i].row;
    memcpy(base + SEPTEM_ROWS_OFFSET, &row, sizeof row);
    memcpy(base + SEPTEM_POOL_OFFSET, "/abcdefg", 8);
    table->rows = 1;
    table->pool_used = 8;
    table->crc = fake_crc(fake_crc(0, &row, sizeof row), "/abcdefg", 8);
    bool copied = septem_routes_copy(&routes, sidecar.control);
    CHECK_ROW(i < LENGTH(impossible) ? impossible[i].name : "a row in order",
              copied == (i == LENGTH(impossible)));
    septem_routes_free(&routes);
  }
  end();
}

static void test_credit_is_spent_up_to_what_is_granted(void) {
  begin();
  now = fake_lease(&sidecar, lease, now);
  sidecar.credits[0].granted = 2;
  CHECK(septem_lease_spend(lease, 0) && septem_lease_spend(lease, 0));
  CHECK(!septem_lease_spend(lease, 0) && sidecar.credits[0].spent == 2);
  sidecar.credits[0].granted = 1;
  CHECK(!septem_lease_spend(lease, 0));
  sidecar.credits[0].granted = 3;
  CHECK(septem_lease_spend(lease, 0) && sidecar.credits[0].spent == 3);
  sidecar.credits[0].spent = UINT64_MAX; /* a lie */
  CHECK(!septem_lease_spend(lease, 0));
  CHECK(!septem_lease_spend(lease, 1) && !septem_lease_spend(lease, UINT32_MAX - 1));
  CHECK(septem_lease_spend(lease, SEPTEM_NO_CREDIT));
  end();
}

static void test_a_payload_is_vouched_for(void) {
  char buffer[4096];
  septem_payload good, other;
  begin();
  CHECK(septem_payload_split(fake_payload(&sidecar, buffer, sizeof buffer, 1, NULL, NULL), &good));
  CHECK(!septem_lease_vouches(lease, &good)); /* no lease */
  now = fake_lease(&sidecar, lease, now);
  CHECK(septem_lease_vouches(lease, &good));
  char wrong[] = "0123456789abcdef0123456789abcdee";
  other = good, other.secret = (text){wrong, 32};
  CHECK(!septem_lease_vouches(lease, &other));
  other = good, other.secret.length = 31;
  CHECK(!septem_lease_vouches(lease, &other));
  other = good, other.epoch++;
  CHECK(!septem_lease_vouches(lease, &other));
  other = good, other.epoch--;
  CHECK(!septem_lease_vouches(lease, &other));
  other = good, other.worker = 1, other.epoch = 0;
  CHECK(!septem_lease_vouches(lease, &other));
  other = good, other.credit = 1;
  CHECK(!septem_lease_vouches(lease, &other));
  other = good, other.credit = SEPTEM_NO_CREDIT;
  CHECK(septem_lease_vouches(lease, &other));
  end();
}

static void test_a_common_part_is_read_from_where_it_stands(void) {
  static char space[SEPTEM_MAX_PAYLOAD];
  begin();
  now = fake_lease(&sidecar, lease, now);
  char *area = (char *)sidecar.control + SEPTEM_COMMON_OFFSET;
  memcpy(area + 7, "common", 6);
  uint32_t last = SEPTEM_COMMON_BYTES, most = SEPTEM_MAX_PAYLOAD;
  const struct {
    const char *name;
    septem_place place;
    bool read;
  } rows[] = {
      {"as it should be", {7, 6, fake_crc(0, area + 7, 6)}, true},
      {"of no bytes", {last, 0, 0}, true},
      {"the last bytes", {last - 6, 6, fake_crc(0, area + last - 6, 6)}, true},
      {"the most bytes", {0, most, fake_crc(0, area, most)}, true},
      {"another checksum", {7, 6, fake_crc(0, area + 7, 6) + 1}, false},
      {"overwritten", {8, 6, fake_crc(0, area + 7, 6)}, false},
      {"too long", {0, most + 1, fake_crc(0, area, most + 1)}, false},
      {"beyond the area", {last - 5, 6, fake_crc(0, area + 7, 6)}, false},
      {"far beyond it", {UINT32_MAX, 6, 0}, false},
      {"longer than all", {7, UINT32_MAX, 0}, false},
  };
  for (size_t i = 0; i < LENGTH(rows); i++) {
    septem_payload payload = {.is_placed = true, .place = rows[i].place};
    CHECK_ROW(rows[i].name, septem_lease_common(lease, &payload, space) == rows[i].read);
    if (rows[i].read)
      CHECK_ROW(rows[i].name, text_equal(payload.common, (text){area + rows[i].place.offset,
                                                                rows[i].place.length}));
  }
  end();
}

static void test_a_ring_is_filled_to_its_end_and_not_further(void) {
  char line[1000];
  begin();
  now = fake_lease(&sidecar, lease, now);
  memset(line, 'x', sizeof line);
  uint64_t written = 0;
  while (septem_writer_space(&lease->writer, sizeof line) == SEPTEM_FITS) {
    septem_writer_append(&lease->writer, line, sizeof line);
    written += sizeof line;
  }
  CHECK(written == FAKE_RING / 1000 * 1000 && sidecar.ring->head == written);
  CHECK(septem_writer_space(&lease->writer, FAKE_RING - written) == SEPTEM_FITS);
  CHECK(septem_writer_space(&lease->writer, FAKE_RING - written + 1) == SEPTEM_FULL);
  sidecar.ring->tail = 1000;
  memset(line, 'y', sizeof line);
  CHECK(septem_writer_space(&lease->writer, sizeof line) == SEPTEM_FITS);
  septem_writer_append(&lease->writer, line, sizeof line); /* around the end */
  const char *data = (const char *)sidecar.ring + SEPTEM_RING_HEADER;
  CHECK(data[FAKE_RING - 1] == 'y' && data[written + 1000 - FAKE_RING - 1] == 'y');
  CHECK(data[written + 1000 - FAKE_RING] == 'x');
  sidecar.ring->head = 17; /* a lie about our own word changes nothing */
  sidecar.ring->tail = written + 1000;
  CHECK(septem_writer_space(&lease->writer, FAKE_RING) == SEPTEM_FITS);
  sidecar.ring->tail = written + 1001;
  CHECK(septem_writer_space(&lease->writer, 1) == SEPTEM_LIES);
  sidecar.ring->tail = written + 1000 - FAKE_RING - 1;
  CHECK(septem_writer_space(&lease->writer, 1) == SEPTEM_LIES);
  end();
}

static void test_ids_are_unique_and_of_the_ring(void) {
  char first[SEPTEM_ID_DIGITS], id[SEPTEM_ID_DIGITS];
  begin();
  now = fake_lease(&sidecar, lease, now);
  septem_writer_next_id(&lease->writer, first);
  CHECK(memcmp(first, "00112233aabb", 12) == 0);
  for (int i = 0; i < 1000; i++) {
    septem_writer_next_id(&lease->writer, id);
    CHECK(memcmp(first, id, sizeof id) != 0 && memcmp(first, id, 12) == 0);
    CHECK(text_is_hex((text){id, sizeof id}));
  }
  end();
}

int main(void) {
  signal(SIGPIPE, SIG_DFL); /* the module must not depend on Envoy ignoring it */
  test_it_connects_without_waiting();
  test_it_tries_once_a_second();
  test_a_silent_sidecar_is_left_after_five_seconds();
  test_a_listener_of_another_user_is_not_trusted();
  test_no_lease_with_memory_that_is_not_in_order();
  test_a_file_or_a_pipe_is_no_memory();
  test_no_lease_with_a_welcome_that_is_not_in_order();
  test_a_raised_epoch_drops_everything();
  test_every_workers_word_counts();
  test_a_lease_ends_with_the_beat();
  test_a_beat_of_the_future_is_none();
  test_a_frozen_sidecar_is_left_after_five_seconds();
  test_the_end_of_the_connection_ends_it();
  test_a_message_ends_it();
  test_the_old_ring_is_handed_over_until_it_is_taken();
  test_the_route_table_is_read_whole_or_not();
  test_a_row_that_is_impossible_makes_no_table();
  test_credit_is_spent_up_to_what_is_granted();
  test_a_payload_is_vouched_for();
  test_a_common_part_is_read_from_where_it_stands();
  test_a_ring_is_filled_to_its_end_and_not_further();
  test_ids_are_unique_and_of_the_ring();
  return 0;
}
