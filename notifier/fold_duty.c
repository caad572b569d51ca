/* Overrides of who is on call: kept until they are over. */
#include "notifier/duty.h"
#include "notifier/projection.h"

static bool name_valid(const char *s)
{
	size_t len = strlen(s);
	return len > 0 && len <= TOKEN_MAX && !strpbrk(s, ": \t\n");
}

/* Drops what is over, and with `all` the rest as well; of what stays the oldest make room. */
static void trim(struct fold *f, const char *rotation, bool all)
{
	auto_keys keys = {0};
	auto_buf prefix = {0};
	size_t kept = 0, oldest = SIZE_MAX;
	int64_t oldest_ms = INT64_MAX;
	buf_printf(&prefix, DUTY_PREFIX "%s:", rotation);
	keys_collect(fold_txn(f), &table_machinery, buf_str(&prefix), prefix.len, &keys);
	for (size_t i = 0; i < keys.n; i++) {
		const Healbus__Control *c =
			row_get(fold_txn(f), &table_machinery, keys.items[i].bytes,
				Healbus__Control, control, fold_arena(f));
		if (all || !c || !c->duty || c->duty->until_ms <= fold_now_ms(f)) {
			store_del_str(fold_txn(f), &table_machinery, keys.items[i].bytes);
			continue;
		}
		kept++;
		if (c->at_ms < oldest_ms) {
			oldest_ms = c->at_ms;
			oldest = i;
		}
	}
	if (kept > DUTY_OVERRIDES_MAX && oldest != SIZE_MAX)
		store_del_str(fold_txn(f), &table_machinery, keys.items[oldest].bytes);
}

void duty_change(struct fold *f, const Healbus__Control *c)
{
	char key[sizeof(DUTY_PREFIX) + TOKEN_MAX + 1 + TOKEN_MAX + 1];
	const Healbus__Duty *d = c->duty;
	const char *rotation = d ? str_or_empty(d->rotation) : "";
	if (!name_valid(rotation) || !token_valid(str_or_empty(c->id)))
		return;
	bool clears = !*str_or_empty(d->person);
	if (!clears) {
		snprintf(key, sizeof(key), DUTY_PREFIX "%s:%s", rotation, c->id);
		row_put_message(fold_txn(f), &table_machinery, key, strlen(key), &c->base);
	}
	trim(f, rotation, clears);
}
