#include "notifier/throttle.h"

bool throttle_allow(struct throttle *t, int64_t limit, int64_t per_ms, int64_t now_ms)
{
	if (limit <= 0)
		return true;
	if (t->count == 0 || now_ms >= t->window_ms + per_ms)
		*t = (struct throttle){.window_ms = now_ms};
	if (t->count >= limit)
		return false;
	t->count++;
	return true;
}

int64_t throttle_end(const struct throttle *t, int64_t per_ms)
{
	return t->window_ms + per_ms;
}
