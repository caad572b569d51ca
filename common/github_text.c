#include "common/github.h"

#include "common/clock.h"
#include "common/mem.h"

/* ---- paths ---- */

static void add_encoded(struct buf *out, const char *s, bool keep_slash)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				    "0123456789-._~";

	for (; *s; s++) {
		if (strchr(plain, *s) || (keep_slash && *s == '/'))
			buf_add_char(out, *s);
		else
			buf_printf(out, "%%%02X", (unsigned char)*s);
	}
}

void github_path_add(struct buf *out, const char *pattern, const char *const *values)
{
	while (*pattern) {
		bool whole = str_starts(pattern, "{+}");

		if (!whole && !str_starts(pattern, "{}")) {
			buf_add_char(out, *pattern++);
			continue;
		}
		add_encoded(out, *values ? *values : "", whole);
		values += *values != NULL;
		pattern += whole ? 3 : 2;
	}
}

static bool part_valid(const char *s, size_t len)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				    "0123456789-._";

	if (len == 0 || len > 100 || (len <= 2 && strspn(s, ".") >= len))
		return false;
	return strspn(s, plain) >= len;
}

bool github_repository_valid(const char *name)
{
	const char *slash = name ? strchr(name, '/') : NULL;

	return slash && part_valid(name, (size_t)(slash - name)) &&
	       part_valid(slash + 1, strlen(slash + 1));
}

/* ---- pages ---- */

static bool is_next(const char *params, size_t len)
{
	static const char *const forms[] = {"rel=\"next\"", "rel=next"};
	auto_free char *text = mem_dup(params, len);

	for (size_t i = 0; i < ARRAY_SIZE(forms); i++)
		if (strcasestr(text, forms[i]))
			return true;
	return false;
}

char *github_next_url(const char *link)
{
	while (link && (link = strchr(link, '<'))) {
		const char *end = strchr(link, '>');
		if (!end)
			return NULL;
		size_t params = strcspn(end, "<");
		if (is_next(end, params))
			return mem_dup(link + 1, (size_t)(end - link - 1));
		link = end;
	}
	return NULL;
}

/* ---- limits ---- */

static bool number(const char *text, int64_t *out)
{
	char *end = NULL;

	if (!text || *text < '0' || *text > '9')
		return false;
	errno = 0;
	long long v = strtoll(text, &end, 10);
	if (errno || *end)
		return false;
	*out = v;
	return true;
}

static int64_t bounded_ms(int64_t seconds)
{
	int64_t most = GITHUB_RETRY_MAX_MS / 1000;

	return MIN(MAX(seconds, 1), most) * 1000;
}

int64_t github_limit_ms(const struct github_limits *l, int64_t now_ms, bool *out_limited)
{
	int64_t after = 0, left = 0, reset = 0;
	bool has_after = number(l->retry_after, &after);
	bool spent = number(l->remaining, &left) && left == 0 && number(l->reset, &reset);
	bool refused = l->status == 429 || l->status == 403;
	bool secondary = l->message && (strcasestr(l->message, "secondary rate limit") ||
					strcasestr(l->message, "abuse detection"));

	*out_limited = l->status == 429 || (refused && (has_after || spent || secondary));
	if (*out_limited && has_after)
		return bounded_ms(after);
	if (spent)
		return bounded_ms(reset - now_ms / 1000 + 1);
	return *out_limited ? GITHUB_SECONDARY_MS : 0;
}
