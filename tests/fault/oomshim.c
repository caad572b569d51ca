/*
 * LD_PRELOAD: makes allocations fail, without the program's knowledge.
 *   OOM_AT=N       the Nth allocation fails, once
 *   OOM_FROM=N     the Nth and every later one
 *   OOM_ARM=FILE   counting begins when FILE exists (looked at every 256 allocations); without it,
 *                  at the start
 *   OOM_COUNT=FILE the count is written there at exit
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* dlsym itself allocates before we know the real calloc. */
static char boot[1 << 16] __attribute__((aligned(16)));
static size_t boot_used;
static void *(*real_malloc)(size_t);
static void *(*real_calloc)(size_t, size_t);
static void *(*real_realloc)(void *, size_t);
static void (*real_free)(void *);
static long fail_at, fail_from, calls, count;
static const char *arm_file;
static bool armed, ready;

static long number(const char *name)
{
	const char *text = getenv(name);
	return text ? strtol(text, NULL, 10) : 0;
}

/* At the first call, which may come before any constructor; dlsym's own calls get boot memory. */
static void begin(void)
{
	static bool begun;
	if (begun)
		return;
	begun = true;
	real_malloc = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
	real_calloc = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "calloc");
	real_realloc = (void *(*)(void *, size_t))dlsym(RTLD_NEXT, "realloc");
	real_free = (void (*)(void *))dlsym(RTLD_NEXT, "free");
	fail_at = number("OOM_AT");
	fail_from = number("OOM_FROM");
	arm_file = getenv("OOM_ARM");
	armed = !arm_file;
	ready = true;
}

__attribute__((destructor)) static void end(void)
{
	const char *path = getenv("OOM_COUNT");
	FILE *f = path ? fopen(path, "w") : NULL;
	if (!f)
		return;
	fprintf(f, "%ld\n", count);
	fclose(f);
}

static bool fails(void)
{
	int kept = errno;
	if (!ready)
		return false;
	if (!armed) {
		if (__atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED) % 256 == 0)
			armed = access(arm_file, F_OK) == 0;
		errno = kept;
		return false;
	}
	long n = __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED);
	if (n != fail_at && (fail_from == 0 || n < fail_from))
		return false;
	errno = ENOMEM;
	return true;
}

static void *boot_take(size_t bytes)
{
	void *p = boot + boot_used;
	boot_used += (bytes + 15) & ~(size_t)15;
	if (boot_used > sizeof(boot))
		abort();
	return p;
}

static bool from_boot(const void *p)
{
	return (const char *)p >= boot && (const char *)p < boot + sizeof(boot);
}

void *malloc(size_t bytes)
{
	begin();
	if (!ready)
		return boot_take(bytes);
	return fails() ? NULL : real_malloc(bytes);
}

void *calloc(size_t n, size_t bytes)
{
	begin();
	if (!ready)
		return boot_take(n * bytes);
	return fails() ? NULL : real_calloc(n, bytes);
}

void *realloc(void *p, size_t bytes)
{
	begin();
	if (from_boot(p) || !ready) {
		void *moved = malloc(bytes);
		size_t most = p ? (size_t)(boot + sizeof(boot) - (char *)p) : 0;
		if (moved && p)
			memcpy(moved, p, bytes < most ? bytes : most);
		return moved;
	}
	return fails() ? NULL : real_realloc(p, bytes);
}

void free(void *p)
{
	if (p && !from_boot(p) && ready)
		real_free(p);
}
