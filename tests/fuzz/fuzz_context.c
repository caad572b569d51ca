/* Answers of services, archives and logs; the first byte says which. */
#include "reasoner/context/source.h"
#include "tests/fuzz/fuzz.h"

static void (*const readers[])(const json_t *, struct buf *) = {
	prometheus_read,
	argocd_read,
	kubernetes_read_pod,
	kubernetes_read_events,
	grafana_read_annotations,
	grafana_read_alerts,
	github_read_steps,
	github_read_annotations,
	github_read_diff,
	github_read_pull,
	github_read_comments,
	github_read_commits,
	github_read_dependabot,
	github_read_code_scanning,
	github_read_secret_scanning,
};

static void answer(unsigned which, const uint8_t *data, size_t size)
{
	auto_buf out = {0}, clean = {0};
	json_t *v = json_loadb((const char *)data, size, JSON_DECODE_ANY, NULL);

	if (which < ARRAY_SIZE(readers))
		readers[which](v, &out);
	else
		loki_read(v, 50, &out);
	(void)github_failed_step(github_failed_job(v, "x"));
	text_clean(buf_str(&out), out.len, &clean);
	MUST(utf8_valid(buf_str(&clean), clean.len));
	json_decref(v);
}

static void archive(const uint8_t *data, size_t size)
{
	enum { LIMIT = 1 << 20 };
	auto_buf out = {0};

	(void)zip_job_log(data, size, "build", LIMIT, &out);
	MUST(out.len <= LIMIT);
	buf_reset(&out);
	(void)zip_job_log(data, size, "", LIMIT, &out);
	MUST(out.len <= LIMIT);
}

static void log_text(size_t max, const uint8_t *data, size_t size)
{
	auto_buf clean = {0}, out = {0}, short_one = {0};

	text_clean((const char *)data, size, &clean);
	MUST(utf8_valid(buf_str(&clean), clean.len));
	MUST(!clean.len || !memchr(clean.data, '\r', clean.len));
	size_t cut = job_log_keep(buf_str(&clean), clean.len, max, "test", &out);
	MUST(cut <= clean.len && (cut || out.len == clean.len));
	context_log_excerpt(buf_str(&clean), clean.len, max, &short_one);
	if (out.len > max)
		MUST(out.len <= max + 200);
	struct gathering *g = calloc(1, sizeof(*g));
	MUST(g);
	github_read_log_paths(buf_str(&clean), clean.len, g);
	gathering_release(g);
	free(g);
	text_cut(&clean, max);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t which = fuzz_take(&data, &size);

	if (which < 0x40)
		answer(which % (ARRAY_SIZE(readers) + 1), data, size);
	else if (which < 0x80)
		archive(data, size);
	else
		log_text((size_t)which * 4, data, size);
	return 0;
}
