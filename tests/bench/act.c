/*
 * act STAMP: the action of the benchmark. Appends "age now" in nanoseconds, one line, to the file
 * that the environment's ACT_OUT names; age is how long ago STAMP was, 0 for a STAMP of zeros.
 * STAMP is a time in ns, or text with t0=TIME in it.
 */
#include "tests/bench/bench.h"

#include <fcntl.h>

int main(int argc, char **argv)
{
	uint64_t now = now_ns();
	const char *out = getenv("ACT_OUT");
	if (argc != 2 || !out)
		return 64;
	const char *at = strstr(argv[1], "t0=");
	uint64_t stamp = strtoull(at ? at + 3 : argv[1], NULL, 10);
	char line[64];
	int n = snprintf(line, sizeof(line), "%" PRId64 " %" PRIu64 "\n",
			 stamp ? (int64_t)(now - stamp) : 0, now);
	auto_fd int fd = open(out, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
	return fd < 0 || write(fd, line, (size_t)n) != n;
}
