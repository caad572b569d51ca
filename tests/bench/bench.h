/*
 * What the programs of the benchmark share. They link nothing of healbus: what measures it must not
 * be built from it. Times are nanoseconds of CLOCK_REALTIME, since stamps cross processes.
 */
#ifndef TESTS_BENCH_BENCH_H
#define TESTS_BENCH_BENCH_H

#include "common/base.h"

#include <sys/resource.h>

enum {
	STAMP_DIGITS = 19, /* of a time in an event, so that every body keeps its length */
};

static inline uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Seconds of user and system time; who as for getrusage. */
static inline double cpu_s(int who)
{
	struct rusage r;
	getrusage(who, &r);
	return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
	       (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

/* Says what cannot go on, and ends the program with 1. */
__attribute__((noreturn)) PRINTF_LIKE(1, 2) static inline void die(const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

/* A whole number of an option, at least min; else the program ends with 64. */
static inline uint64_t option_number(const char *text, uint64_t min)
{
	char *end = NULL;
	errno = 0;
	unsigned long long n = strtoull(text, &end, 10);
	if (errno || end == text || *end || *text == '-' || n < min) {
		fprintf(stderr, "not a number of %" PRIu64 " or more: %s\n", min, text);
		exit(64);
	}
	return n;
}

static inline double option_real(const char *text)
{
	char *end = NULL;
	double x = strtod(text, &end);
	if (end == text || *end || !(x >= 0)) {
		fprintf(stderr, "not a number: %s\n", text);
		exit(64);
	}
	return x;
}

static inline void *must(void *p)
{
	if (!p)
		die("out of memory");
	return p;
}

/* ---- samples of a duration, and their percentiles ---- */

struct samples {
	uint64_t *ns;
	size_t n;
	size_t cap;
};

static inline void sample_add(struct samples *s, uint64_t ns)
{
	if (s->n == s->cap) {
		s->cap = s->cap ? 2 * s->cap : 1 << 16;
		s->ns = must(realloc(s->ns, s->cap * sizeof(*s->ns)));
	}
	s->ns[s->n++] = ns;
}

static inline int sample_order(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

static inline void samples_sort(struct samples *s)
{
	if (s->n)
		qsort(s->ns, s->n, sizeof(*s->ns), sample_order);
}

/* Microseconds; q from 0 to 1; 0 without samples. Sorted before. */
static inline double sample_us(const struct samples *s, double q)
{
	return s->n ? (double)s->ns[(size_t)((double)(s->n - 1) * q)] / 1e3 : 0;
}

/* p50_us=.. p90_us=.. p99_us=.. p999_us=.. max_us=.., no newline. Sorts. */
static inline void samples_print(struct samples *s)
{
	samples_sort(s);
	printf("p50_us=%.1f p90_us=%.1f p99_us=%.1f p999_us=%.1f max_us=%.1f", sample_us(s, .5),
	       sample_us(s, .9), sample_us(s, .99), sample_us(s, .999), sample_us(s, 1));
}

#endif
