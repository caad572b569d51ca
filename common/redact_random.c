#include "common/redact_private.h"

/* ---- words that look random ---- */

enum {
	RANDOM_LOOK_MAX = 4096,   /* of a long word */
	RANDOM_MIN = 20,          /* shorter words are left alone */
	RANDOM_ONE_CASE_MIN = 32, /* without both cases */
	RANDOM_PAIRS_MIN = 6,     /* letters side by side that can be judged */
	RANDOM_COMMON_MAX_PERCENT = 58,
	RANDOM_SHORT_MAX_PERCENT = 45,
	RANDOM_SHORT = 24,
	RANDOM_WHOLE_MIN = 32,
	RANDOM_WHOLE_MAX = 128, /* with slashes: a longer word is a path */
};

/* The letters that follow each in English and in identifiers, rarely used ones left out: 93 % of
 * pairs in words, a third of those in random letters. */
static const char *const follows[26] = {
	"bcdgiklmnprstuvy",
	"aeilosu",
	"aehiklortu",
	"adeiosu",
	"acdefgilmnpqrstvx",
	"aefilortu",
	"ehinrs",
	"aeiot",
	"abcdefglmnoprstvz",
	"",
	"ei",
	"adeilostuy",
	"abeimopsu",
	"acdefginostuvy",
	"bcdfilmnoprstuvw",
	"aeiloprtuy",
	"u",
	"acdegimnorstuy",
	"acehiopstuy",
	"acehiloprstuwy",
	"abcdeilmnprst",
	"aei",
	"aehior",
	"pt",
	"ps",
	"e",
};

struct letters letters_count(const char *s, size_t len)
{
	struct letters n = {0};

	for (size_t i = 0; i < len; i++) {
		n.digits += is_digit(s[i]);
		n.uppers += is_upper(s[i]);
		n.lowers += is_lower(s[i]);
		n.hexes += run_class[(unsigned char)s[i]] >> RUN_HEX & 1;
		n.steps += i && s[i] == s[i - 1] + 1;
		/* From small to big a new word begins. */
		if (!i || (is_lower(s[i - 1]) && is_upper(s[i])))
			continue;
		char a = to_lower(s[i - 1]), b = to_lower(s[i]);
		if (!is_lower(a) || !is_lower(b))
			continue;
		n.pairs++;
		n.common += strchr(follows[a - 'a'], b) != NULL;
	}
	return n;
}

/* True for letters, digits and signs that no word of a language and no identifier looks like. */
static bool looks_random(const char *s, size_t len)
{
	if (len < RANDOM_MIN)
		return false;
	len = MIN(len, (size_t)RANDOM_LOOK_MAX);
	struct letters n = letters_count(s, len);
	size_t signs = len - n.digits - n.uppers - n.lowers;
	bool both = n.uppers >= 2 && n.lowers >= 2 && n.digits >= 1;
	bool one = len >= RANDOM_ONE_CASE_MIN && n.digits >= 4 && n.digits * 2 < len;
	size_t limit = len < RANDOM_SHORT ? RANDOM_SHORT_MAX_PERCENT : RANDOM_COMMON_MAX_PERCENT;

	/* Commit ids, digests, UUIDs; alphabets. */
	if (n.hexes + signs == len || n.steps * 3 > len)
		return false;
	if (!both && !one)
		return false;
	return n.pairs >= RANDOM_PAIRS_MIN && n.common * 100 < n.pairs * limit;
}

/* "text-1.2.3-GPqYZFd71R8RlrX0rlCJG": GHC's ids of packages, from the version's last number on. */
static bool is_cabal_unit(const struct scan *t, size_t at)
{
	enum { HASH_MIN = 20, HASH_MAX = 22 };
	size_t dash = at, end;

	while (dash < t->len && dash < at + 4 && is_digit(t->s[dash]))
		dash++;
	if (dash == at || at == 0 || t->s[at - 1] != '.' || !scan_at(t, dash, "-"))
		return false;
	end = dash + 1;
	while (end <= dash + HASH_MAX + 1 && scan_is(t, end, RUN_ALNUM))
		end++;
	return end - dash - 1 >= HASH_MIN && end - dash - 1 <= HASH_MAX;
}

/* Checksums say what they are; mangled names and the Nix store are none of ours. */
static bool is_marked(const struct scan *t, size_t at)
{
	static const char *const within[] = {
		"sha1-",         "sha256-",     "sha384-",    "sha512-",     "md5-",
		"_ZN",           "_R",          "__ZN",       "pk_live_",    "pk_test_",
		"/var/folders/", "/nix/store/", "nix/store/", "//nix/store/"};
	static const char *const before[] = {
		"h1:",     "sha1:", "sha256:", "SHA256:", "sha384:",  "sha512:",
		"SHA512:", "md5:",  "MD5:",    "etag:",   "ETag: \"", "W/\""};

	for (size_t i = 0; i < ARRAY_SIZE(within); i++) {
		if (scan_at(t, at, within[i]))
			return true;
	}
	for (size_t i = 0; i < ARRAY_SIZE(before); i++) {
		size_t len = strlen(before[i]);
		if (at >= len && scan_at(t, at - len, before[i]))
			return true;
	}
	return is_cabal_unit(t, at);
}

bool find_random(struct scan *t, size_t at, struct hit *out)
{
	size_t end = scan_run(t, RUN_TOKEN, at), from = 0;

	*out = (struct hit){at, end, "high-entropy"};
	if (end - at < RANDOM_MIN || is_marked(t, at))
		return false;
	const char *s = t->s + at;
	size_t len = end - at;
	bool slashes = memchr(s, '/', len) != NULL;
	bool whole = !slashes || (len >= RANDOM_WHOLE_MIN && len <= RANDOM_WHOLE_MAX);
	bool found = whole && looks_random(s, len);
	size_t first = len, last = 0;
	while (!found && slashes && from < len) {
		const char *slash = memchr(s + from, '/', len - from);
		size_t stop = slash ? (size_t)(slash - s) : len;
		if (looks_random(s + from, stop - from)) {
			first = MIN(first, from);
			last = stop;
		}
		from = stop + 1;
	}
	if (!found && last == 0)
		return false;
	if (!found)
		*out = (struct hit){at + first, at + last, "high-entropy"};
	while (out->to == end && end < t->len && t->s[end] == '=')
		out->to = ++end;
	return true;
}
