#include "notifier/ctl/doctor/doctor.h"

#include "common/bus.h"
#include "common/stage.h"

enum { CONNECT_MS = 5000, LIVE_MAX = 128, INSTANCE_MAX = 95 };

/* A process that says it lives: common/stage_owner.c; an executor says its lasting id only. */
struct life {
	char stage[16];
	char instance[INSTANCE_MAX + 1];
	unsigned slot, slots;
	uint32_t wants; /* partitions */
};

struct lives {
	struct bus *bus;
	struct life items[LIVE_MAX];
	size_t n;
};

static void on_key(void *ctx, const char *key)
{
	struct lives *all = ctx;
	struct life life = {.stage = "executor"};
	struct bus_kv_entry e = {0};
	size_t stage_len = strcspn(key, ".");

	if (all->n == LIVE_MAX || bus_kv_get(all->bus, BUCKET_LIVE, key, &e, NULL))
		return;
	static_assert(INSTANCE_MAX == 95, "the width below");
	bool known = true;
	if (key[stage_len]) {
		snprintf(life.stage, sizeof(life.stage), "%.*s", (int)stage_len, key);
		known = sscanf(e.value, "1 %95[^ ] %u %u %x", life.instance, &life.slot,
			       &life.slots, &life.wants) == 4;
	}
	free(e.value);
	if (known)
		all->items[all->n++] = life;
}

static size_t count(const struct lives *all, const char *stage)
{
	size_t n = 0;

	for (size_t i = 0; i < all->n; i++)
		n += str_eq(all->items[i].stage, stage);
	return n;
}

/* ---- partitions ---- */

static unsigned claims(const struct lives *all, unsigned partition)
{
	unsigned n = 0;

	for (size_t i = 0; i < all->n; i++)
		n += str_eq(all->items[i].stage, "monitor") &&
		     (all->items[i].wants >> partition & 1);
	return n;
}

/* "2, 6, 10" of the partitions with so many claims, or with more. */
static unsigned list(const struct lives *all, bool several, struct buf *out)
{
	unsigned n = 0;

	for (unsigned p = 0; p < PARTITIONS; p++) {
		unsigned of = claims(all, p);

		if (several ? of > 1 : of == 0)
			buf_printf(out, "%s%u", n++ ? ", " : "", p);
	}
	return n;
}

static void name_lives(const struct lives *all, const char *stage, struct buf *out)
{
	const char *separator = "";

	for (size_t i = 0; i < all->n; i++) {
		const struct life *l = &all->items[i];

		if (!str_eq(l->stage, stage))
			continue;
		buf_printf(out, "%s%s (slot %u of %u)", separator, l->instance, l->slot, l->slots);
		separator = ", ";
	}
}

static void look_at_partitions(struct doctor *d, const struct lives *all)
{
	auto_buf none = {0}, several = {0}, names = {0};
	unsigned n_none = list(all, false, &none), n_several = list(all, true, &several);

	name_lives(all, "monitor", &names);
	if (count(all, "monitor") == 0)
		return;
	if (n_none)
		finding(d, FINDING_FAIL, "shares",
			"start the monitors that are missing, or let replicas (or partitions) say "
			"what runs",
			"no monitor has partition %s: their alerts wait. There are %s",
			buf_str(&none), buf_str(&names));
	if (n_several)
		finding(d, FINDING_WARN, "shares",
			"give all monitors the same replicas, or partitions that do not overlap; "
			"while a change is rolled out this passes",
			"more than one process claims partition %s: one works, the others stand "
			"by. There are %s",
			buf_str(&several), buf_str(&names));
	if (!n_none && !n_several)
		finding(d, FINDING_OK, "shares", NULL, "each partition has one owner: %s",
			buf_str(&names));
}

/* ---- the others ---- */

static bool is_twice(const struct lives *all, const char *stage)
{
	for (size_t i = 0; i < all->n; i++)
		for (size_t k = 0; k < i; k++)
			if (str_eq(all->items[i].stage, stage) &&
			    str_eq(all->items[k].stage, stage) &&
			    all->items[i].slot == all->items[k].slot)
				return true;
	return false;
}

static void look_at_stage(struct doctor *d, const struct lives *all, const char *stage)
{
	auto_buf names = {0};
	size_t n = count(all, stage);
	auto_free char *start = mem_printf("start healbus-%s", stage);

	name_lives(all, stage, &names);
	if (n == 0)
		finding(d, FINDING_FAIL, "shares", start, "no %s lives", stage);
	else if (str_eq(stage, "executor"))
		finding(d, FINDING_OK, "shares", NULL, "executors: %zu", n);
	else if (!str_eq(stage, "monitor") && is_twice(all, stage))
		finding(d, FINDING_WARN, "shares",
			"set slots: true where they share state_dir, else a slot of its own for "
			"each",
			"two processes claim one %s's place; one works, the other stands by: %s",
			stage, buf_str(&names));
	else if (!str_eq(stage, "monitor"))
		finding(d, FINDING_OK, "shares", NULL, "%s: %s", stage, buf_str(&names));
}

void doctor_shares(struct doctor *d)
{
	static const char *const stages[] = {"monitor", "reasoner", "executor", "notifier"};
	struct lives all = {0};
	struct why why = {0};
	int rc = stage_bus_open(ctl_config_dir(d->ctl), "operator", &all.bus, &why);

	if (!rc)
		rc = bus_wait(all.bus, CONNECT_MS, &why);
	if (!rc)
		rc = bus_kv_keys(all.bus, BUCKET_LIVE, on_key, &all, &why);
	bus_close(all.bus);
	if (rc) {
		finding(d, FINDING_WARN, "shares", "healctl doctor --only bus says more",
			"who lives cannot be seen: %s", why.text);
		return;
	}
	look_at_partitions(d, &all);
	for (size_t i = 0; i < ARRAY_SIZE(stages); i++)
		look_at_stage(d, &all, stages[i]);
}
