#include "common/recording.h"

#include "common/buf.h"
#include "common/id.h"
#include "common/mem.h"

#include <fcntl.h>
#include <setjmp.h>
#include <cmocka.h>
#include <sys/stat.h>

enum { HEAD_BYTES = 32, PREFIX_BYTES = 8 };

struct files {
	char dir[64];
	char path[96];
};

static int setup(void **state)
{
	struct files *f = mem_alloc(sizeof(*f));
	memcpy(f->dir, "/tmp/healbus-test-recording-XXXXXX", 35);
	if (!mkdtemp(f->dir))
		return -1;
	snprintf(f->path, sizeof(f->path), "%s/r", f->dir);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct files *f = *state;
	unlink(f->path);
	rmdir(f->dir);
	free(f);
	return 0;
}

static const struct recording_record samples[] = {
	{.stream = 0,
	 .seq = 7,
	 .stream_ns = 1700000000123456789,
	 .time_ms = 1700000000001,
	 .subject = "raw.alertmanager",
	 .id = "a",
	 .cause = "",
	 .content_type = "application/json; trust=none",
	 .data = "{\0}",
	 .len = 3},
	{.stream = 1,
	 .seq = 1,
	 .stream_ns = 1700000000223456789,
	 .time_ms = 1700000000001,
	 .subject = "event.03.alertmanager",
	 .id = "e1",
	 .cause = "a",
	 .content_type = "",
	 .data = "",
	 .len = 0},
	{.stream = 2,
	 .seq = UINT64_MAX,
	 .stream_ns = INT64_MIN,
	 .time_ms = INT64_MAX,
	 .subject = "heal.plan.x",
	 .id = "",
	 .cause = "",
	 .content_type = "",
	 .data = "plan",
	 .len = 4},
};

static void write_samples(const char *path)
{
	struct recording_writer *w = NULL;
	struct why why = {0};
	assert_int_equal(recording_create(path, 5, &w, &why), 0);
	for (size_t i = 0; i < ARRAY_SIZE(samples); i++)
		assert_int_equal(recording_add(w, &samples[i], &why), 0);
	assert_int_equal(recording_finish(w, &why), 0);
}

static void assert_same(const struct recording_record *a, const struct recording_record *b)
{
	assert_int_equal(a->stream, b->stream);
	assert_true(a->seq == b->seq && a->stream_ns == b->stream_ns && a->time_ms == b->time_ms);
	assert_string_equal(a->subject, b->subject);
	assert_string_equal(a->id, b->id);
	assert_string_equal(a->cause, b->cause);
	assert_string_equal(a->content_type, b->content_type);
	assert_int_equal(a->len, b->len);
	assert_memory_equal(a->data, b->data, a->len);
}

static void test_what_was_written_is_read(void **state)
{
	struct files *f = *state;
	struct recording *r = NULL;
	struct recording_record record;
	struct recording_writer *again = NULL;
	struct why why = {0};
	struct stat st;
	write_samples(f->path);
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(recording_create(f->path, 5, &again, &why), ERR_EXISTS);
	assert_int_equal(recording_open(f->path, &r, &why), 0);
	assert_int_equal(recording_bytes(r), st.st_size);
	uint64_t second = 0;
	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		assert_int_equal(recording_next(r, &record, &why), 0);
		assert_same(&record, &samples[i]);
		if (i == 0)
			second = recording_offset(r);
	}
	assert_int_equal(recording_next(r, &record, &why), ERR_NOT_FOUND);
	assert_int_equal(recording_offset(r), st.st_size);
	assert_int_equal(recording_seek(r, second, &why), 0);
	assert_int_equal(recording_next(r, &record, &why), 0);
	assert_same(&record, &samples[1]);
	recording_close(r);
}

static void test_many_and_large(void **state)
{
	struct files *f = *state;
	struct recording_writer *w = NULL;
	struct recording *r = NULL;
	struct recording_record record = samples[0];
	struct why why = {0};
	auto_free char *large = mem_alloc(1 << 20);
	memset(large, 'x', 1 << 20);
	assert_int_equal(recording_create(f->path, 5, &w, &why), 0);
	for (uint64_t i = 0; i < 5000; i++) {
		record.seq = i;
		record.data = large;
		record.len = i % 1000 ? i % 777 : 1 << 20;
		assert_int_equal(recording_add(w, &record, &why), 0);
	}
	record.len = RECORDING_RECORD_MAX;
	assert_int_equal(recording_add(w, &record, &why), ERR_TOO_LARGE);
	record = samples[0];
	record.subject = "heal.plan.x";
	assert_int_equal(recording_add(w, &record, &why), ERR_INVALID);
	assert_int_equal(recording_finish(w, &why), 0);
	assert_int_equal(recording_open(f->path, &r, &why), 0);
	for (uint64_t i = 0; i < 5000; i++) {
		assert_int_equal(recording_next(r, &record, &why), 0);
		assert_true(record.seq == i);
		assert_int_equal(record.len, i % 1000 ? i % 777 : 1 << 20);
		assert_true(record.len == 0 || ((const char *)record.data)[record.len - 1] == 'x');
	}
	assert_int_equal(recording_next(r, &record, &why), ERR_NOT_FOUND);
	recording_close(r);
}

/* ---- damage ---- */

static void write_file(const char *path, const char *data, size_t len)
{
	auto_fd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
}

/* How many records can be read; why the rest cannot. */
static size_t readable(const char *path, int *out_rc, struct why *why)
{
	struct recording *r = NULL;
	struct recording_record record;
	size_t n = 0;
	*why = (struct why){0};
	*out_rc = recording_open(path, &r, why);
	while (*out_rc == 0) {
		*out_rc = recording_next(r, &record, why);
		n += *out_rc == 0;
	}
	recording_close(r);
	return n;
}

/* Offsets of the samples' records. */
static void find_records(const char *path, uint64_t at[static 4])
{
	struct recording *r = NULL;
	struct recording_record record;
	struct why why = {0};
	assert_int_equal(recording_open(path, &r, &why), 0);
	for (size_t i = 0; i < 4; i++) {
		at[i] = recording_offset(r);
		recording_next(r, &record, &why);
	}
	recording_close(r);
}

static void test_every_torn_tail(void **state)
{
	struct files *f = *state;
	auto_buf whole = {0};
	uint64_t at[4];
	write_samples(f->path);
	assert_int_equal(buf_read_file(&whole, f->path, 1 << 20), 0);
	find_records(f->path, at);
	for (size_t len = HEAD_BYTES; len <= whole.len; len++) {
		struct why why;
		char offset[48];
		int rc;
		size_t want = 0;
		while (want < ARRAY_SIZE(samples) && at[want + 1] <= len)
			want++;
		write_file(f->path, whole.data, len);
		assert_int_equal(readable(f->path, &rc, &why), want);
		assert_int_equal(rc, len == at[want] ? ERR_NOT_FOUND : ERR_CORRUPT);
		snprintf(offset, sizeof(offset), "at byte %" PRIu64 " is cut short", at[want]);
		assert_true(len == at[want] || strstr(why.text, offset));
	}
}

static void test_every_flipped_byte(void **state)
{
	struct files *f = *state;
	auto_buf whole = {0};
	uint64_t at[4];
	write_samples(f->path);
	assert_int_equal(buf_read_file(&whole, f->path, 1 << 20), 0);
	find_records(f->path, at);
	for (size_t i = 0; i < whole.len; i++) {
		struct why why;
		int rc;
		size_t want = 0;
		while (want < ARRAY_SIZE(samples) && at[want + 1] <= i)
			want++;
		whole.data[i] = (char)(whole.data[i] ^ 0x10);
		write_file(f->path, whole.data, whole.len);
		whole.data[i] = (char)(whole.data[i] ^ 0x10);
		size_t n = readable(f->path, &rc, &why);
		assert_int_equal(n, i < HEAD_BYTES ? 0 : want);
		assert_true(rc == ERR_CORRUPT ||
			    (i < 12 && (rc == ERR_INVALID || rc == ERR_SCHEMA)));
		assert_true(why.text[0]);
	}
}

/* A record whose sum is right, but not what it says. */
static void craft(struct buf *file, size_t at, uint32_t len)
{
	uint32_t prefix[2] = {len, 0};
	size_t have = file->len - at - PREFIX_BYTES;
	prefix[1] = crc32c(crc32c(0, &len, sizeof(len)), file->data + at + PREFIX_BYTES,
			   MIN(have, (size_t)len));
	memcpy(file->data + at, prefix, sizeof(prefix));
}

static void test_lies_with_a_right_sum(void **state)
{
	static const struct {
		size_t at; /* in the body */
		uint32_t value;
		size_t bytes;
	} lies[] = {
		{24, 0, 4},                      /* payload shorter than it is */
		{24, UINT32_MAX, 4},             /* and longer */
		{28, 0, 2},                      /* a subject without even a NUL */
		{28, UINT16_MAX, 2}, {34, 0, 2}, /* no content type */
		{36, 1, 1},                      /* another stream than the subject's */
		{36, 99, 1},                     /* no stream */
		{39, 1, 1},                      /* what must be zero */
		{45, 0, 1},                      /* a NUL inside the subject */
	};
	struct files *f = *state;
	auto_buf whole = {0};
	uint64_t at[4];
	write_samples(f->path);
	assert_int_equal(buf_read_file(&whole, f->path, 1 << 20), 0);
	find_records(f->path, at);
	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		auto_buf lie = {0};
		struct why why;
		int rc;
		buf_add(&lie, whole.data, whole.len);
		memcpy(lie.data + at[0] + PREFIX_BYTES + lies[i].at, &lies[i].value, lies[i].bytes);
		craft(&lie, at[0], (uint32_t)(at[1] - at[0] - PREFIX_BYTES));
		write_file(f->path, lie.data, lie.len);
		assert_int_equal(readable(f->path, &rc, &why), 0);
		assert_int_equal(rc, ERR_CORRUPT);
		assert_non_null(strstr(why.text, "at byte 32 is not one of ours"));
	}
}

static void test_absurd_lengths(void **state)
{
	static const uint32_t lengths[] = {0, 1, 39, RECORDING_RECORD_MAX + 1, UINT32_MAX};
	struct files *f = *state;
	auto_buf whole = {0};
	write_samples(f->path);
	assert_int_equal(buf_read_file(&whole, f->path, 1 << 20), 0);
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		struct why why;
		int rc;
		craft(&whole, HEAD_BYTES, lengths[i]);
		write_file(f->path, whole.data, whole.len);
		assert_int_equal(readable(f->path, &rc, &why), 0);
		assert_int_equal(rc, ERR_CORRUPT);
		assert_non_null(strstr(why.text, "at byte 32 has an impossible length"));
	}
}

static void test_other_files(void **state)
{
	struct files *f = *state;
	auto_buf whole = {0};
	struct why why;
	int rc;
	readable(f->path, &rc, &why);
	assert_int_equal(rc, ERR_NOT_FOUND);
	readable(f->dir, &rc, &why);
	assert_int_equal(rc, ERR_INVALID);
	write_file(f->path, "hb", 2);
	readable(f->path, &rc, &why);
	assert_int_equal(rc, ERR_INVALID);
	assert_non_null(strstr(why.text, "not a recording"));
	unlink(f->path);
	write_samples(f->path);
	assert_int_equal(buf_read_file(&whole, f->path, 1 << 20), 0);
	whole.data[8] = 3;
	write_file(f->path, whole.data, whole.len);
	readable(f->path, &rc, &why);
	assert_int_equal(rc, ERR_SCHEMA);
	assert_non_null(
		strstr(why.text, "a recording of version 3; this build reads versions 1 and 2"));
}

static const struct recording_record in_backups_only[] = {
	{.stream = RECORDING_NOTE, .subject = "backup.begin", .data = "{}", .len = 2},
	{.stream = RECORDING_CLAIM, .seq = 7, .subject = "$KV.CLAIM.abc", .data = "1", .len = 1},
	{.stream = 0, .seq = 9, .subject = "raw.am", .data = "x", .len = 1},
	{.stream = RECORDING_FILE, .seq = 1, .subject = "file.1", .data = "f", .len = 1},
};

static void write_backup(const char *path)
{
	struct recording_writer *w = NULL;
	struct why why = {0};
	assert_int_equal(recording_create_backup(path, 1, &w, &why), 0);
	for (size_t i = 0; i < ARRAY_SIZE(in_backups_only); i++) {
		struct recording_record r = in_backups_only[i];
		r.id = r.cause = r.content_type = "";
		assert_int_equal(recording_add(w, &r, &why), 0);
	}
	assert_int_equal(recording_finish(w, &why), 0);
}

/* Who wants streams is given streams; a plain recording holds nothing else. */
static void test_a_backup_is_a_recording(void **state)
{
	struct files *f = *state;
	struct recording *r = NULL;
	struct recording_record got;
	struct why why = {0};
	write_backup(f->path);
	assert_int_equal(recording_open(f->path, &r, &why), 0);
	assert_true(recording_is_backup(r));
	assert_int_equal(recording_next(r, &got, &why), 0);
	assert_string_equal(got.subject, "raw.am");
	assert_int_equal(recording_next(r, &got, &why), ERR_NOT_FOUND);
	assert_int_equal(recording_seek(r, RECORDING_HEAD_BYTES, &why), 0);
	for (size_t i = 0; i < ARRAY_SIZE(in_backups_only); i++) {
		assert_int_equal(recording_next_any(r, &got, &why), 0);
		assert_string_equal(got.subject, in_backups_only[i].subject);
	}
	recording_close(r);
	unlink(f->path);
	struct recording_writer *w = NULL;
	got = in_backups_only[1];
	got.id = got.cause = got.content_type = "";
	assert_int_equal(recording_create(f->path, 1, &w, &why), 0);
	assert_int_equal(recording_add(w, &got, &why), ERR_INVALID);
	recording_finish(w, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_what_was_written_is_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_and_large, setup, teardown),
		cmocka_unit_test_setup_teardown(test_every_torn_tail, setup, teardown),
		cmocka_unit_test_setup_teardown(test_every_flipped_byte, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lies_with_a_right_sum, setup, teardown),
		cmocka_unit_test_setup_teardown(test_absurd_lengths, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_backup_is_a_recording, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
