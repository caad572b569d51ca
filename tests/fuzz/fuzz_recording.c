/* A recording from anywhere. What is read from it must be what a writer would write. */
#include "common/buf.h"
#include "common/id.h"
#include "common/recording.h"
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <sys/mman.h>

static void look_at(const struct recording_record *r)
{
	static volatile size_t sum;
	MUST(r->stream < RECORDING_STREAMS);
	sum = strlen(r->subject) + strlen(r->id) + strlen(r->cause) + strlen(r->content_type);
	for (size_t i = 0; i < r->len; i++)
		sum += ((const uint8_t *)r->data)[i];
	(void)sum;
}

/* The record, written again, has the same bytes. */
static void write_again(const struct recording_record *record, const uint8_t *body, size_t len)
{
	char path[64];
	auto_buf file = {0};
	struct recording_writer *w = NULL;
	struct why why = {0};
	snprintf(path, sizeof(path), "/tmp/healbus-fuzz-recording-%d", (int)getpid());
	unlink(path);
	MUST(recording_create(path, 0, &w, &why) == 0);
	MUST(recording_add(w, record, &why) == 0);
	MUST(recording_finish(w, &why) == 0);
	MUST(buf_read_file(&file, path, 4 << 20) == 0);
	unlink(path);
	MUST(file.len == 32 + len && memcmp(file.data + 32, body, len) == 0);
}

/* Nobody guesses a checksum: makes those of the records right, so that their inside is reached. */
static void mend(uint8_t *data, size_t size)
{
	for (size_t at = 32; at < size && size - at > 8;) {
		uint32_t len, crc;
		memcpy(&len, data + at, sizeof(len));
		if (len > size - at - 8)
			return;
		crc = crc32c(crc32c(0, &len, sizeof(len)), data + at + 8, len);
		memcpy(data + at + 4, &crc, sizeof(crc));
		at += 8 + len;
	}
}

/* The first byte chooses: odd ones have the checksums made right. */
int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
	char path[48];
	bool mending = fuzz_take(&input, &size) % 2;
	auto_free uint8_t *data = (uint8_t *)fuzz_text(input, size);
	struct recording *r = NULL;
	struct recording_record record;
	struct why why = {0};
	auto_fd int fd = memfd_create("recording", MFD_CLOEXEC);
	if (mending)
		mend(data, size);
	MUST(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int rc = recording_open(path, &r, &why);
	for (unsigned n = 0; rc == 0; n++) {
		uint64_t at = recording_offset(r);
		rc = recording_next(r, &record, &why);
		if (rc)
			break;
		MUST(recording_offset(r) > at && recording_offset(r) <= size);
		look_at(&record);
		if (n == 0)
			write_again(&record, data + at, recording_offset(r) - at);
	}
	MUST(rc == ERR_NOT_FOUND || why.text[0]);
	recording_close(r);
	return 0;
}
