/* A runbook's YAML; one that is accepted is rendered for an incident. */
#include "common/base.h"

#include "reasoner/runbook/runbook_private.h"
#include "tests/fuzz/fuzz.h"

#include <sys/mman.h>

static void render(const struct runbook *rb)
{
	struct arena arena = {0};
	struct why why = {0};
	Healbus__Label label = HEALBUS__LABEL__INIT;
	Healbus__Label *labels[] = {&label};
	Healbus__Incident incident = HEALBUS__INCIDENT__INIT;
	label.name = (char[]){"service"};
	label.value = (char[]){"web"};
	incident.labels = labels;
	incident.n_labels = 1;
	json_t *view = runbook_view(&incident, 1);
	(void)runbook_matches(rb, &incident);
	(void)runbook_wanted(rb, view, &why);
	for (size_t i = 0; i < rb->n_alternatives; i++) {
		Healbus__Plan plan = HEALBUS__PLAN__INIT;
		if (runbook_render(rb, i, view, &arena, &plan, &why) == 0)
			MUST(plan.n_steps == rb->alternatives[i].n_steps);
	}
	MUST(strlen(runbook_advice(rb, view, &arena)) <= WIRE_REASON_MAX);
	json_decref(view);
	arena_release(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[64];
	struct why why = {0};
	auto_fd int fd = memfd_create("runbook", MFD_CLOEXEC);
	MUST(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	struct runbooks *set = mem_alloc(sizeof(*set));
	struct runbook rb = {0};
	if (runbook_parse(set, path, &rb, &why))
		MUST(why.text[0]);
	else
		render(&rb);
	matchers_release(&rb.match);
	runbooks_free(set);
	return 0;
}
