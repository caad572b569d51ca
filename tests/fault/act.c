/*
 * act LEDGER RUN_ID [HOLD_MS [EXIT_CODE [MARKS_DIR]]]
 *
 * The action that the fault tests let healbus run: one line in the ledger before it acts and one
 * after, each one O_APPEND write and one fsync. Between them it holds for HOLD_MS; when it ends
 * well it leaves MARKS_DIR/RUN_ID (slashes as _), which is what the tool's own check looks for. The
 * mark comes after the line, so that a check that holds never speaks of an act without an end.
 * Shares no code with healbus; only judge.py reads the ledger. A line is
 *     S|E RUN_ID BOOTTIME pid=N ppid=N
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_USAGE = 64, EXIT_LEDGER = 74, ID_MAX_BYTES = 200 };

static int append(const char *ledger, char what, const char *run)
{
	char line[400];
	struct timespec t;
	clock_gettime(CLOCK_BOOTTIME, &t);
	int n = snprintf(line, sizeof(line), "%c %s %lld.%09ld pid=%d ppid=%d\n", what, run,
			 (long long)t.tv_sec, t.tv_nsec, (int)getpid(), (int)getppid());
	int fd = open(ledger, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (fd < 0)
		return -1;
	int failed = write(fd, line, (size_t)n) != n || fsync(fd) != 0;
	return close(fd) || failed ? -1 : 0;
}

static void hold(long ms)
{
	struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
	while (ms > 0 && nanosleep(&left, &left) != 0)
		continue;
}

static int mark(const char *dir, const char *run)
{
	char path[4096];
	int n = snprintf(path, sizeof(path), "%s/%s", dir, run);
	if (n < 0 || (size_t)n >= sizeof(path))
		return -1;
	for (char *p = path + strlen(dir) + 1; *p; p++)
		*p = *p == '/' ? '_' : *p;
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
	return fd < 0 || close(fd) ? -1 : 0;
}

int main(int argc, char **argv)
{
	if (argc < 3 || strlen(argv[2]) > ID_MAX_BYTES || strpbrk(argv[2], " \n"))
		return EXIT_USAGE;
	long code = argc > 4 ? strtol(argv[4], NULL, 10) : 0;
	if (append(argv[1], 'S', argv[2]))
		return EXIT_LEDGER;
	hold(argc > 3 ? strtol(argv[3], NULL, 10) : 0);
	if (append(argv[1], 'E', argv[2]))
		return EXIT_LEDGER;
	if (code == 0 && argc > 5 && mark(argv[5], argv[2]))
		return EXIT_LEDGER;
	return (int)code;
}
