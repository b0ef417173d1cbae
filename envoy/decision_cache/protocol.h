/* The contract between the module in Envoy and the sidecar's lease server, version 3.
 *
 * Everything that crosses from one process into the other is declared here and nowhere else:
 * shared memory, handshake, payload, audit line. docs/decision-cache-protocol.md explains it.
 *
 * All integers are little-endian and naturally aligned. Every 8-byte word has one writer, but
 * for `spent`, which is only ever changed by an atomic compare-and-swap. All clocks of shared
 * memory are CLOCK_MONOTONIC in nanoseconds; all times of a payload are CLOCK_REALTIME in
 * milliseconds since 1970.
 */
#ifndef SEPTEM_PROTOCOL_H
#define SEPTEM_PROTOCOL_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the shared memory is little-endian");

#define SEPTEM_PROTOCOL 3u

/* Eight ASCII bytes each, as they stand in memory. */
#define SEPTEM_CONTROL_MAGIC 0x43444d4554504553ull /* "SEPTEMDC" */
#define SEPTEM_RING_MAGIC 0x47524d4554504553ull    /* "SEPTEMRG" */
#define SEPTEM_HELLO_MAGIC 0x49484d4554504553ull   /* "SEPTEMHI" */
#define SEPTEM_WELCOME_MAGIC 0x4b4f4d4554504553ull /* "SEPTEMOK" */

/* ---- control memory: written by the sidecar, mapped read-only by the module ---------------- */

#define SEPTEM_MAX_WORKERS 16u
#define SEPTEM_SECRET_BYTES 32u
#define SEPTEM_MAX_ROWS 1024u
#define SEPTEM_POOL_BYTES 131072u
#define SEPTEM_TABLE_OFFSET 4096u
#define SEPTEM_ROWS_OFFSET 4160u
#define SEPTEM_POOL_OFFSET 40960u
#define SEPTEM_COMMON_OFFSET 172032u
#define SEPTEM_COMMON_BYTES 131072u
/* The memory's size, by the number of workers: each has an area of common parts of its own. */
#define SEPTEM_CONTROL_BYTES(workers) \
  (SEPTEM_COMMON_OFFSET + (size_t)(workers) * SEPTEM_COMMON_BYTES)
#define SEPTEM_MIN_STALE_NS 50000000ull
#define SEPTEM_MAX_STALE_NS 5000000000ull

typedef struct {
  uint64_t epoch; /* raised after every change that may change a decision; never falls */
  uint64_t beat;  /* CLOCK_MONOTONIC, by the loop that applies revocations; 0: not yet */
  uint64_t reserved[6];
} septem_worker_word;

typedef struct {
  uint64_t magic;    /* 0: SEPTEM_CONTROL_MAGIC */
  uint32_t protocol; /* 8: SEPTEM_PROTOCOL */
  uint32_t workers;  /* 12: 1..SEPTEM_MAX_WORKERS; constant for the life of the memory */
  uint64_t bytes;    /* 16: SEPTEM_CONTROL_BYTES(workers) */
  uint64_t stale_ns; /* 24: a beat older than this ends every lease */
  char secret[SEPTEM_SECRET_BYTES]; /* 32: hex digits; every payload begins with them */
  uint32_t credit_slots;            /* 64: slots of the credit memory, 0..SEPTEM_MAX_CREDITS */
  uint32_t reserved0;               /* 68 */
  uint64_t reserved1[7];            /* 72 */
  septem_worker_word worker[SEPTEM_MAX_WORKERS]; /* 128, 64 bytes each */
} septem_control;

static_assert(offsetof(septem_control, secret) == 32, "layout");
static_assert(offsetof(septem_control, credit_slots) == 64, "layout");
static_assert(offsetof(septem_control, worker) == 128, "layout");
static_assert(sizeof(septem_worker_word) == 64, "layout");
static_assert(sizeof(septem_control) <= SEPTEM_TABLE_OFFSET, "layout");

/* The route table: a seqlock with a checksum. */
typedef struct {
  uint64_t sequence;  /* +0: odd while it is written; grows by two with every change */
  uint32_t rows;      /* +8: 0..SEPTEM_MAX_ROWS; 0: nothing is repeated */
  uint32_t pool_used; /* +12: 0..SEPTEM_POOL_BYTES */
  uint32_t crc;       /* +16: zlib's crc32 of the used rows, continued over the used pool */
  uint32_t reserved0; /* +20 */
  uint64_t reserved1[5];
} septem_table;

static_assert(sizeof(septem_table) == 64, "layout");
static_assert(SEPTEM_ROWS_OFFSET == SEPTEM_TABLE_OFFSET + sizeof(septem_table), "layout");

enum septem_host_kind {
  SEPTEM_HOST_ANY = 0,    /* `*`; host_length is 0 */
  SEPTEM_HOST_EXACT = 1,  /* a name, lower case */
  SEPTEM_HOST_SUFFIX = 2, /* `*.example.com`, stored as `.example.com`: any depth below it */
};

enum septem_path_kind {
  SEPTEM_PATH_EXACT = 1,  /* the path is equal */
  SEPTEM_PATH_PREFIX = 2, /* whole segments; stored without slashes at its end (`/` is empty) */
};

enum septem_method {
  SEPTEM_GET = 1,
  SEPTEM_HEAD = 2,
  SEPTEM_POST = 4,
  SEPTEM_PUT = 8,
  SEPTEM_PATCH = 16,
  SEPTEM_DELETE = 32,
  SEPTEM_ALL_METHODS = 63, /* every other method is asked for, on every route */
};

enum septem_row_flag {
  SEPTEM_ASK = 1,           /* nothing of this route is repeated; it stands here for the order */
  SEPTEM_ASK_ORIGIN = 2,    /* requests with an Origin are asked for */
  SEPTEM_ASK_COOKIE = 4,    /* requests with a Cookie are asked for */
  SEPTEM_BODY_REPEATS = 8,  /* requests with a body may be repeated; without it they ask */
  SEPTEM_QUERY_REPEATS = 16 /* requests with a query may be repeated; without it they ask */
};
#define SEPTEM_ROW_FLAGS 31u

typedef struct {
  uint32_t scope;       /* +0: what an answer is learnt for; one number per route of the settings,
                         * of at most 16 bits */
  uint32_t flags;       /* +4: septem_row_flag */
  uint16_t methods;     /* +8: septem_method */
  uint8_t host_kind;    /* +10 */
  uint8_t path_kind;    /* +11 */
  uint32_t host_offset; /* +12: into the pool */
  uint16_t host_length; /* +16 */
  uint16_t path_length; /* +18: the canonical path as configured */
  uint32_t path_offset; /* +20 */
  uint32_t fold_offset; /* +24: what `sidecar.authz.lenient.fold` makes of that path */
  uint16_t fold_length; /* +28 */
  uint16_t reserved;    /* +30 */
} septem_row;

static_assert(sizeof(septem_row) == 32, "layout");
static_assert(SEPTEM_ROWS_OFFSET + SEPTEM_MAX_ROWS * sizeof(septem_row) <= SEPTEM_POOL_OFFSET,
              "layout");
static_assert(SEPTEM_POOL_OFFSET + SEPTEM_POOL_BYTES == SEPTEM_COMMON_OFFSET, "layout");

/* ---- credit memory: one for all Envoys of a sidecar ---------------------------------------- */

#define SEPTEM_MAX_CREDITS 4096u
#define SEPTEM_CREDIT_STRIDE 128u
#define SEPTEM_NO_CREDIT 0xffffffffu /* a payload that no limit counts */

typedef struct {
  uint64_t granted; /* +0: by the sidecar; never falls while the slot belongs to one tenant */
  uint64_t reserved0[7];
  uint64_t spent; /* +64: by the modules; never above granted */
  uint64_t reserved1[7];
} septem_credit;

static_assert(sizeof(septem_credit) == SEPTEM_CREDIT_STRIDE, "layout");
static_assert(offsetof(septem_credit, spent) == 64, "layout");
/* The memory's size is credit_slots * SEPTEM_CREDIT_STRIDE, at least 4096, in whole pages of 4096. */
#define SEPTEM_CREDIT_BYTES(slots) \
  ((slots) == 0 ? (size_t)4096 : ((size_t)(slots) * SEPTEM_CREDIT_STRIDE + 4095) / 4096 * 4096)

/* ---- ring memory: one for each worker thread of each Envoy --------------------------------- */

#define SEPTEM_RING_HEADER 4096u
#define SEPTEM_MIN_RING 65536u
#define SEPTEM_MAX_RING 16777216u
#define SEPTEM_RING_ID 12u
#define SEPTEM_MAX_LINE 4096u /* an audit line with its line feed is never longer */

/* Written by the module, read by the sidecar: how many requests went which way. */
enum septem_count {
  SEPTEM_REPEATED = 0,
  SEPTEM_LEARNT = 1,
  SEPTEM_NOT_LEARNT = 2,   /* a payload that is malformed, of another epoch, or too large */
  SEPTEM_ASKED_LEASE = 8,  /* no lease: no connection, a stale or future beat */
  SEPTEM_ASKED_EPOCH = 9,  /* the epoch or the route table has just changed */
  SEPTEM_ASKED_KIND = 10,  /* a request of a kind that is never repeated */
  SEPTEM_ASKED_ROUTE = 11, /* no route, a route that asks, a path of two readings */
  SEPTEM_ASKED_MISS = 12,  /* no such answer is remembered */
  SEPTEM_ASKED_ENDED = 13, /* the answer's time is over */
  SEPTEM_ASKED_CREDIT = 14,
  SEPTEM_ASKED_RING = 15, /* the ring is full, or the line too long */
  SEPTEM_ENTRIES = 24,    /* a gauge: answers remembered */
  SEPTEM_BYTES = 25,      /* a gauge: the bytes they take, their tokens included */
  SEPTEM_EVICTED = 26,    /* answers dropped for want of space */
  SEPTEM_COUNTS = 64,
};

typedef struct {
  uint64_t magic;           /* 0: SEPTEM_RING_MAGIC */
  uint32_t protocol;        /* 8 */
  uint32_t header;          /* 12: SEPTEM_RING_HEADER */
  uint64_t bytes;           /* 16: of data; a power of two */
  char id[SEPTEM_RING_ID];  /* 24: lower-case hex digits, random: of no other ring, ever */
  uint32_t reserved0;       /* 36 */
  uint64_t reserved1[3];    /* 40 */
  uint64_t head;            /* 64: by the module: bytes written since the ring was made */
  uint64_t reserved2[7];    /* 72 */
  uint64_t tail;            /* 128: by the sidecar: bytes read */
  uint64_t reserved3[15];   /* 136 */
  uint64_t count[SEPTEM_COUNTS]; /* 256: septem_count */
} septem_ring;

static_assert(offsetof(septem_ring, id) == 24, "layout");
static_assert(offsetof(septem_ring, head) == 64, "layout");
static_assert(offsetof(septem_ring, tail) == 128, "layout");
static_assert(offsetof(septem_ring, count) == 256, "layout");
static_assert(sizeof(septem_ring) <= SEPTEM_RING_HEADER, "layout");

/* ---- handshake: one SOCK_SEQPACKET connection for each worker thread of each Envoy ---------- */

#define SEPTEM_HAS_OLD_RING 1u

typedef struct {
  uint64_t magic;    /* 0: SEPTEM_HELLO_MAGIC */
  uint32_t protocol; /* 8 */
  uint32_t flags;    /* 12: SEPTEM_HAS_OLD_RING: one descriptor is attached */
  uint32_t pid;      /* 16: for the log alone */
  uint32_t reserved0;
  char version[32]; /* 24: the module's version, NUL-padded */
  uint64_t reserved1;
} septem_hello;

typedef struct {
  uint64_t magic;    /* 0: SEPTEM_WELCOME_MAGIC */
  uint32_t protocol; /* 8 */
  uint32_t flags;    /* 12: 0 */
  uint64_t reserved[6];
} septem_welcome; /* with exactly three descriptors: control, credit, ring */

static_assert(sizeof(septem_hello) == 64, "layout");
static_assert(sizeof(septem_welcome) == 64, "layout");
#define SEPTEM_DESCRIPTORS 3u

/* Seals that each of the three memories must have (fcntl F_GET_SEALS). */
#define SEPTEM_SEALS (0x0001 | 0x0002 | 0x0004) /* F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW */

/* ---- payload: what an answer of ext_authz carries to be remembered -------------------------- */

#define SEPTEM_PAYLOAD_NAMESPACE "envoy.filters.http.ext_authz"
#define SEPTEM_PAYLOAD_KEY "septem_decision_cache"
#define SEPTEM_PAYLOAD_VERSION "1"
#define SEPTEM_MAX_PAYLOAD 8192u
#define SEPTEM_MAX_RECORDS 192u
#define SEPTEM_MAX_SLOTS 16u
#define SEPTEM_MAX_NAME 128u

#define SEPTEM_GROUP '\x1d'  /* between head, common and own */
#define SEPTEM_RECORD '\x1e' /* between the records of common */
#define SEPTEM_UNIT '\x1f'   /* between the fields of a record, the values of own, of head */
#define SEPTEM_INSERT '\x1a' /* followed by one byte that names what is inserted */
#define SEPTEM_PLACED '@'     /* a common part that begins with it is a place in shared memory */

/* ---- what a repeated request shows in Envoy -------------------------------------------------- */

#define SEPTEM_OWN_NAMESPACE "septem.decision_cache"
#define SEPTEM_REPEATED_KEY "repeated"       /* "1", and only where ext_authz is to be skipped */
#define SEPTEM_DECISION_ID_KEY "decision_id" /* twenty hex digits, as in the audit line */

#endif
