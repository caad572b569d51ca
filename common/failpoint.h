/*
 * Places where the fault tests kill the process. FAILPOINT("after-commit") is nothing unless built
 * with -DHEALBUS_FAILPOINTS; then HEALBUS_FAILPOINT=after-commit:3 in the environment kills the
 * process (SIGKILL) the third time that place is reached. With the path of a file there, the same
 * text is read from the file each time, so that a running process can be armed. Layer 0.
 */
#ifndef COMMON_FAILPOINT_H
#define COMMON_FAILPOINT_H

#ifdef HEALBUS_FAILPOINTS
#include "common/base.h"
#include <fcntl.h>
#include <signal.h>

/* "" when there is no such file. */
static inline const char *failpoint_read(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? 0 : read(fd, text, size - 1);
	if (fd >= 0)
		close(fd);
	text[len > 0 ? len : 0] = 0;
	return text;
}

static inline void failpoint_reached(const char *name)
{
	static int reached;
	char text[128];
	const char *wanted = getenv("HEALBUS_FAILPOINT");
	if (wanted && *wanted == '/')
		wanted = failpoint_read(wanted, text, sizeof(text));
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
