#include "common/mem.h"

#include <link.h>
#include <malloc.h>
#include <sys/mman.h>

enum {
	BLOCK_FIRST_BYTES = 4096,
	BLOCK_MAX_BYTES = 1 << 20,
	ALIGN_BYTES = 16,
	HEAP_STEP_BYTES = 256 << 10,
	HEAPS_MAX = 4,
};

struct arena_block {
	struct arena_block *next;
	size_t used;
	size_t cap;
	_Alignas(ALIGN_BYTES) unsigned char data[];
};

static void *checked(void *p)
{
	if (!p) {
		static const char text[] = "healbus: out of memory\n";
		ssize_t ignored UNUSED = write(STDERR_FILENO, text, sizeof text - 1);

		abort();
	}
	return p;
}

void *mem_alloc(size_t size)
{
	return checked(calloc(1, size ? size : 1));
}

void *mem_calloc(size_t n, size_t size)
{
	if (n == 0 || size == 0)
		return mem_alloc(0);
	return checked(calloc(n, size));
}

void *mem_realloc(void *p, size_t size)
{
	return checked(realloc(p, size ? size : 1));
}

void *mem_dup(const void *data, size_t len)
{
	char *copy = checked(malloc(len + 1));

	if (len)
		memcpy(copy, data, len);
	copy[len] = '\0';
	return copy;
}

char *mem_strdup(const char *s)
{
	return s ? mem_dup(s, strlen(s)) : NULL;
}

char *mem_printf(const char *fmt, ...)
{
	va_list args;
	char *out = NULL;
	int n;

	va_start(args, fmt);
	n = vasprintf(&out, fmt, args);
	va_end(args);
	return checked(n < 0 ? NULL : out);
}

/* The newest block comes first and is the only one with room worth looking at. */
static struct arena_block *block_add(struct arena *a, size_t size)
{
	size_t cap = a->blocks ? a->blocks->cap * 2 : BLOCK_FIRST_BYTES;
	struct arena_block *block;

	cap = MAX(MIN(cap, (size_t)BLOCK_MAX_BYTES), size);
	block = checked(malloc(sizeof *block + cap));
	block->next = a->blocks;
	block->used = 0;
	block->cap = cap;
	a->blocks = block;
	return block;
}

void *arena_alloc(struct arena *a, size_t size)
{
	size_t limit = a->limit_bytes ? a->limit_bytes : ARENA_DEFAULT_LIMIT_BYTES;
	struct arena_block *block = a->blocks;
	void *out;

	if (size > SIZE_MAX / 2)
		return NULL;
	size = (MAX(size, (size_t)1) + ALIGN_BYTES - 1) & ~(size_t)(ALIGN_BYTES - 1);
	if (a->used_bytes > limit || size > limit - a->used_bytes)
		return NULL;
	if (!block || size > block->cap - block->used)
		block = block_add(a, size);
	out = block->data + block->used;
	block->used += size;
	a->used_bytes += size;
	return memset(out, 0, size);
}

char *arena_strdup(struct arena *a, const char *s)
{
	size_t bytes = s ? strlen(s) + 1 : 0;
	char *out = s ? arena_alloc(a, bytes) : NULL;

	return out ? memcpy(out, s, bytes) : NULL;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list args;
	va_list again;
	char *out = NULL;
	int n;

	va_start(args, fmt);
	va_copy(again, args);
	n = vsnprintf(NULL, 0, fmt, args);
	if (n >= 0)
		out = arena_alloc(a, (size_t)n + 1);
	if (out)
		(void)vsnprintf(out, (size_t)n + 1, fmt, again);
	va_end(again);
	va_end(args);
	return out;
}

static void blocks_free(struct arena_block *block)
{
	while (block) {
		struct arena_block *next = block->next;

		free(block);
		block = next;
	}
}

void arena_reset(struct arena *a)
{
	struct arena_block *keep = a->blocks;

	a->used_bytes = 0;
	if (!keep)
		return;
	/* One huge message must not be paid for until the process ends. */
	if (keep->cap > BLOCK_MAX_BYTES) {
		blocks_free(keep);
		a->blocks = NULL;
		return;
	}
	blocks_free(keep->next);
	keep->next = NULL;
	keep->used = 0;
}

void arena_release(struct arena *a)
{
	blocks_free(a->blocks);
	*a = (struct arena){0};
}

void mem_start(void)
{
	mallopt(M_ARENA_MAX, HEAPS_MAX);
	/* Heaps grow and shrink in steps that are worth a system call. */
	mallopt(M_TOP_PAD, HEAP_STEP_BYTES);
	mallopt(M_TRIM_THRESHOLD, 4 * HEAP_STEP_BYTES);
}

/* Segments that cannot be written hold what is in their file and nothing else. */
static int code_let_go(struct dl_phdr_info *info, size_t size, void *ctx)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

	(void)size, (void)ctx;
	for (size_t i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		uintptr_t start = info->dlpi_addr + p->p_vaddr;
		uintptr_t end = (start + p->p_memsz) & ~(page - 1);

		start = (start + page - 1) & ~(page - 1);
		if (p->p_type == PT_LOAD && !(p->p_flags & PF_W) && end > start)
			(void)madvise((void *)start, end - start, MADV_DONTNEED);
	}
	return 0;
}

void mem_settle(void)
{
	malloc_trim(0);
	dl_iterate_phdr(code_let_go, NULL);
}
