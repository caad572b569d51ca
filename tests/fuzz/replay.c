/* Runs one fuzz target on every file of a directory: replay_NAME DIR. TAP. Names each input on
 * stderr before it runs, so that the last one named is the one that crashed. */
#include <dirent.h>

#include "common/buf.h"
#include "tests/fuzz/fuzz.h"

static int visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static void replay(const char *dir, const char *name)
{
	char path[PATH_MAX];
	auto_buf input = {0};
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fprintf(stderr, "%s\n", path);
	MUST(buf_read_file(&input, path, 16 << 20) == 0);
	/* Exactly as large as the input, so that a sanitizer sees a read past its end. */
	auto_free uint8_t *data = malloc(MAX(input.len, (size_t)1));
	MUST(data);
	memcpy(data, buf_str(&input), input.len);
	MUST(LLVMFuzzerTestOneInput(data, input.len) == 0);
}

int main(int argc, char **argv)
{
	const char *dir = argc == 2 ? argv[1] : "";
	struct dirent **entries = NULL;
	int n = scandir(dir, &entries, visible, alphasort);
	printf("1..1\n");
	if (n <= 0) {
		printf("not ok 1 - %s: no inputs\n", dir);
		return 1;
	}
	for (int i = 0; i < n; i++) {
		replay(dir, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	printf("ok 1 - %s: %d inputs\n", dir, n);
	return 0;
}
