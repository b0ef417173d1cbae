#define _GNU_SOURCE
#include "lease.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#ifndef SEPTEM_VERSION
#define SEPTEM_VERSION "0"
#endif

static const uint64_t SECOND = 1000000000ull;
static const uint64_t LOOK_FOR_WELCOME = 1000000ull; /* a millisecond */
static const uint64_t LOOK_AT_SOCKET = 50000000ull;
static const uint64_t PATIENCE = 5000000000ull; /* for a welcome, and for a beat */

uint64_t septem_clock_ns(int clock) {
  struct timespec now;
  if (clock_gettime(clock, &now) != 0) return 0;
  return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

septem_lease *septem_lease_new(const septem_config *config, uint64_t seed) {
  septem_lease *lease = calloc(1, sizeof *lease);
  if (lease == NULL) return NULL;
  lease->config = *config;
  lease->socket = lease->ring_fd = -1;
  lease->routes.sequence = 1;
  if (!septem_table_init(&lease->table, config->entries, config->bytes, seed)) {
    free(lease);
    return NULL;
  }
  return lease;
}

static void forget(septem_lease *lease) {
  lease->generation++;
  septem_table_clear(&lease->table);
}

static void close_fd(int *fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

void septem_lease_drop(septem_lease *lease) {
  forget(lease);
  septem_routes_free(&lease->routes);
  if (lease->control != NULL) munmap((void *)(uintptr_t)lease->control, lease->control_bytes);
  if (lease->credits != NULL) munmap(lease->credits, lease->credit_bytes);
  if (lease->writer.memory != NULL)
    munmap(lease->writer.memory, SEPTEM_RING_HEADER + (size_t)lease->writer.bytes);
  lease->control = NULL;
  lease->credits = NULL;
  lease->writer = (septem_writer){.memory = NULL};
  explicit_bzero(lease->secret, sizeof lease->secret);
  close_fd(&lease->socket);
  lease->state = SEPTEM_CLOSED;
}

void septem_lease_free(septem_lease *lease) {
  septem_lease_drop(lease);
  close_fd(&lease->ring_fd);
  septem_table_free(&lease->table);
  free(lease);
}

/* ---- connecting --------------------------------------------------------------------------- */

/* The path of a socket is only as safe as its folder: so look who listens. */
static bool is_trusted(const septem_lease *lease, int socket) {
  struct ucred peer;
  socklen_t size = sizeof peer;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
  if (peer.uid == 0) return true;
  return peer.uid == (lease->config.any_own_uid ? geteuid() : lease->config.sidecar_uid);
}

static bool send_hello(const septem_lease *lease, int socket) {
  septem_hello hello = {
      .magic = SEPTEM_HELLO_MAGIC,
      .protocol = SEPTEM_PROTOCOL,
      .flags = lease->ring_fd >= 0 ? SEPTEM_HAS_OLD_RING : 0,
      .pid = (uint32_t)getpid(),
      .version = SEPTEM_VERSION,
  };
  union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control = {.bytes = {0}};
  struct iovec part = {&hello, sizeof hello};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (lease->ring_fd >= 0) {
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof control.bytes;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &lease->ring_fd, sizeof(int));
  }
  return sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)sizeof hello;
}

static void try_to_connect(septem_lease *lease, uint64_t now_ns) {
  lease->next_ns = now_ns + SECOND;
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  memcpy(address.sun_path, lease->config.socket, sizeof address.sun_path);
  if (connect(fd, (const struct sockaddr *)&address, sizeof address) != 0 ||
      !is_trusted(lease, fd) || !send_hello(lease, fd)) {
    close(fd);
    return;
  }
  lease->socket = fd;
  lease->state = SEPTEM_WAITING;
  lease->since_ns = now_ns;
  lease->next_ns = now_ns + LOOK_FOR_WELCOME;
}

/* Take the descriptors out of a message; -1 where there are not exactly so many. */
static bool take_descriptors(struct msghdr *message, int fds[SEPTEM_DESCRIPTORS]) {
  bool taken = false;
  for (struct cmsghdr *each = CMSG_FIRSTHDR(message); each; each = CMSG_NXTHDR(message, each)) {
    if (each->cmsg_level != SOL_SOCKET || each->cmsg_type != SCM_RIGHTS) continue;
    size_t count = (each->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    const unsigned char *data = CMSG_DATA(each);
    if (!taken && count == SEPTEM_DESCRIPTORS) {
      memcpy(fds, data, sizeof(int) * SEPTEM_DESCRIPTORS);
      taken = true;
      continue;
    }
    for (size_t i = 0; i < count; i++) {
      int fd;
      memcpy(&fd, data + i * sizeof(int), sizeof fd);
      close(fd);
    }
  }
  return taken;
}

static void look_for_welcome(septem_lease *lease, uint64_t now_ns) {
  septem_welcome welcome;
  union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int) * 16)];
  } control;
  struct iovec part = {&welcome, sizeof welcome};
  struct msghdr message = {.msg_iov = &part,
                           .msg_iovlen = 1,
                           .msg_control = control.bytes,
                           .msg_controllen = sizeof control.bytes};
  lease->next_ns = now_ns + LOOK_FOR_WELCOME;
  ssize_t got = recvmsg(lease->socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
    if (now_ns - lease->since_ns <= PATIENCE) return;
  }
  int fds[SEPTEM_DESCRIPTORS] = {-1, -1, -1};
  bool taken = got >= 0 && take_descriptors(&message, fds);
  bool welcomed = taken && got == (ssize_t)sizeof welcome &&
                  !(message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) &&
                  welcome.magic == SEPTEM_WELCOME_MAGIC && welcome.protocol == SEPTEM_PROTOCOL &&
                  welcome.flags == 0;
  if (welcomed && septem_lease_take(lease, fds[0], fds[1], fds[2], now_ns)) return;
  if (taken && !welcomed)
    for (unsigned i = 0; i < SEPTEM_DESCRIPTORS; i++) close_fd(&fds[i]);
  septem_lease_drop(lease);
  lease->next_ns = now_ns + SECOND;
}

/* ---- memory ------------------------------------------------------------------------------- */

/* Map a memory that nobody can shrink under us: its size is fixed by its seals. Pages of another
 * size (hugetlb) may be missing when they are first touched, which kills. */
static void *map_sealed(int fd, size_t least, size_t most, int protection, size_t *size) {
  struct stat info;
  int seals = fcntl(fd, F_GET_SEALS);
  if (seals < 0 || (seals & SEPTEM_SEALS) != SEPTEM_SEALS || fstat(fd, &info) != 0) return NULL;
  if (info.st_size < (off_t)least || info.st_size > (off_t)most) return NULL;
  if (info.st_blksize != sysconf(_SC_PAGESIZE)) return NULL;
  *size = (size_t)info.st_size;
  void *memory = mmap(NULL, *size, protection, MAP_SHARED, fd, 0);
  return memory == MAP_FAILED ? NULL : memory;
}

static bool take_control(septem_lease *lease, int fd) {
  lease->control = map_sealed(fd, SEPTEM_CONTROL_BYTES(1), SEPTEM_CONTROL_BYTES(SEPTEM_MAX_WORKERS),
                              PROT_READ, &lease->control_bytes);
  const septem_control *control = lease->control;
  if (control == NULL) return false;
  /* Copied, then checked: the other side may write meanwhile. No more workers than
   * SEPTEM_MAX_WORKERS are in a memory of this size. */
  lease->workers = __atomic_load_n(&control->workers, __ATOMIC_ACQUIRE);
  lease->stale_ns = __atomic_load_n(&control->stale_ns, __ATOMIC_ACQUIRE);
  lease->credit_slots = __atomic_load_n(&control->credit_slots, __ATOMIC_ACQUIRE);
  memcpy(lease->secret, control->secret, sizeof lease->secret);
  if (!text_is_hex((text){lease->secret, sizeof lease->secret})) return false;
  return control->magic == SEPTEM_CONTROL_MAGIC && control->protocol == SEPTEM_PROTOCOL &&
         control->bytes == lease->control_bytes && lease->workers >= 1 &&
         lease->control_bytes == SEPTEM_CONTROL_BYTES(lease->workers) && lease->stale_ns >= SEPTEM_MIN_STALE_NS &&
         lease->stale_ns <= SEPTEM_MAX_STALE_NS && lease->credit_slots <= SEPTEM_MAX_CREDITS;
}

static bool take_credits(septem_lease *lease, int fd) {
  size_t wanted = SEPTEM_CREDIT_BYTES(lease->credit_slots);
  lease->credits =
      map_sealed(fd, wanted, wanted, PROT_READ | PROT_WRITE, &lease->credit_bytes);
  return lease->credits != NULL;
}

static bool take_ring(septem_lease *lease, uint64_t now_ns) {
  size_t size;
  septem_ring *ring =
      map_sealed(lease->ring_fd, SEPTEM_RING_HEADER + SEPTEM_MIN_RING,
                 SEPTEM_RING_HEADER + SEPTEM_MAX_RING, PROT_READ | PROT_WRITE, &size);
  if (ring == NULL) return false;
  if (septem_writer_open(&lease->writer, ring, size, (uint32_t)now_ns)) return true;
  munmap(ring, size);
  lease->writer.memory = NULL;
  return false;
}

static void read_epochs(const septem_lease *lease, uint64_t epochs[SEPTEM_MAX_WORKERS]) {
  for (uint32_t i = 0; i < lease->workers; i++)
    epochs[i] = __atomic_load_n(&lease->control->worker[i].epoch, __ATOMIC_ACQUIRE);
}

bool septem_lease_take(septem_lease *lease, int control, int credit, int ring, uint64_t now_ns) {
  close_fd(&lease->ring_fd); /* the sidecar has the old one, or never will */
  lease->ring_fd = ring;
  bool taken = take_control(lease, control) && take_credits(lease, credit) && take_ring(lease, now_ns);
  close(control);
  close(credit);
  if (!taken) {
    /* Nothing was written to it, and it may be anything: not handed back. */
    close_fd(&lease->ring_fd);
    return false;
  }
  read_epochs(lease, lease->epochs);
  septem_routes_copy(&lease->routes, lease->control);
  lease->state = SEPTEM_HELD;
  lease->since_ns = now_ns;
  lease->next_ns = now_ns + LOOK_AT_SOCKET;
  return true;
}

/* ---- checking ----------------------------------------------------------------------------- */

/* The other side sends nothing: a message is as good an end as an end. */
static bool is_connected(const septem_lease *lease) {
  char byte;
  ssize_t got = recv(lease->socket, &byte, 1, MSG_DONTWAIT | MSG_PEEK);
  return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
}

static bool is_fresh(const septem_lease *lease, uint64_t now_ns) {
  for (uint32_t i = 0; i < lease->workers; i++) {
    uint64_t beat = __atomic_load_n(&lease->control->worker[i].beat, __ATOMIC_ACQUIRE);
    /* A beat after `now_ns` was read is not yet one of the future. */
    if (beat > now_ns && beat > septem_clock_ns(CLOCK_MONOTONIC)) return false;
    if (beat < now_ns && now_ns - beat > lease->stale_ns) return false;
  }
  return true;
}

/* Whether nothing has changed since everything was learnt. If it has, drop it. */
static bool is_same_epoch(septem_lease *lease) {
  uint64_t epochs[SEPTEM_MAX_WORKERS];
  read_epochs(lease, epochs);
  const septem_table *table =
      (const septem_table *)(const void *)((const char *)lease->control + SEPTEM_TABLE_OFFSET);
  bool same_table = __atomic_load_n(&table->sequence, __ATOMIC_ACQUIRE) == lease->routes.sequence;
  if (same_table && memcmp(epochs, lease->epochs, lease->workers * sizeof *epochs) == 0) return true;
  forget(lease);
  memcpy(lease->epochs, epochs, lease->workers * sizeof *epochs);
  /* Where it can't be copied now its sequence stays odd, so the next request tries again. */
  if (!same_table) septem_routes_copy(&lease->routes, lease->control);
  return false;
}

enum septem_answer septem_lease_check(septem_lease *lease, uint64_t now_ns) {
  if (now_ns >= lease->next_ns) {
    if (lease->state == SEPTEM_CLOSED) {
      try_to_connect(lease, now_ns);
    } else if (lease->state == SEPTEM_WAITING) {
      look_for_welcome(lease, now_ns);
    } else if (!is_connected(lease)) {
      septem_lease_drop(lease);
      lease->next_ns = now_ns + SECOND;
    } else {
      lease->next_ns = now_ns + LOOK_AT_SOCKET;
    }
  }
  if (lease->state != SEPTEM_HELD) return SEPTEM_NO_LEASE;
  if (!is_fresh(lease, now_ns)) {
    /* A frozen sidecar may come back; but another one may have its place by now. */
    if (now_ns > lease->since_ns && now_ns - lease->since_ns > PATIENCE) {
      septem_lease_drop(lease);
      lease->next_ns = now_ns;
    }
    return SEPTEM_NO_LEASE;
  }
  lease->since_ns = now_ns;
  return is_same_epoch(lease) ? SEPTEM_YES : SEPTEM_NEW_EPOCH;
}

bool septem_lease_spend(septem_lease *lease, uint32_t slot) {
  if (slot == SEPTEM_NO_CREDIT) return true;
  if (slot >= lease->credit_slots) return false;
  septem_credit *credit = &lease->credits[slot];
  uint64_t spent = __atomic_load_n(&credit->spent, __ATOMIC_RELAXED);
  for (int tries = 0; tries < 64; tries++) {
    if (spent >= __atomic_load_n(&credit->granted, __ATOMIC_ACQUIRE)) return false;
    if (__atomic_compare_exchange_n(&credit->spent, &spent, spent + 1, false, __ATOMIC_RELAXED,
                                    __ATOMIC_RELAXED))
      return true;
  }
  return false;
}

void septem_lease_count(septem_lease *lease, enum septem_count what) {
  if (lease->writer.memory == NULL) return;
  uint64_t *count = &lease->writer.memory->count[what];
  __atomic_store_n(count, __atomic_load_n(count, __ATOMIC_RELAXED) + 1, __ATOMIC_RELAXED);
}

bool septem_lease_vouches(const septem_lease *lease, const septem_payload *payload) {
  unsigned char differs = 0;
  if (lease->state != SEPTEM_HELD || payload->secret.length != SEPTEM_SECRET_BYTES) return false;
  for (unsigned i = 0; i < SEPTEM_SECRET_BYTES; i++)
    differs |= (unsigned char)(payload->secret.at[i] ^ lease->secret[i]);
  return differs == 0 && payload->worker < lease->workers &&
         payload->epoch == lease->epochs[payload->worker] &&
         (payload->credit == SEPTEM_NO_CREDIT || payload->credit < lease->credit_slots);
}

bool septem_lease_common(const septem_lease *lease, septem_payload *payload,
                         char space[SEPTEM_MAX_PAYLOAD]) {
  septem_place place = payload->place;
  if (place.length > SEPTEM_MAX_PAYLOAD ||
      place.offset > SEPTEM_COMMON_BYTES - place.length)
    return false;
  const char *area = (const char *)lease->control + SEPTEM_COMMON_OFFSET +
                     (size_t)payload->worker * SEPTEM_COMMON_BYTES;
  memcpy(space, area + place.offset, place.length);
  if (septem_crc32(0, space, place.length) != place.crc) return false;
  payload->common = (text){space, place.length};
  return true;
}
