#define _GNU_SOURCE
#include "fake_sidecar.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

uint32_t fake_crc(uint32_t crc, const void *bytes, size_t length) {
  const unsigned char *data = bytes;
  crc = ~crc;
  while (length--) {
    crc ^= *data++;
    for (int i = 0; i < 8; i++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
  }
  return ~crc;
}

int fake_memory(size_t size, int seals) {
  int fd = memfd_create("septem-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  CHECK(fd >= 0 && posix_fallocate(fd, 0, (off_t)size) == 0);
  CHECK(fcntl(fd, F_ADD_SEALS, seals) == 0);
  return fd;
}

static void *map(int fd, size_t size) {
  void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  CHECK(memory != MAP_FAILED);
  return memory;
}

void fake_beat(fake_sidecar *sidecar) {
  __atomic_store_n(&sidecar->control->worker[0].beat, septem_clock_ns(CLOCK_MONOTONIC),
                   __ATOMIC_RELEASE);
}

void fake_workers(fake_sidecar *sidecar, uint32_t workers) {
  size_t before = SEPTEM_CONTROL_BYTES(1), size = SEPTEM_CONTROL_BYTES(workers);
  int fd = fake_memory(size, SEPTEM_SEALS);
  septem_control *control = map(fd, size);
  memcpy(control, sidecar->control, before);
  munmap(sidecar->control, before);
  close(sidecar->control_fd);
  control->workers = workers;
  control->bytes = size;
  sidecar->control_fd = fd;
  sidecar->control = control;
}

void fake_rows(fake_sidecar *sidecar, const fake_row *rows, unsigned count) {
  char *base = (char *)sidecar->control;
  septem_table *table = (septem_table *)(void *)(base + SEPTEM_TABLE_OFFSET);
  septem_row *row = (septem_row *)(void *)(base + SEPTEM_ROWS_OFFSET);
  char *pool = base + SEPTEM_POOL_OFFSET;
  uint32_t used = 0;
  __atomic_store_n(&table->sequence, table->sequence + 1, __ATOMIC_SEQ_CST);
  for (unsigned i = 0; i < count; i++) {
    size_t length = strlen(rows[i].path);
    memcpy(pool + used, rows[i].path, length);
    row[i] = (septem_row){
        .scope = rows[i].scope,
        .flags = rows[i].flags,
        .methods = SEPTEM_ALL_METHODS,
        .host_kind = SEPTEM_HOST_ANY,
        .path_kind = rows[i].exact ? SEPTEM_PATH_EXACT : SEPTEM_PATH_PREFIX,
        .path_offset = used,
        .path_length = (uint16_t)length,
        .fold_offset = used,
        .fold_length = (uint16_t)length,
    };
    used += (uint32_t)length;
  }
  table->rows = count;
  table->pool_used = used;
  table->crc = fake_crc(fake_crc(0, row, count * sizeof *row), pool, used);
  __atomic_store_n(&table->sequence, table->sequence + 1, __ATOMIC_SEQ_CST);
}

void fake_sidecar_start(fake_sidecar *sidecar) {
  memset(sidecar, 0, sizeof *sidecar);
  sidecar->peer = sidecar->old_ring = -1;
  sidecar->control_fd = fake_memory(SEPTEM_CONTROL_BYTES(1), SEPTEM_SEALS);
  sidecar->credit_fd = fake_memory(4096, SEPTEM_SEALS);
  sidecar->ring_fd = fake_memory(SEPTEM_RING_HEADER + FAKE_RING, SEPTEM_SEALS);
  sidecar->control = map(sidecar->control_fd, SEPTEM_CONTROL_BYTES(1));
  sidecar->credits = map(sidecar->credit_fd, 4096);
  sidecar->ring = map(sidecar->ring_fd, SEPTEM_RING_HEADER + FAKE_RING);
  septem_control *control = sidecar->control;
  control->magic = SEPTEM_CONTROL_MAGIC;
  control->protocol = SEPTEM_PROTOCOL;
  control->workers = 1;
  control->bytes = SEPTEM_CONTROL_BYTES(1);
  control->stale_ns = 500000000;
  control->credit_slots = 1;
  memcpy(control->secret, "0123456789abcdef0123456789abcdef", SEPTEM_SECRET_BYTES);
  control->worker[0].epoch = 1;
  sidecar->credits[0].granted = 1ull << 40;
  sidecar->ring->magic = SEPTEM_RING_MAGIC;
  sidecar->ring->protocol = SEPTEM_PROTOCOL;
  sidecar->ring->header = SEPTEM_RING_HEADER;
  sidecar->ring->bytes = FAKE_RING;
  memcpy(sidecar->ring->id, "00112233aabb", SEPTEM_RING_ID);
  fake_rows(sidecar, &(fake_row){1, SEPTEM_BODY_REPEATS | SEPTEM_QUERY_REPEATS, "/api", false}, 1);
  fake_beat(sidecar);
  snprintf(sidecar->path, sizeof sidecar->path, "/tmp/septem-test-%d-%p", getpid(), (void *)sidecar);
  unlink(sidecar->path);
  sidecar->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "%s", sidecar->path);
  CHECK(bind(sidecar->listener, (struct sockaddr *)&address, sizeof address) == 0);
  CHECK(listen(sidecar->listener, 4) == 0);
}

static void close_fd(int *fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

void fake_hang_up(fake_sidecar *sidecar) { close_fd(&sidecar->peer); }

void fake_sidecar_stop(fake_sidecar *sidecar) {
  fake_hang_up(sidecar);
  close_fd(&sidecar->old_ring);
  close_fd(&sidecar->listener);
  close_fd(&sidecar->control_fd);
  close_fd(&sidecar->credit_fd);
  close_fd(&sidecar->ring_fd);
  munmap(sidecar->control, SEPTEM_CONTROL_BYTES(1));
  munmap(sidecar->credits, 4096);
  munmap(sidecar->ring, SEPTEM_RING_HEADER + FAKE_RING);
  unlink(sidecar->path);
}

bool fake_accept(fake_sidecar *sidecar) {
  fake_hang_up(sidecar);
  sidecar->peer = accept4(sidecar->listener, NULL, NULL, SOCK_CLOEXEC);
  if (sidecar->peer < 0) return false;
  /* The hello follows at once; but another thread may be between the two. */
  struct timeval patience = {.tv_sec = 30};
  CHECK(setsockopt(sidecar->peer, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0);
  union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control;
  struct iovec part = {&sidecar->hello, sizeof sidecar->hello};
  struct msghdr message = {.msg_iov = &part,
                           .msg_iovlen = 1,
                           .msg_control = control.bytes,
                           .msg_controllen = sizeof control.bytes};
  CHECK(recvmsg(sidecar->peer, &message, MSG_CMSG_CLOEXEC) == sizeof sidecar->hello);
  CHECK(sidecar->hello.magic == SEPTEM_HELLO_MAGIC && sidecar->hello.protocol == SEPTEM_PROTOCOL);
  CHECK(sidecar->hello.pid == (uint32_t)getpid() && sidecar->hello.version[0] != 0);
  close_fd(&sidecar->old_ring);
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  CHECK((header != NULL) == (sidecar->hello.flags == SEPTEM_HAS_OLD_RING));
  if (header != NULL) memcpy(&sidecar->old_ring, CMSG_DATA(header), sizeof(int));
  return true;
}

void fake_answer(const fake_sidecar *sidecar, const void *bytes, size_t size, const int *fds,
                 unsigned count) {
  union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int) * 32)];
  } control = {.bytes = {0}};
  struct iovec part = {(void *)(uintptr_t)bytes, size};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (count > 0) {
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * count);
    memcpy(CMSG_DATA(header), fds, sizeof(int) * count);
  }
  CHECK(sendmsg(sidecar->peer, &message, MSG_NOSIGNAL) == (ssize_t)size);
}

void fake_welcome(const fake_sidecar *sidecar) {
  septem_welcome welcome = {.magic = SEPTEM_WELCOME_MAGIC, .protocol = SEPTEM_PROTOCOL};
  int fds[] = {sidecar->control_fd, sidecar->credit_fd, sidecar->ring_fd};
  fake_answer(sidecar, &welcome, sizeof welcome, fds, SEPTEM_DESCRIPTORS);
}

uint64_t fake_lease(fake_sidecar *sidecar, septem_lease *lease, uint64_t now_ns) {
  CHECK(septem_lease_check(lease, now_ns) == SEPTEM_NO_LEASE);
  CHECK(fake_accept(sidecar));
  fake_welcome(sidecar);
  now_ns += 1000000;
  fake_beat(sidecar);
  CHECK(septem_lease_check(lease, now_ns) == SEPTEM_YES);
  return now_ns;
}

text fake_payload(const fake_sidecar *sidecar, char *buffer, size_t size, uint32_t scope,
                  const char *common, const char *own) {
  uint64_t now_ms = septem_clock_ns(CLOCK_REALTIME) / 1000000;
  int length = snprintf(
      buffer, size, "1\x1f%.32s\x1f" "0\x1f%llu\x1f%llu\x1f%llu\x1f%u\x1f%u\x1d%s\x1d%s",
      sidecar->control->secret, (unsigned long long)sidecar->control->worker[0].epoch,
      (unsigned long long)now_ms - 1000, (unsigned long long)now_ms + 600000, scope, 0u,
      common ? common : FAKE_COMMON, own ? own : FAKE_OWN);
  CHECK(length > 0 && (size_t)length < size);
  return (text){buffer, (size_t)length};
}
