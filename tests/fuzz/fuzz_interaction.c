/* What Slack and Discord send when a button is pressed, and what they answer to us. The first byte
 * chooses whose it is. What is read must be ids fit for a log and a look-up. */
#include "notifier/channels/interaction.h"
#include "notifier/channels/slack_render.h"
#include "tests/fuzz/fuzz.h"

static void must_be_word(const char *s)
{
	MUST(strlen(s) <= INTERACTION_ID_MAX);
	for (; *s; s++)
		MUST(*s > ' ' && *s <= '~');
}

static void check(const struct interaction *i)
{
	must_be_word(i->id);
	must_be_word(i->user);
	must_be_word(i->value);
	must_be_word(i->place);
	must_be_word(i->thread);
	if (i->kind == INTERACTION_CLICK)
		MUST(*i->id && *i->user && *i->value);
}

/* The same click must always be the same one. */
static void check_slack(const char *text, size_t len)
{
	struct interaction one, two;
	struct why why = {0};
	if (slack_interaction(text, len, &one, &why)) {
		MUST(why.text[0]);
		return;
	}
	MUST(!slack_interaction(text, len, &two, &why) && str_eq(one.id, two.id));
	check(&one);
}

static void check_discord(const char *text, size_t len)
{
	struct interaction one;
	struct why why = {0};
	if (discord_interaction(text, len, &one, &why))
		MUST(why.text[0]);
	else
		check(&one);
}

static void check_answer(const char *text, size_t len)
{
	struct why why = {0};
	auto_json *j = json_loadb(text, len, 0, NULL);
	int rc = slack_answer(j, &why);
	MUST(!rc || why.text[0]);
}

/* No signature of ours is in any corpus. */
static void check_signature(const char *text, size_t len)
{
	static const uint8_t key[INTERACTION_KEY_BYTES] = {1};
	struct secret secret = {.data = (char *)"k", .len = 1};
	size_t half = strcspn(text, "\n");
	auto_free char *first = strndup(text, half);
	const struct interaction_request r = {first, text + half, text, len,
					      INT64_C(1700000000000)};
	(void)slack_verify(&r, &secret, NULL);
	MUST(discord_verify(&r, key, NULL) != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const checks[])(const char *text, size_t len) = {
		check_slack, check_discord, check_answer, check_signature};
	size_t row = fuzz_take(&data, &size) % ARRAY_SIZE(checks);
	auto_free char *text = fuzz_text(data, size);
	checks[row](text, size);
	return 0;
}
