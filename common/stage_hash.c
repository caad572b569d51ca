#include "common/stage_private.h"

/* One fold's line; no line when it never had a state. slot: "" or "slot-1/". */
static int print_hash(const struct fold_def *def, unsigned partition, const struct stage_config *c,
		      const char *slot, struct why *out_why)
{
	char name[TOKEN_MAX + 8], hex[2 * DIGEST_BYTES + 1];
	uint8_t digest[DIGEST_BYTES];
	struct fold *f = NULL;
	snprintf(name, sizeof(name), def->partitioned ? "%s-%02u" : "%s", def->name, partition);
	auto_free char *dir = mem_printf("%s/%s%s", c->state_dir, slot, name);
	struct fold_options o = {
		.dir = dir, .partition = partition, .config = c, .map_bytes = c->map_bytes};
	if (access(dir, F_OK))
		return 0;
	int rc = fold_open(def, &o, &f, out_why);
	if (!rc)
		rc = fold_hash(f, digest);
	if (!rc) {
		hex_encode(digest, sizeof(digest), hex);
		printf("%s%-12s %s %" PRIu64 "\n", slot, name, hex, fold_offset(f).seq);
	}
	fold_close(f);
	return rc;
}

static int print_slots(const struct fold_def *def, const struct stage_config *c,
		       struct why *out_why)
{
	int rc = print_hash(def, 0, c, "", out_why);
	for (unsigned n = 0; c->slots && n < STAGE_SLOTS_MAX && !rc; n++) {
		char slot[16];
		snprintf(slot, sizeof(slot), "slot-%u/", n);
		rc = print_hash(def, 0, c, slot, out_why);
	}
	return rc;
}

static int print_hashes(const struct stage_def *def, const void *config, struct why *out_why)
{
	uint32_t owned = def->partitions ? def->partitions(config) : UINT32_MAX;
	int rc = 0;
	for (size_t i = 0; i < def->n_folds; i++) {
		const struct fold_def *fold = def->folds[i];
		if (!fold->partitioned)
			rc = print_slots(fold, config, out_why);
		for (unsigned p = 0; fold->partitioned && p < PARTITIONS && !rc; p++)
			if (owned & (1U << p))
				rc = print_hash(fold, p, config, "", out_why);
	}
	return rc;
}

int stage_hash(const struct stage_def *def, const char *config_dir)
{
	struct stage_snapshot *c = NULL;
	struct why why = {0};
	int rc = stage_config_load(def, config_dir, &c, &why);
	int code = rc ? EXIT_CONFIG : EXIT_STOPPED;
	if (!rc) {
		rc = print_hashes(def, stage_snapshot_values(c), &why);
		code = rc == 0 ? EXIT_STOPPED : rc == ERR_BUSY ? EXIT_LOCKED : EXIT_INTERNAL;
		stage_snapshot_free(def, c);
	}
	if (rc)
		fprintf(stderr, "healbus-%s: %s\n", def->name,
			why.text[0] ? why.text : err_name(rc));
	return code;
}
