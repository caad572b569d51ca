/* What comes from Telegram: updates, by the first byte also as texts of commands, tokens and refs;
 * and texts on their way there. What is shown must fit Telegram's limits. */
#include "common/mem.h"
#include "notifier/channels/fit.h"
#include "notifier/channels/telegram.h"
#include "notifier/order.h"
#include "tests/fuzz/fuzz.h"

static void on_update(const char *text, size_t len)
{
	struct telegram_update u = {0};
	struct why why = {0};
	json_t *json = json_loadb(text, len, 0, NULL);
	if (telegram_update_read(json, &u, &why))
		MUST(why.text[0]);
	else
		MUST(u.id > 0);
	if (u.kind != TELEGRAM_OTHER)
		MUST(u.text && u.from && u.chat && !u.from_bot);
	if (u.kind == TELEGRAM_BUTTON)
		MUST(u.callback && strlen(u.text) <= TELEGRAM_DATA_MAX);
	json_decref(json);
}

static void on_command(const char *text, size_t len)
{
	auto_order c = {0};
	struct why why = {0};
	if (order_parse(text, &c, &why)) {
		MUST(why.text[0]);
		return;
	}
	MUST(c.verb < ORDERS && c.rest && len <= ORDER_TEXT_MAX);
	MUST((c.verb == ORDER_STORY || c.verb == ORDER_ACK) == (c.id != NULL));
	MUST((c.verb == ORDER_SILENCE) == (c.duration != NULL));
}

static void on_text(const char *text, size_t len)
{
	auto_telegram_parts p = {0};
	telegram_split(text, text, &p);
	MUST(p.n > 0 && p.n <= TELEGRAM_PARTS_MAX);
	for (size_t i = 0; i < p.n; i++) {
		size_t units = fit_units(p.items[i].text, strlen(p.items[i].text), FIT_UTF16);
		json_t *body = telegram_message("1", &p.items[i], NULL, 0);
		MUST(units > 0 && units <= TELEGRAM_TEXT_MAX && p.items[i].head <= units);
		MUST(json_is_string(json_object_get(body, "text")));
		json_decref(body);
	}
	json_t *answer = telegram_answer("1", text, true);
	const char *shown = json_string_value(json_object_get(answer, "text"));
	MUST(shown && fit_units(shown, strlen(shown), FIT_CHARACTERS) <= TELEGRAM_ANSWER_MAX);
	json_decref(answer);
	MUST(fit_part(text, len, 16) <= len);
}

static void on_ref(const char *text, size_t len UNUSED)
{
	int64_t first = 0, last = 0;
	char again[CHANNEL_REF_MAX + 1];
	if (!telegram_ref_read(text, &first, &last))
		return;
	MUST(first > 0 && last > 0);
	telegram_ref(first, last, again);
	int64_t first_again = 0, last_again = 0;
	MUST(telegram_ref_read(again, &first_again, &last_again));
	MUST(first_again == first && last_again == last);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const parsers[])(const char *text, size_t len) = {on_update, on_command,
									on_text, on_ref};
	size_t row = fuzz_take(&data, &size) % ARRAY_SIZE(parsers);
	char *text = fuzz_text(data, size);
	parsers[row](text, row ? strlen(text) : size);
	free(text);
	return 0;
}
