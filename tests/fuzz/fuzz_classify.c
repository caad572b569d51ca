/* Any bytes as a log, with the shipped failure types: the first byte says what else is known. */
#include "common/base.h"

#include "common/buf.h"
#include "reasoner/route/route.h"
#include "tests/fuzz/fuzz.h"

static struct failures *failures;
static struct specialists *specialists;

static void load(void)
{
	struct why why = {0};
	MUST(failures_load("reasoner/failures", &failures, &why) == 0);
	MUST(specialists_load("reasoner/specialists.yaml", &specialists, &why) == 0);
}

static void check(const Healbus__Diagnosis *d, size_t lines)
{
	MUST(failures_title(failures, d->failure_type));
	MUST(d->confidence > 0 && d->confidence <= 1);
	MUST(specialist_about(specialists, d->specialist) && d->route);
	MUST(d->n_evidence <= WIRE_EVIDENCE_MAX && d->n_considered <= WIRE_CANDIDATES_MAX);
	for (size_t i = 0; i < d->n_evidence; i++) {
		const char *text = d->evidence[i]->text;
		MUST(strlen(text) <= 512 && utf8_valid(text, strlen(text)));
		MUST(d->evidence[i]->line <= lines);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t known = fuzz_take(&data, &size);
	auto_free char *text = fuzz_text(data, size);
	const char *files[] = {text};
	struct arena arena = {0};
	Healbus__Diagnosis d = HEALBUS__DIAGNOSIS__INIT;
	struct classify_input in = {.log = known & 1 ? NULL : text,
				    .log_len = size,
				    .workflow = known & 2 ? text : NULL,
				    .job = known & 4 ? text : NULL,
				    .step = known & 8 ? text : NULL,
				    .alertname = known & 16 ? text : NULL,
				    .files = files,
				    .n_files = known & 32 ? 1 : 0};
	size_t lines = 1;
	if (!failures)
		load();
	for (size_t i = 0; i < size; i++)
		lines += text[i] == '\n';
	MUST(classify(failures, &in, &arena, &d) == 0);
	struct route_input at = {.failures = failures, .seen = &in};
	route(specialists, &at, &arena, &d);
	check(&d, lines);
	arena_release(&arena);
	return 0;
}
