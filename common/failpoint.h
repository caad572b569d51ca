/*
 * Places where the fault tests kill the process. FAILPOINT("after-commit") is nothing unless built
 * with -DHEALBUS_FAILPOINTS; then HEALBUS_FAILPOINT=after-commit:3 in the environment kills the
 * process (SIGKILL) the third time that place is reached. Layer 0.
 */
#ifndef COMMON_FAILPOINT_H
#define COMMON_FAILPOINT_H

#ifdef HEALBUS_FAILPOINTS
#include "common/base.h"
#include <signal.h>

static inline void failpoint_reached(const char *name)
{
	static int reached;
	const char *wanted = getenv("HEALBUS_FAILPOINT");
	const char *colon = wanted ? strrchr(wanted, ':') : NULL;
	if (!colon || strlen(name) != (size_t)(colon - wanted) ||
	    strncmp(wanted, name, strlen(name)) != 0)
		return;
	if (__atomic_add_fetch(&reached, 1, __ATOMIC_RELAXED) == strtol(colon + 1, NULL, 10))
		kill(getpid(), SIGKILL);
}
#define FAILPOINT(name) failpoint_reached(name)
#else
#define FAILPOINT(name) ((void)0)
#endif

#endif
