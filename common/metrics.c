#include "common/metrics.h"

#include <dirent.h>
#include <math.h>
#include <pthread.h>
#include <sys/resource.h>

#include "common/mem.h"

static const double seconds_buckets[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
					 0.5,   1,      2.5,   5,    10,    30,   60,  300};

struct metric_series {
	struct metric_series *next;
	char *values[METRIC_LABELS_MAX];
	uint64_t bits;  /* the double: value, or sum of a histogram */
	uint64_t count; /* histogram */
	uint64_t buckets[METRIC_BUCKETS_MAX];
};

/* Guards the list of metrics and the adding of series; updates and look-ups are lock-free. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct metric *metrics;

static double double_of(uint64_t bits)
{
	double d;

	memcpy(&d, &bits, sizeof(d));
	return d;
}

static uint64_t bits_of(double d)
{
	uint64_t bits;

	memcpy(&bits, &d, sizeof(bits));
	return bits;
}

static void double_add(uint64_t *bits, double v)
{
	uint64_t old = __atomic_load_n(bits, __ATOMIC_RELAXED);

	while (!__atomic_compare_exchange_n(bits, &old, bits_of(double_of(old) + v), true,
					    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

static size_t label_count(const struct metric *m)
{
	size_t n = 0;

	while (n < METRIC_LABELS_MAX && m->labels[n])
		n++;
	return n;
}

static const double *buckets_of(const struct metric *m, size_t *out_n)
{
	*out_n = m->buckets ? MIN(m->n_buckets, (size_t)METRIC_BUCKETS_MAX)
			    : ARRAY_SIZE(seconds_buckets);
	return m->buckets ? m->buckets : seconds_buckets;
}

static struct metric_series *series_find(struct metric *m, const char *const *values, size_t n)
{
	struct metric_series *s = __atomic_load_n(&m->series, __ATOMIC_ACQUIRE);

	for (; s; s = s->next) {
		size_t i = 0;

		while (i < n && str_eq(s->values[i], values[i]))
			i++;
		if (i == n)
			return s;
	}
	return NULL;
}

static size_t series_count(const struct metric *m)
{
	size_t n = 0;

	for (const struct metric_series *s = m->series; s; s = s->next)
		n++;
	return n;
}

/* With the lock held. */
static struct metric_series *series_add(struct metric *m, const char *const *values, size_t n)
{
	static const char *const other[METRIC_LABELS_MAX] = {"other", "other", "other"};

	if (!m->registered) {
		m->registered = true;
		m->next = metrics;
		metrics = m;
	}
	if (n > 0 && series_count(m) >= METRIC_SERIES_MAX - 1)
		values = other;
	struct metric_series *s = series_find(m, values, n);
	if (s)
		return s;
	s = mem_alloc(sizeof(*s));
	for (size_t i = 0; i < n; i++)
		s->values[i] = mem_strdup(values[i]);
	s->next = m->series;
	__atomic_store_n(&m->series, s, __ATOMIC_RELEASE);
	return s;
}

static struct metric_series *series_of(struct metric *m, const char *const *values)
{
	size_t n = label_count(m);

	for (size_t i = 0; i < n; i++)
		assert(values[i]);
	struct metric_series *s = series_find(m, values, n);
	if (s)
		return s;
	pthread_mutex_lock(&lock);
	s = series_add(m, values, n);
	pthread_mutex_unlock(&lock);
	return s;
}

void metric_add_values(struct metric *m, double v, const char *const *values)
{
	double_add(&series_of(m, values)->bits, v);
}

void metric_set_values(struct metric *m, double v, const char *const *values)
{
	__atomic_store_n(&series_of(m, values)->bits, bits_of(v), __ATOMIC_RELAXED);
}

void metric_observe_values(struct metric *m, double v, const char *const *values)
{
	struct metric_series *s = series_of(m, values);
	size_t n, i = 0;
	const double *bounds = buckets_of(m, &n);

	while (i < n && v > bounds[i])
		i++;
	if (i < n)
		__atomic_fetch_add(&s->buckets[i], 1, __ATOMIC_RELAXED);
	double_add(&s->bits, v);
	__atomic_fetch_add(&s->count, 1, __ATOMIC_RELAXED);
}

double metric_total(struct metric *m)
{
	double sum = 0;

	for (struct metric_series *s = __atomic_load_n(&m->series, __ATOMIC_ACQUIRE); s;
	     s = s->next)
		sum += double_of(__atomic_load_n(&s->bits, __ATOMIC_RELAXED));
	return sum;
}

/* ---- rendering ---- */

static void add_escaped(struct buf *out, const char *s, bool quotes)
{
	for (; *s; s++) {
		if (*s == '\n')
			buf_add_str(out, "\\n");
		else if (*s == '\\')
			buf_add_str(out, "\\\\");
		else if (*s == '"' && quotes)
			buf_add_str(out, "\\\"");
		else
			buf_add_char(out, *s);
	}
}

static void add_number(struct buf *out, double v)
{
	if (isnan(v))
		buf_add_str(out, "NaN");
	else if (isinf(v))
		buf_add_str(out, v > 0 ? "+Inf" : "-Inf");
	else if (v == floor(v) && fabs(v) < 1e15)
		buf_printf(out, "%.0f", v);
	else
		buf_printf(out, "%.10g", v);
}

static void add_labels(struct buf *out, const struct metric *m, const struct metric_series *s,
		       const char *le)
{
	size_t n = label_count(m);

	if (n == 0 && !le)
		return;
	buf_add_char(out, '{');
	for (size_t i = 0; i < n; i++) {
		buf_printf(out, "%s%s=\"", i ? "," : "", m->labels[i]);
		add_escaped(out, s->values[i], true);
		buf_add_char(out, '"');
	}
	if (le)
		buf_printf(out, "%sle=\"%s\"", n ? "," : "", le);
	buf_add_char(out, '}');
}

static void add_sample(struct buf *out, const struct metric *m, const struct metric_series *s,
		       double v)
{
	buf_add_str(out, m->name);
	add_labels(out, m, s, NULL);
	buf_add_char(out, ' ');
	add_number(out, v);
	buf_add_char(out, '\n');
}

static void add_bucket(struct buf *out, const struct metric *m, const struct metric_series *s,
		       double bound, uint64_t count)
{
	auto_buf le = {0};

	add_number(&le, bound);
	buf_printf(out, "%s_bucket", m->name);
	add_labels(out, m, s, buf_str(&le));
	buf_printf(out, " %" PRIu64 "\n", count);
}

static void add_histogram(struct buf *out, const struct metric *m, const struct metric_series *s)
{
	size_t n;
	const double *bounds = buckets_of(m, &n);
	uint64_t sum = 0;
	/* Read first: an observation between the reads must not make a bucket exceed the count. */
	uint64_t counts[METRIC_BUCKETS_MAX];

	for (size_t i = 0; i < n; i++)
		counts[i] = __atomic_load_n(&s->buckets[i], __ATOMIC_RELAXED);
	uint64_t count = __atomic_load_n(&s->count, __ATOMIC_RELAXED);
	for (size_t i = 0; i < n; i++) {
		sum += counts[i];
		add_bucket(out, m, s, bounds[i], sum);
	}
	count = MAX(count, sum);
	add_bucket(out, m, s, INFINITY, count);
	buf_printf(out, "%s_sum", m->name);
	add_labels(out, m, s, NULL);
	buf_add_char(out, ' ');
	add_number(out, double_of(__atomic_load_n(&s->bits, __ATOMIC_RELAXED)));
	buf_printf(out, "\n%s_count", m->name);
	add_labels(out, m, s, NULL);
	buf_printf(out, " %" PRIu64 "\n", count);
}

static int series_compare(const void *a, const void *b)
{
	const struct metric_series *x = *(struct metric_series *const *)a;
	const struct metric_series *y = *(struct metric_series *const *)b;
	int order = 0;

	for (size_t i = 0; order == 0 && i < METRIC_LABELS_MAX && x->values[i]; i++)
		order = strcmp(x->values[i], y->values[i]);
	return order;
}

static void add_metric(struct buf *out, const struct metric *m)
{
	static const char *const types[] = {"counter", "gauge", "histogram"};
	struct metric_series *sorted[METRIC_SERIES_MAX] = {NULL};
	size_t n = 0;

	buf_printf(out, "# HELP %s ", m->name);
	add_escaped(out, m->help, false);
	buf_printf(out, "\n# TYPE %s %s\n", m->name, types[m->type]);
	for (struct metric_series *s = m->series; s && n < ARRAY_SIZE(sorted); s = s->next)
		sorted[n++] = s;
	qsort(sorted, n, sizeof(sorted[0]), series_compare);
	for (size_t i = 0; i < n; i++) {
		if (m->type == METRIC_TYPE_HISTOGRAM)
			add_histogram(out, m, sorted[i]);
		else
			add_sample(out, m, sorted[i],
				   double_of(__atomic_load_n(&sorted[i]->bits, __ATOMIC_RELAXED)));
	}
}

/* ---- the process itself ---- */

static struct metric process_cpu = METRIC_COUNTER(
	"process_cpu_seconds_total", "Total user and system CPU time spent in seconds.");
static struct metric process_rss =
	METRIC_GAUGE("process_resident_memory_bytes", "Resident memory size in bytes.");
static struct metric process_vsize =
	METRIC_GAUGE("process_virtual_memory_bytes", "Virtual memory size in bytes.");
static struct metric process_fds =
	METRIC_GAUGE("process_open_fds", "Number of open file descriptors.");
static struct metric process_fds_max =
	METRIC_GAUGE("process_max_fds", "Maximum number of open file descriptors.");
static struct metric process_start = METRIC_GAUGE(
	"process_start_time_seconds", "Start time of the process since unix epoch in seconds.");

static size_t fd_count(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t n = 0;

	if (!dir)
		return 0;
	while (readdir(dir))
		n++;
	closedir(dir);
	return n > 3 ? n - 3 : 0; /* ".", ".." and the directory's own */
}

static double boot_time(void)
{
	auto_file FILE *f = fopen("/proc/stat", "re");
	char line[256];
	double at = 0;

	while (f && fgets(line, sizeof(line), f)) {
		if (str_starts(line, "btime "))
			at = strtod(line + 6, NULL);
	}
	return at;
}

static void first_line(const char *path, char *out, int size)
{
	FILE *f = fopen(path, "re");

	if (f && !fgets(out, size, f))
		out[0] = 0;
	if (f)
		fclose(f);
}

/* /proc/self/stat after the closing parenthesis of the name: field 3 on. */
static void read_stat(double out_fields[static 25])
{
	char line[1024] = "";

	first_line("/proc/self/stat", line, sizeof(line));
	char *p = strrchr(line, ')');
	if (!p || strlen(p) < 4)
		return;
	p += 3; /* ") S": the state is no number */
	for (size_t i = 4; i < 25; i++)
		out_fields[i] = strtod(p, &p);
}

static void process_update(void)
{
	double stat[25] = {0};
	double hz = (double)sysconf(_SC_CLK_TCK);
	struct rlimit limit = {0};

	read_stat(stat);
	getrlimit(RLIMIT_NOFILE, &limit);
	metric_set(&process_cpu, (stat[14] + stat[15]) / hz);
	metric_set(&process_start, boot_time() + stat[22] / hz);
	metric_set(&process_vsize, stat[23]);
	metric_set(&process_rss, stat[24] * (double)sysconf(_SC_PAGESIZE));
	metric_set(&process_fds, (double)fd_count());
	metric_set(&process_fds_max, (double)limit.rlim_cur);
}

static int metric_compare(const void *a, const void *b)
{
	const struct metric *x = *(struct metric *const *)a;
	const struct metric *y = *(struct metric *const *)b;

	return strcmp(x->name, y->name);
}

void metrics_render(struct buf *out)
{
	size_t n = 0;

	process_update();
	pthread_mutex_lock(&lock);
	for (struct metric *m = metrics; m; m = m->next)
		n++;
	auto_free struct metric **sorted = mem_calloc(n, sizeof(*sorted));
	n = 0;
	for (struct metric *m = metrics; m; m = m->next)
		sorted[n++] = m;
	qsort(sorted, n, sizeof(sorted[0]), metric_compare);
	for (size_t i = 0; i < n; i++)
		add_metric(out, sorted[i]);
	pthread_mutex_unlock(&lock);
}

static void series_free(struct metric_series *s)
{
	while (s) {
		struct metric_series *next = s->next;

		for (size_t i = 0; i < METRIC_LABELS_MAX; i++)
			free(s->values[i]);
		free(s);
		s = next;
	}
}

void metrics_reset(void)
{
	pthread_mutex_lock(&lock);
	while (metrics) {
		struct metric *m = metrics;

		metrics = m->next;
		series_free(m->series);
		m->series = NULL;
		m->next = NULL;
		m->registered = false;
	}
	pthread_mutex_unlock(&lock);
}
