/* Any bytes as an archive from a sandbox, into a directory beside one that must not be touched. */
#include "common/base.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "executor/sandboxes/archive.h"
#include "tests/fuzz/fuzz.h"

/* base/in is extracted into, base/out is the neighbour. */
static int base = -1, in = -1;
static char name[] = "/tmp/healbus-fuzz-archive-XXXXXX";

static void tidy(void)
{
	unlinkat(base, "in", AT_REMOVEDIR);
	unlinkat(base, "out", AT_REMOVEDIR);
	rmdir(name);
}

static void prepare(void)
{
	MUST(mkdtemp(name));
	base = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	MUST(base >= 0 && mkdirat(base, "in", 0700) == 0 && mkdirat(base, "out", 0500) == 0);
	atexit(tidy);
	in = openat(base, "in", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	MUST(in >= 0);
}

static void must_be_plain(int dir)
{
	struct stat st;
	struct why why = {0};
	MUST(faccessat(base, "x", F_OK, AT_SYMLINK_NOFOLLOW) != 0);
	MUST(fstatat(base, "out", &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_nlink == 2);
	MUST(archive_clear(dir, &why) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct archive_limits limits = {.bytes = 1 << 16, .files = 32};
	struct archive_count count = {0};
	struct why why = {0};
	if (base < 0)
		prepare();
	int fd = memfd_create("archive", MFD_CLOEXEC);
	MUST(fd >= 0 && write(fd, data, size) == (ssize_t)size && lseek(fd, 0, SEEK_SET) == 0);
	if (archive_extract(fd, in, &limits, &count, &why))
		MUST(why.text[0]);
	MUST(count.files <= limits.files + 1);
	close(fd);
	must_be_plain(in);
	return 0;
}
