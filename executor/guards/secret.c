/* Secrets, and characters that hide what a line does. */
#include "executor/guards/guards.h"

#include <ctype.h>
#include <math.h>

/* A kind's name is told, its text never. */
static struct {
	const char *kind;
	struct pattern pattern;
} kinds[] = {
	{"an AWS access key", PATTERN("\\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\\b")},
	{"an AWS secret key",
	 PATTERN_CASELESS("aws.{0,20}(?:secret|key).{0,20}['\"=:\\s][a-z0-9/+]{40}(?![a-z0-9/+])")},
	{"a GitHub token",
	 PATTERN("\\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255})\\b")},
	{"a GitLab token", PATTERN("\\bgl(?:pat|dt|rt|ptt|cbt)-[A-Za-z0-9_-]{20,}")},
	{"a Slack token", PATTERN("\\bxox[abeoprs](?:-[A-Za-z0-9]{6,}){2,}")},
	{"a Slack webhook",
	 PATTERN("hooks\\.slack\\.com/(?:services|workflows)/T[A-Za-z0-9]+/[A-Za-z0-9]+/")},
	{"a private key", PATTERN("-----BEGIN [A-Z0-9 ]*PRIVATE KEY")},
	{"a JSON web token",
	 PATTERN("\\beyJ[A-Za-z0-9_-]{8,}\\.eyJ[A-Za-z0-9_-]{8,}\\.[A-Za-z0-9_-]{8,}")},
	{"a Google API key", PATTERN("\\bAIza[0-9A-Za-z_-]{35}")},
	{"a Stripe key", PATTERN("\\b[rs]k_live_[0-9A-Za-z]{16,}")},
	{"a model provider's key", PATTERN("\\bsk-(?:ant-|proj-|svcacct-)?[A-Za-z0-9_-]{32,}")},
	{"an npm token",
	 PATTERN("\\bnpm_[A-Za-z0-9]{36}\\b|_authToken\\s*=\\s*[A-Za-z0-9_-]{16,}")},
	{"a PyPI token", PATTERN("\\bpypi-[A-Za-z0-9_-]{50,}")},
	{"a SendGrid key", PATTERN("\\bSG\\.[A-Za-z0-9_-]{16,}\\.[A-Za-z0-9_-]{32,}")},
	{"a Telegram bot's token", PATTERN("\\b[0-9]{8,10}:AA[A-Za-z0-9_-]{33}\\b")},
	{"an Azure key", PATTERN("\\b(?:AccountKey|SharedAccessKey)=[A-Za-z0-9+/]{40,}=*")},
	{"a password in a URL",
	 PATTERN_CASELESS("\\b[a-z][a-z0-9+.-]{1,20}://[^/\\s:@'\"<>{}$]{1,99}:(?![/{$<*])[^/"
			  "\\s:@'\"<>{}$*]{3,}@"
			  "(?!localhost|127\\.|0\\.0\\.0\\.0|\\[::1|[a-z0-9.-]*example|db\\b|"
			  "postgres\\b|mysql\\b|redis\\b|rabbitmq\\b|host\\b)")},
};

/* password = "...": only a value that does not look like a placeholder. */
static struct pattern assigned = PATTERN_CASELESS(
	"(?:passw(?:or)?d|passphrase|secret|token|api_?key|access_?key|private_?key|credential)s?"
	"[\"']?\\s*(?::=|[:=])\\s*[\"']([^\"'\\s]{12,})[\"']");
static struct pattern placeholder = PATTERN_CASELESS(
	"example|change|placeholder|dummy|fake|sample|test|xxx|your|todo|none|null|redacted|"
	"\\$\\{|\\$\\(|<|\\{\\{|%[sd({]|process\\.env|os\\.environ|getenv|secrets\\.|\\*\\*\\*");

static double entropy_bits(struct span s)
{
	size_t seen[256] = {0};
	double bits = 0;
	for (size_t i = 0; i < s.len; i++)
		seen[(unsigned char)s.text[i]]++;
	for (size_t i = 0; i < ARRAY_SIZE(seen); i++) {
		double p = (double)seen[i] / (double)s.len;
		bits -= seen[i] ? p * log2(p) : 0;
	}
	return bits;
}

static bool is_password(const struct guard_line *l)
{
	struct span value;
	return pattern_find(&assigned, l->text, l->len, &value) && value.len < l->len &&
	       !pattern_find(&placeholder, value.text, value.len, NULL) &&
	       entropy_bits(value) > 3.0;
}

const char *secret_kind(const struct guard_line *l)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (pattern_line(&kinds[i].pattern, l))
			return kinds[i].kind;
	return is_password(l) ? "a password or key" : NULL;
}

void check_secret(struct review *r, const struct guard_change *c)
{
	for (size_t i = 0; i < c->n_added; i++) {
		const char *kind = secret_kind(&c->added[i]);
		if (kind)
			review_say(r, c, &c->added[i], "%s", kind);
	}
}

/* ---- random looking text ---- */

static bool mixed(struct span s)
{
	size_t upper = 0, lower = 0, digit = 0;
	for (size_t i = 0; i < s.len; i++) {
		unsigned char ch = (unsigned char)s.text[i];
		upper += isupper(ch) != 0;
		lower += islower(ch) != 0;
		digit += isdigit(ch) != 0;
	}
	return upper >= 3 && lower >= 3 && digit >= 3;
}

void check_entropy(struct review *r, const struct guard_change *c)
{
	static struct pattern token =
		PATTERN("(?<!sha1-)(?<!sha256-)(?<!sha384-)(?<!sha512-)(?<!h1:)(?<=[\"'=: ])"
			"([A-Za-z0-9+/_-]{28,}={0,2})(?=[\"'\\s,;]|$)");
	struct span found;
	if (path_is_lock(c->path))
		return;
	for (size_t i = 0; i < c->n_added; i++) {
		const struct guard_line *l = &c->added[i];
		struct span rest = {l->text, l->len};
		while (pattern_find(&token, rest.text, rest.len, &found)) {
			/* A line is quoted in the report, and this may be a secret. */
			if (mixed(found) && entropy_bits(found) >= 4.3) {
				struct guard_line bare = {.text = "", .number = l->number};
				review_say(r, c, &bare, "text that looks like a key");
				break;
			}
			size_t used = (size_t)(found.text + found.len - rest.text);
			rest = (struct span){rest.text + used, rest.len - used};
		}
	}
}
