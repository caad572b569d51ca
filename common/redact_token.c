#include "common/redact_private.h"

#include <arpa/inet.h>

/* ---- tokens that say by their first characters what they are ---- */

struct shape {
	const char *prefix;
	const char *kind;
	size_t min;     /* that many characters behind it at least */
	enum run run;   /* of these */
	bool exact;     /* exactly that many */
	bool in_a_word; /* also found where other letters stand before */
};

/* As the vendors' documentation and their own scanners' patterns describe them. */
static const struct shape shapes[] = {
	{"AKIA", "aws-key", 16, RUN_UPPER, true, false},
	{"ASIA", "aws-key", 16, RUN_UPPER, true, false},
	{"ABIA", "aws-key", 16, RUN_UPPER, true, false},
	{"ACCA", "aws-key", 16, RUN_UPPER, true, false},
	{"AIza", "gcp-key", 35, RUN_URL, false, false},
	{"GOCSPX-", "gcp-key", 20, RUN_URL, false, true},
	{"ya29.", "gcp-token", 20, RUN_KEY, false, false},
	{"ghp_", "github-token", 30, RUN_ALNUM, false, true},
	{"gho_", "github-token", 30, RUN_ALNUM, false, true},
	{"ghu_", "github-token", 30, RUN_ALNUM, false, true},
	{"ghs_", "github-token", 30, RUN_KEY, false, true},
	{"ghr_", "github-token", 30, RUN_ALNUM, false, true},
	{"github_pat_", "github-token", 30, RUN_URL, false, true},
	{"glpat-", "gitlab-token", 20, RUN_KEY, false, true},
	{"gldt-", "gitlab-token", 20, RUN_URL, false, true},
	{"glrt-", "gitlab-token", 20, RUN_KEY, false, true},
	{"glcbt-", "gitlab-token", 20, RUN_URL, false, true},
	{"glptt-", "gitlab-token", 20, RUN_URL, false, true},
	{"glft-", "gitlab-token", 20, RUN_URL, false, true},
	{"glsoat-", "gitlab-token", 20, RUN_URL, false, true},
	{"glagent-", "gitlab-token", 20, RUN_URL, false, true},
	{"gloas-", "gitlab-token", 20, RUN_URL, false, true},
	{"xoxb-", "slack-token", 10, RUN_URL, false, true},
	{"xoxp-", "slack-token", 10, RUN_URL, false, true},
	{"xoxa-", "slack-token", 10, RUN_URL, false, true},
	{"xoxr-", "slack-token", 10, RUN_URL, false, true},
	{"xoxs-", "slack-token", 10, RUN_URL, false, true},
	{"xoxe.", "slack-token", 10, RUN_KEY, false, true},
	{"xoxe-", "slack-token", 10, RUN_URL, false, true},
	{"xapp-", "slack-token", 10, RUN_URL, false, true},
	{"hooks.slack.com/services/", "slack-webhook", 20, RUN_TOKEN, false, true},
	{"hooks.slack.com/workflows/", "slack-webhook", 20, RUN_TOKEN, false, true},
	{"discord.com/api/webhooks/", "discord-webhook", 40, RUN_TOKEN, false, true},
	{"sk_live_", "stripe-key", 10, RUN_ALNUM, false, true},
	{"sk_test_", "stripe-key", 10, RUN_ALNUM, false, true},
	{"rk_live_", "stripe-key", 10, RUN_ALNUM, false, true},
	{"rk_test_", "stripe-key", 10, RUN_ALNUM, false, true},
	{"whsec_", "stripe-key", 20, RUN_TOKEN, false, true},
	{"npm_", "npm-token", 36, RUN_ALNUM, false, true},
	{"pypi-AgE", "pypi-token", 30, RUN_URL, false, true},
	{"rubygems_", "rubygems-token", 48, RUN_HEX, false, true},
	{"cio", "cargo-token", 32, RUN_ALNUM, true, false},
	{"dckr_pat_", "docker-token", 20, RUN_URL, false, true},
	{"dckr_oat_", "docker-token", 20, RUN_URL, false, true},
	{"dop_v1_", "digitalocean-token", 64, RUN_HEX, false, true},
	{"hf_", "huggingface-token", 30, RUN_ALNUM, false, false},
	{"sk-ant-", "anthropic-key", 20, RUN_URL, false, true},
	{"sk-proj-", "openai-key", 20, RUN_URL, false, false},
	{"sk-svcacct-", "openai-key", 20, RUN_URL, false, false},
	{"sk-", "openai-key", 32, RUN_ALNUM, false, false},
	{"gsk_", "groq-key", 40, RUN_ALNUM, false, false},
	{"SG.", "sendgrid-key", 60, RUN_KEY, false, false},
	{"key-", "mailgun-key", 32, RUN_HEX, true, false},
	{"shpat_", "shopify-token", 32, RUN_HEX, false, true},
	{"shpss_", "shopify-token", 32, RUN_HEX, false, true},
	{"hvs.", "vault-token", 24, RUN_URL, false, false},
	{"hvb.", "vault-token", 24, RUN_URL, false, false},
	{"glsa_", "grafana-token", 32, RUN_URL, false, true},
	{"glc_", "grafana-token", 32, RUN_TOKEN, false, false},
	{"lin_api_", "linear-key", 30, RUN_ALNUM, false, true},
	{"pul-", "pulumi-token", 40, RUN_HEX, false, false},
	{"dapi", "databricks-token", 32, RUN_HEX, false, false},
	{"PMAK-", "postman-key", 30, RUN_URL, false, false},
	{"figd_", "figma-token", 30, RUN_URL, false, false},
	{"nvapi-", "nvidia-key", 40, RUN_URL, false, false},
	{"ATATT3", "atlassian-token", 40, RUN_URL, false, false},
	{"sq0atp-", "square-token", 20, RUN_URL, false, true},
	{"sq0csp-", "square-token", 30, RUN_URL, false, true},
	{"ntn_", "notion-token", 30, RUN_ALNUM, false, false},
	{"tskey-", "tailscale-key", 20, RUN_URL, false, false},
	{"AGE-SECRET-KEY-1", "age-key", 40, RUN_UPPER, false, true},
};

bool token_may_begin(unsigned char c)
{
	static const bool first[256] = {
		['A'] = true, ['G'] = true, ['P'] = true, ['S'] = true, ['c'] = true,
		['d'] = true, ['f'] = true, ['g'] = true, ['h'] = true, ['k'] = true,
		['l'] = true, ['n'] = true, ['p'] = true, ['r'] = true, ['s'] = true,
		['t'] = true, ['w'] = true, ['x'] = true, ['y'] = true,
	};

	return first[c];
}

bool find_token(struct scan *t, size_t at, struct hit *out)
{
	bool begins = scan_begins(t, at, RUN_ALNUM);

	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		const struct shape *p = &shapes[i];
		if (t->s[at] != *p->prefix || (!begins && !p->in_a_word) ||
		    !scan_at(t, at, p->prefix))
			continue;
		size_t from = at + strlen(p->prefix), end = scan_run(t, p->run, from);
		while (end > from && scan_one_of(t, end - 1, ".-"))
			end--;
		if (end - from < p->min || (p->exact && (end - from != p->min)) ||
		    (p->exact && scan_is(t, end, RUN_ALNUM)))
			continue;
		*out = (struct hit){at, end, p->kind};
		return true;
	}
	return false;
}

/* Header, payload and signature; RFC 7515 (five parts: RFC 7516). The header is a JSON object. */
bool find_jwt(struct scan *t, size_t at, struct hit *out)
{
	enum { HEADER_MIN = 12, PART_MIN = 4, PARTS_MAX = 5 };

	if (!scan_at(t, at, "eyJ"))
		return false;
	size_t end = scan_run(t, RUN_URL, at);
	int parts = 1;
	if (end - at < HEADER_MIN)
		return false;
	while (parts < PARTS_MAX && end < t->len && t->s[end] == '.') {
		size_t next = scan_run(t, RUN_URL, end + 1);
		if (parts == 1 && next - end - 1 < PART_MIN)
			break;
		end = next;
		parts++;
	}
	*out = (struct hit){at, end, "jwt"};
	return parts >= 2;
}

/* ---- keys in PEM (RFC 7468), also with \n for line ends, also cut off ---- */

static size_t find_end_mark(struct scan *t, size_t at)
{
	static const char mark[] = "-----END";

	if (t->end_mark < at) {
		const char *found = memmem(t->s + at, t->len - at, mark, sizeof mark - 1);
		t->end_mark = found ? (size_t)(found - t->s) : SIZE_MAX;
	}
	return t->end_mark;
}

static bool has_word(const struct scan *t, size_t from, size_t to, const char *word)
{
	return memmem(t->s + from, to - from, word, strlen(word)) != NULL;
}

bool find_pem(struct scan *t, size_t at, struct hit *out)
{
	enum { LABEL_MAX = 64, PEM_MAX = 32 << 10 };
	static const char mark[] = "-----BEGIN ";

	if (!scan_at(t, at, mark))
		return false;
	size_t label = at + sizeof mark - 1, body = label;
	while (body < t->len && body < label + LABEL_MAX &&
	       (scan_is(t, body, RUN_UPPER) || t->s[body] == ' '))
		body++;
	bool private = has_word(t, label, body, "PRIVATE KEY");
	size_t end = find_end_mark(t, body);
	bool closed = end != SIZE_MAX && end - body <= PEM_MAX;
	if (!private && closed)
		t->public_to = MAX(t->public_to, end);
	if (!private)
		return false;
	if (closed) {
		end += strlen("-----END ");
		while (end < t->len && end < t->end_mark + LABEL_MAX &&
		       (scan_is(t, end, RUN_UPPER) || scan_one_of(t, end, " -")))
			end++;
	} else {
		/* Without its end: as far as it looks like one. */
		end = body;
		while (end < t->len && end - body < PEM_MAX &&
		       (scan_is(t, end, RUN_TOKEN) || scan_one_of(t, end, "=\r\n \t\\:,")))
			end++;
	}
	*out = (struct hit){at, MIN(end, t->len), "private-key"};
	return true;
}

/* ---- scheme://user:password@host ---- */

bool find_url_user(struct scan *t, size_t at, struct hit *out)
{
	enum { USER_MAX = 512, TOKEN_MIN = 16 };

	if (!scan_at(t, at, "://"))
		return false;
	size_t from = at + 3, colon = 0, end = from;
	for (; end < t->len && end < from + USER_MAX; end++) {
		unsigned char c = (unsigned char)t->s[end];
		if (c <= ' ' || strchr("/@\"'<>`?#\\", c))
			break;
		if (c == ':' && !colon)
			colon = end;
	}
	if (end >= t->len || t->s[end] != '@')
		return false;
	/* A token may stand where the user's name does. */
	size_t secret = colon ? colon + 1 : from;
	*out = (struct hit){secret, end, "url-password"};
	return end > secret && (colon || end - secret >= TOKEN_MIN) && t->s[secret] != '*' &&
	       t->s[secret] != '$' && t->s[secret] != '{' && !scan_at(t, from, "[REDACTED") &&
	       !scan_at(t, secret, "[REDACTED");
}

/* ---- where asked for ---- */

bool find_email(struct scan *t, size_t at, struct hit *out)
{
	if (!scan_begins(t, at, RUN_MAIL))
		return false;
	size_t sign = scan_run(t, RUN_MAIL, at);
	if (sign >= t->len || t->s[sign] != '@')
		return false;
	size_t end = scan_run(t, RUN_KEY, sign + 1);
	while (end > sign + 1 && t->s[end - 1] == '.')
		end--;
	*out = (struct hit){at, end, "email"};
	return memchr(t->s + sign, '.', MIN(end - sign, 256)) != NULL;
}

bool find_address(struct scan *t, size_t at, struct hit *out)
{
	char text[INET6_ADDRSTRLEN] = "";
	unsigned char address[sizeof(struct in6_addr)];
	size_t len = 0;

	if (at && scan_one_of(t, at - 1, ".:"))
		return false;
	while (len < sizeof text - 1 && at + len < t->len &&
	       (scan_is(t, at + len, RUN_HEX) || scan_one_of(t, at + len, ".:"))) {
		text[len] = t->s[at + len];
		len++;
	}
	while (len && strchr(".:", text[len - 1]))
		text[--len] = '\0';
	*out = (struct hit){at, at + len, "address"};
	if (scan_is(t, at + len, RUN_ALNUM))
		return false;
	if (inet_pton(AF_INET, text, address) == 1 || inet_pton(AF_INET6, text, address) == 1)
		return true;
	char *port = strrchr(text, ':');
	if (!port)
		return false;
	*port = '\0';
	out->to = at + (size_t)(port - text);
	return inet_pton(AF_INET, text, address) == 1;
}
