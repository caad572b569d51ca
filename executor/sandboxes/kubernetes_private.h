/* Between kubernetes.c (asks) and kubernetes_objects.c (what it asks for). */
#ifndef EXECUTOR_KUBERNETES_PRIVATE_H
#define EXECUTOR_KUBERNETES_PRIVATE_H

#include "executor/sandboxes/parcel.h"
#include "executor/sandboxes/place.h"
#include "executor/sandboxes/rest.h"

#include "common/id.h"

enum {
	KUBERNETES_NAME_BYTES = 40,
	KUBERNETES_UID_BYTES = 64,
	KUBERNETES_PART_BYTES = 900 << 10, /* in one Secret, whose data may be 1 MiB */
	KUBERNETES_PARTS_MAX = 8,
	KUBERNETES_COLLECT_MS = 60000, /* for what comes after the program's end */
};

/* What a Secret or several bring. */
struct kubernetes_load {
	const char *name;
	struct buf data;
};
enum { KUBERNETES_TREE, KUBERNETES_INPUT, KUBERNETES_LOADS };

struct kubernetes_run {
	const struct kubernetes_settings *settings;
	const struct cell *cell;
	const struct sandbox_job *job;
	const struct run_limits *limits;
	struct run_result *result;
	struct rest rest;
	bool own_http;
	char name[KUBERNETES_NAME_BYTES]; /* of the Job; Secrets and a label have it too */
	char nonce[ID_BYTES];
	char uid[KUBERNETES_UID_BYTES]; /* of the Job */
	struct kubernetes_load loads[KUBERNETES_LOADS];
	int64_t disk_bytes, files;
	/* what is seen of the pod */
	char pod[256];
	struct why seen;    /* why it is not running */
	bool started, over; /* the program */
	int64_t start_deadline_ms;
	bool unknown; /* asked, and nobody told what came of it */
};

/* Each returns a new reference; NULL: an argument or name is not UTF-8. */
json_t *kubernetes_job(const struct kubernetes_run *k);
/* Part i of what is brought; NULL: there are no more. */
json_t *kubernetes_secret(const struct kubernetes_run *k, size_t i);

#endif
