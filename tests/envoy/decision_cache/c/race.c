/* Two worker threads of Envoy and a sidecar at once: no line torn, lost or doubled, no credit
 * spent twice, for the thread sanitizer too.
 *
 * The sanitizer knows addresses, not memories; so both sides get one mapping of each memory (the
 * linker wraps mmap and munmap). */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "fake_envoy.h"
#include "fake_sidecar.h"
#include "filter.h"

enum { WORKERS = 2, REPEATED = 2000, MOST = 10000000, MEMORIES = 16 };

static struct {
  ino_t inode;
  void *memory;
} shared[MEMORIES];
static unsigned shares;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void *__real_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset) {
  struct stat info;
  void *found = NULL;
  CHECK(fstat(fd, &info) == 0);
  pthread_mutex_lock(&lock);
  for (unsigned i = 0; i < shares; i++)
    if (shared[i].inode == info.st_ino) found = shared[i].memory;
  if (found == NULL) {
    CHECK(shares < MEMORIES);
    found = __real_mmap(at, size, PROT_READ | PROT_WRITE, flags, fd, offset);
    shared[shares].inode = info.st_ino;
    shared[shares++].memory = found;
  }
  pthread_mutex_unlock(&lock);
  (void)protection;
  return found;
}

int __wrap_munmap(void *memory, size_t size);
int __wrap_munmap(void *memory, size_t size) {
  (void)memory, (void)size;
  return 0;
}

static fake_sidecar sidecar;
static const void *config;
static atomic_uint done;
static atomic_ullong repeated;

static void *work(void *argument) {
  unsigned number = (unsigned)(uintptr_t)argument;
  char token[] = "Bearer aaaaaaaaaaaaaaaaaaaaaaaaaaaaa-0", buffer[4096];
  token[sizeof token - 2] = (char)('0' + number);
  for (unsigned i = 0, hits = 0; i < MOST && hits < REPEATED; i++) {
    fake_envoy envoy = {.source = "203.0.113.7:1"};
    const char *pairs[][2] = {{":method", "GET"}, {":authority", "a.example"}, {":path", "/api/x"}, {"authorization", token}};
    for (unsigned j = 0; j < LENGTH(pairs); j++)
      fake_add(envoy.request, &envoy.requests, pairs[j][0], (text){pairs[j][1], strlen(pairs[j][1])});
    const void *filter = SEPTEM_EVENT(http_filter_new)(config, &envoy);
    SEPTEM_EVENT(http_filter_request_headers)(&envoy, filter, true);
    bool hit = fake_get_metadata(&envoy, SEPTEM_OWN_NAMESPACE, SEPTEM_REPEATED_KEY).length > 0;
    if (hit) {
      hits++;
      atomic_fetch_add(&repeated, 1);
    } else {
      uint64_t now_ms = septem_clock_ns(CLOCK_REALTIME) / 1000000;
      int length = snprintf(
          buffer, sizeof buffer, "1\x1f%.32s\x1f" "0\x1f%llu\x1f" "0\x1f%llu\x1f" "1\x1f" "0\x1d" FAKE_COMMON "\x1d" "u",
          sidecar.control->secret,
          (unsigned long long)__atomic_load_n(&sidecar.control->worker[0].epoch, __ATOMIC_ACQUIRE),
          (unsigned long long)now_ms + 60000);
      fake_set_metadata(&envoy, SEPTEM_PAYLOAD_NAMESPACE, SEPTEM_PAYLOAD_KEY, (text){buffer, (size_t)length});
    }
    SEPTEM_EVENT(http_filter_response_headers)(&envoy, filter, true);
    SEPTEM_EVENT(http_filter_destroy)(filter);
    fake_end(&envoy);
  }
  septem_filter_forget_thread();
  atomic_fetch_add(&done, 1);
  return NULL;
}

typedef struct {
  septem_ring *ring;
  int fd;
} reader;

/* Every line is whole, and of this ring. */
static uint64_t drain(reader *from) {
  uint64_t head = __atomic_load_n(&from->ring->head, __ATOMIC_ACQUIRE), tail = from->ring->tail;
  const char *data = (const char *)from->ring + SEPTEM_RING_HEADER;
  uint64_t lines = 0;
  char line[SEPTEM_MAX_LINE];
  size_t used = 0;
  CHECK(head - tail <= FAKE_RING);
  for (; tail < head; tail++) {
    line[used++] = data[tail % FAKE_RING];
    if (line[used - 1] != '\n') continue;
    CHECK(used > 60 && !memcmp(line, "{\"time\":\"20", 11) && !memcmp(line + used - 2, "}\n", 2));
    CHECK(memmem(line, used, "\"p\":\"/api/x\",\"s\":\"203.0.113.7\"", 30) != NULL);
    lines++;
    used = 0;
  }
  CHECK(used == 0);
  __atomic_store_n(&from->ring->tail, head, __ATOMIC_RELEASE);
  return lines;
}

int main(void) {
  pthread_t threads[WORKERS];
  reader readers[WORKERS];
  unsigned connected = 0, turn = 0;
  uint64_t lines = 0;
  char source[300];
  fake_sidecar_start(&sidecar);
  snprintf(source, sizeof source, "socket=%s;entries=1024;bytes=1048576", sidecar.path);
  config = SEPTEM_EVENT(http_filter_config_new)(NULL, TEXT("x"), (text){source, strlen(source)});
  int peers[WORKERS] = {-1, -1};
  for (unsigned i = 0; i < WORKERS; i++)
    CHECK(pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)i) == 0);
  while (atomic_load(&done) < WORKERS) {
    fake_beat(&sidecar);
    if (connected < WORKERS && fake_accept(&sidecar)) {
      reader *fresh = &readers[connected];
      fresh->fd = fake_memory(SEPTEM_RING_HEADER + FAKE_RING, SEPTEM_SEALS);
      fresh->ring = __wrap_mmap(NULL, SEPTEM_RING_HEADER + FAKE_RING, PROT_READ | PROT_WRITE, MAP_SHARED, fresh->fd, 0);
      memcpy(fresh->ring, sidecar.ring, SEPTEM_RING_HEADER);
      septem_welcome welcome = {.magic = SEPTEM_WELCOME_MAGIC, .protocol = SEPTEM_PROTOCOL};
      fake_answer(&sidecar, &welcome, sizeof welcome, (int[]){sidecar.control_fd, sidecar.credit_fd, fresh->fd}, 3);
      peers[connected++] = sidecar.peer;
      sidecar.peer = -1;
    }
    if (++turn % 64 == 0)
      __atomic_fetch_add(&sidecar.control->worker[0].epoch, 1, __ATOMIC_RELEASE);
    if (turn % 200 == 0)
      fake_rows(&sidecar, &(fake_row){1, turn % 400 ? 0 : SEPTEM_QUERY_REPEATS, "/api", false}, 1);
    for (unsigned i = 0; i < connected; i++) lines += drain(&readers[i]);
    usleep(100);
  }
  for (unsigned i = 0; i < WORKERS; i++) pthread_join(threads[i], NULL);
  for (unsigned i = 0; i < connected; i++) lines += drain(&readers[i]);
  printf("{\"repeated\": %llu, \"lines\": %llu, \"spent\": %llu, \"connected\": %u}\n",
         (unsigned long long)repeated, (unsigned long long)lines,
         (unsigned long long)sidecar.credits[0].spent, connected);
  CHECK(connected == WORKERS && repeated == WORKERS * REPEATED);
  CHECK(lines == repeated && sidecar.credits[0].spent == repeated);
  for (unsigned i = 0; i < connected; i++) close(peers[i]), close(readers[i].fd);
  SEPTEM_EVENT(http_filter_config_destroy)(config);
  fake_sidecar_stop(&sidecar);
  return 0;
}
