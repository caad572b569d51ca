/*
 * Memory. Out of memory aborts the process (the supervisor restarts it, the bus redelivers), so
 * none of these returns NULL. Layer 0.
 */
#ifndef COMMON_MEM_H
#define COMMON_MEM_H

#include "common/base.h"

/* Zeroed memory; caller frees with free(). size 0 gives a valid pointer. */
void *mem_alloc(size_t size) WARN_UNUSED;

/* n * size zeroed bytes; aborts on overflow. */
void *mem_calloc(size_t n, size_t size) WARN_UNUSED;

/* realloc that aborts; new bytes are not zeroed. */
void *mem_realloc(void *p, size_t size) WARN_UNUSED;

/* A copy of len bytes, with a NUL behind that is not counted. */
void *mem_dup(const void *data, size_t len) WARN_UNUSED;

/* A copy of s; NULL gives NULL. */
char *mem_strdup(const char *s) WARN_UNUSED;

/* printf into new memory. */
char *mem_printf(const char *fmt, ...) PRINTF_LIKE(1, 2) WARN_UNUSED;

/* At the very start: dozens of threads share a few heaps, in place of each getting its own. */
void mem_start(void);
/*
 * After starting: lets go of the memory that only starting needed, which is most of what a stage
 * holds while nothing happens: freed heap, and pages of code, ours and the libraries', which come
 * back from the page cache when they are used. Any thread; under a millisecond.
 */
void mem_settle(void);

/*
 * A bump allocator with a ceiling, for unpacking one message or one batch: hostile input that
 * expands in memory meets the ceiling, not the machine. Zero-initialised is valid with the default
 * ceiling. One thread.
 */
struct arena {
	struct arena_block *blocks;
	size_t used_bytes;
	size_t limit_bytes; /* 0: ARENA_DEFAULT_LIMIT_BYTES */
};

enum { ARENA_DEFAULT_LIMIT_BYTES = 16 << 20 };

#define auto_arena __attribute__((cleanup(arena_release))) struct arena

/* Zeroed, 16-byte aligned; NULL when the ceiling would be passed (the caller refuses the input). */
void *arena_alloc(struct arena *a, size_t size);
char *arena_strdup(struct arena *a, const char *s);
char *arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Frees nothing but the excess: keeps one block for the next batch. All pointers into it die. */
void arena_reset(struct arena *a);
/* Frees everything; the arena is zeroed and usable again. */
void arena_release(struct arena *a);

#endif
