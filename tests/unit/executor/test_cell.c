/* Code of strangers in a copy of a directory, in the real sandboxes of this machine, and trees
 * that come back from it. */
#include "executor/sandboxes/archive.h"
#include "executor/sandboxes/cell.h"
#include "tests/unit/executor/support.h"

#include <fcntl.h>
#include <sys/stat.h>

static const enum sandbox_wish wishes[] = {SANDBOX_WISH_BWRAP, SANDBOX_WISH_LANDLOCK};

static const struct sandbox_room room = {.disk_bytes = 8 << 20, .files = 500};
static const struct spawn_bounds bounds = {
	.memory_bytes = 256 << 20, .processes = 40, .open_files = 256};

struct ran {
	struct run_result r;
	char *dir;
};

/* A directory of a.txt, sub/b.txt and a link, run with a constant script. */
static struct ran run_script(const char *shell, int64_t timeout_ms)
{
	static char *const env[] = {(char *)"PATH=/usr/bin:/bin", NULL};
	char *const argv[] = {(char *)"/usr/bin/sh", (char *)"-c", (char *)shell, NULL};
	struct ran ran = {.dir = support_dir()};
	auto_free char *sub = mem_printf("%s/sub", ran.dir);
	auto_free char *link = mem_printf("%s/link", ran.dir);
	assert_int_equal(mkdir(sub, 0755), 0);
	support_write(ran.dir, "a.txt", "one\n");
	support_write(sub, "b.txt", "x\n");
	assert_int_equal(symlink("a.txt", link), 0);
	assert_int_equal(chmod(ran.dir, 0755), 0);
	const struct cell c = {.dir = ran.dir, .scratch_dir = "/var/tmp", .room = room};
	const struct sandbox_job job = {.argv = argv, .env = env, .bounds = bounds};
	const struct run_limits limits = {.timeout_ms = timeout_ms, .output_limit_bytes = 10000};
	cell_run(&c, &job, &limits, &ran.r);
	return ran;
}

static void done(struct ran *ran)
{
	buf_release(&ran->r.output);
	support_remove(ran->dir);
	free(ran->dir);
}

static char *read_back(const struct ran *ran, const char *name)
{
	auto_free char *path = mem_printf("%s/%s", ran->dir, name);
	struct buf text = {0};
	if (buf_read_file(&text, path, 10000))
		buf_add_str(&text, "(none)");
	return buf_detach(&text);
}

static void expect_file(const struct ran *ran, const char *name, const char *content)
{
	auto_free char *text = read_back(ran, name);
	if (!str_eq(text, content))
		fail_msg("%s: \"%s\", not \"%s\": %s %s", name, text, content, ran->r.why.text,
			 buf_str(&ran->r.output));
}

static bool has(enum sandbox_wish wish)
{
	sandbox_probe(wish);
	return sandbox_level() != SANDBOX_NONE;
}

/* Whether the program or its sandbox is to blame for an end. */
static void test_not_tried(void **state)
{
	static char *const env[] = {(char *)"PATH=/usr/bin:/bin", NULL};
	char *const argv[] = {(char *)"/usr/bin/true", NULL};
	(void)state;
	if (!has(SANDBOX_WISH_BWRAP))
		skip();
	struct ran ran = run_script("exit 125", 10000);
	assert_int_equal(ran.r.state, RUN_ENDED);
	assert_false(ran.r.not_tried);
	struct cell c = {.dir = ran.dir, .room = {.disk_bytes = 1 << 20, .files = 2}};
	const struct sandbox_bind nowhere = {.path = (char *)"/nonexistent/x"};
	struct sandbox_job job = {.argv = argv, .env = env, .bounds = bounds};
	const struct run_limits limits = {.timeout_ms = 10000, .output_limit_bytes = 10000};
	struct run_result r = {0};
	cell_run(&c, &job, &limits, &r);
	assert_int_equal(r.state, RUN_FAILED);
	assert_true(r.not_tried);
	assert_non_null(strstr(r.why.text, "the sandbox did not start the program"));
	buf_release(&r.output);
	r = (struct run_result){0};
	c.room.files = 100;
	job.binds = &nowhere;
	job.n_binds = 1;
	cell_run(&c, &job, &limits, &r);
	assert_int_equal(r.state, RUN_FAILED);
	assert_true(r.not_tried);
	buf_release(&r.output);
	done(&ran);
	ran = run_script("sleep 60", 300);
	assert_int_equal(ran.r.state, RUN_FAILED);
	assert_false(ran.r.not_tried);
	done(&ran);
	sandbox_forget();
	ran = run_script("true", 10000);
	assert_true(ran.r.state == RUN_FAILED && ran.r.not_tried);
	done(&ran);
}

static void test_comes_back(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wishes); i++) {
		if (!has(wishes[i]))
			continue;
		struct ran ran =
			run_script("cat link; echo two >> a.txt; rm -r sub; mkdir -p new/d; "
				   "echo y > new/d/c; chmod 755 new/d/c; exit 3",
				   10000);
		assert_int_equal(ran.r.state, RUN_ENDED);
		assert_int_equal(ran.r.exit_code, 3);
		assert_string_equal(buf_str(&ran.r.output), "one\n");
		expect_file(&ran, "a.txt", "one\ntwo\n");
		expect_file(&ran, "new/d/c", "y\n");
		expect_file(&ran, "sub/b.txt", "(none)");
		done(&ran);
	}
}

/* Links come back as links; what is no file stays out; no special right is given. */
static void test_hostile_tree(void **state)
{
	struct stat st;
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wishes); i++) {
		if (!has(wishes[i]))
			continue;
		struct ran ran =
			run_script("rm a.txt; ln -s /etc/shadow a.txt; ln -s /etc d; "
				   "mkfifo p; cp /bin/true s; chmod 6755 s; ln s hard; exit 0",
				   10000);
		auto_free char *a = mem_printf("%s/a.txt", ran.dir);
		auto_free char *p = mem_printf("%s/p", ran.dir);
		auto_free char *s = mem_printf("%s/s", ran.dir);
		auto_fd int dir = open(ran.dir, O_RDONLY | O_DIRECTORY);
		auto_buf text = {0};
		struct why why = {0};
		assert_int_equal(ran.r.state, RUN_ENDED);
		assert_true(lstat(a, &st) == 0 && S_ISLNK(st.st_mode));
		assert_true(lstat(p, &st) != 0);
		assert_true(lstat(s, &st) == 0 && !(st.st_mode & 07000));
		assert_int_equal(archive_collect(dir, "a.txt", 1000, &text, &why), ERR_DENIED);
		assert_int_equal(archive_collect(dir, "d/shadow", 1000, &text, &why), ERR_DENIED);
		assert_int_equal(archive_collect(dir, "../x", 1000, &text, &why), ERR_DENIED);
		assert_int_equal(archive_collect(dir, "/etc/passwd", 1000, &text, &why),
				 ERR_DENIED);
		assert_int_equal(archive_collect(dir, "s", 100, &text, &why), ERR_TOO_LARGE);
		assert_int_equal(archive_collect(dir, "sub/b.txt", 100, &text, &why), 0);
		assert_string_equal(text.data, "x\n");
		done(&ran);
	}
}

static void expect_contained(const char *shell)
{
	struct ran ran = run_script(shell, 10000);
	if (strstr(buf_str(&ran.r.output), "ESCAPED"))
		fail_msg("%s: %s", shell, ran.r.output.data);
	done(&ran);
}

static void test_contained(void **state)
{
	static const char *const attempts[] = {
		"cat /etc/shadow /etc/hostname && echo ESCAPED",
		"ls /root /home /var/tmp && echo ESCAPED",
		"touch /usr/x || touch /etc/x && echo ESCAPED",
		"cat /proc/1/environ | grep -a HEALBUS && echo ESCAPED",
		"unshare -r true && echo ESCAPED",
		"kill -9 $PPID; exec 3<>/dev/tcp/127.0.0.1/22 && echo ESCAPED",
		"[ $(ls /proc/self/fd | wc -l) -le 4 ] || echo ESCAPED",
	};
	setenv("HEALBUS_SECRET", "canary", 1);
	(void)state;
	if (has(SANDBOX_WISH_BWRAP))
		for (size_t i = 0; i < ARRAY_SIZE(attempts); i++)
			expect_contained(attempts[i]);
}

/* What it may use is limited, and it is told so by errors. */
static void test_room(void **state)
{
	(void)state;
	if (!has(SANDBOX_WISH_BWRAP))
		skip();
	expect_contained(
		"dd if=/dev/zero of=big bs=1M count=20 2>/dev/null && echo ESCAPED; rm -f big");
	expect_contained("dd if=/dev/zero of=/tmp/big bs=1M count=20 2>/dev/null && echo ESCAPED");
	expect_contained("i=0; while [ $i -lt 700 ] && : > f$i; do i=$((i+1)); done 2>/dev/null; "
			 "[ $i -ge 700 ] && echo ESCAPED; rm -f f*");
	expect_contained("i=0; while [ $i -lt 100 ] && sleep 20 & do i=$((i+1)); done 2>/dev/null; "
			 "[ $(ls -d /proc/[0-9]* | wc -l) -ge 100 ] && echo ESCAPED");
	expect_contained("head -c 400000000 /dev/zero | tail -c 400000000 | wc -c | "
			 "grep -q 400000000 && echo ESCAPED");
}

static void test_timeout(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wishes); i++) {
		if (!has(wishes[i]))
			continue;
		struct ran ran = run_script("trap '' TERM; echo two > a.txt; sleep 60", 500);
		assert_int_equal(ran.r.state, RUN_FAILED);
		assert_non_null(strstr(ran.r.why.text, "timed out"));
		expect_file(&ran, "a.txt", "one\n");
		done(&ran);
	}
}

/* Whoever kills what would bring his work home only loses it. */
static void test_lost(void **state)
{
	(void)state;
	if (!has(SANDBOX_WISH_BWRAP))
		skip();
	struct ran ran = run_script("kill -9 -1; kill -9 $PPID", 10000);
	assert_int_equal(ran.r.state, RUN_FAILED);
	expect_file(&ran, "a.txt", "one\n");
	done(&ran);
}

/* Without a sandbox nothing runs. */
static void test_refused(void **state)
{
	(void)state;
	sandbox_forget();
	struct ran ran = run_script("echo two > a.txt", 10000);
	assert_int_equal(ran.r.state, RUN_FAILED);
	assert_non_null(strstr(ran.r.why.text, "no sandbox: refused"));
	expect_file(&ran, "a.txt", "one\n");
	done(&ran);
}

/* ---- archives made by hand ---- */

static void add_entry(struct buf *tar, char type, const char *name, const char *content)
{
	char block[512] = {0};
	unsigned sum = 0;
	size_t len = type == '0' ? strlen(content) : 0;
	memcpy(block, name, strlen(name));
	snprintf(block + 100, 8, "%07o", 06777);
	snprintf(block + 124, 12, "%011o", (unsigned)len);
	block[156] = type;
	if (type != '0')
		memcpy(block + 157, content, strlen(content));
	memcpy(block + 257, "ustar", 6);
	memset(block + 148, ' ', 8);
	for (size_t i = 0; i < sizeof(block); i++)
		sum += (unsigned char)block[i];
	snprintf(block + 148, 7, "%06o", sum);
	buf_add(tar, block, sizeof(block));
	if (!len)
		return;
	memset(block, 0, sizeof(block));
	memcpy(block, content, len);
	buf_add(tar, block, sizeof(block));
}

static int extract(const struct buf *tar, const char *dir, const struct archive_limits *limits)
{
	struct why why = {0};
	auto_fd int in = open("/tmp", O_RDWR | O_TMPFILE, 0600);
	auto_fd int to = open(dir, O_RDONLY | O_DIRECTORY);
	assert_int_equal(write(in, tar->data, tar->len), (ssize_t)tar->len);
	assert_int_equal(lseek(in, 0, SEEK_SET), 0);
	return archive_extract(in, to, limits, NULL, &why);
}

static void test_archive_hostile(void **state)
{
	static const struct {
		char type;
		const char *name, *content;
	} entries[] = {
		{'0', "../out", "x"},
		{'0', "/tmp/healbus-out", "x"},
		{'0', "a/../../out", "x"},
		{'2', "d", "/tmp"},
		{'0', "d/healbus-out", "x"},
		{'1', "h", "/etc/passwd"},
		{'3', "dev", ""},
		{'0', "ok", "fine"},
		{'5', "dir/", ""},
		{'0', "dir/x", "y"},
		{'0', "d", "a file now"},
	};
	const struct archive_limits limits = {.bytes = 1000, .files = 100};
	static const char end[1024];
	auto_buf tar = {0};
	struct stat st;
	auto_free char *dir = support_dir();
	auto_free char *inner = mem_printf("%s/inner", dir);
	auto_free char *out = mem_printf("%s/out", dir);
	auto_free char *ok = mem_printf("%s/ok", inner);
	auto_free char *h = mem_printf("%s/h", inner);
	(void)state;
	assert_int_equal(mkdir(inner, 0755), 0);
	for (size_t i = 0; i < ARRAY_SIZE(entries); i++)
		add_entry(&tar, entries[i].type, entries[i].name, entries[i].content);
	buf_add(&tar, end, sizeof(end));
	assert_int_equal(extract(&tar, inner, &limits), 0);
	assert_true(lstat(out, &st) != 0);
	assert_true(lstat("/tmp/healbus-out", &st) != 0);
	assert_true(lstat(h, &st) != 0);
	assert_true(lstat(ok, &st) == 0 && (st.st_mode & 07777) == 0755);
	support_remove(dir);
}

static void test_archive_wrong(void **state)
{
	const struct archive_limits limits = {.bytes = 1000, .files = 3};
	const struct archive_limits few = {.bytes = 2, .files = 3};
	auto_buf tar = {0};
	auto_free char *dir = support_dir();
	(void)state;
	buf_add_str(&tar, "not an archive");
	assert_int_equal(extract(&tar, dir, &limits), ERR_CORRUPT);
	buf_reset(&tar);
	add_entry(&tar, '0', "a", "xyz");
	assert_int_equal(extract(&tar, dir, &limits), ERR_CORRUPT); /* no end */
	assert_int_equal(extract(&tar, dir, &few), ERR_TOO_LARGE);
	tar.data[0] = 'b';
	assert_int_equal(extract(&tar, dir, &limits), ERR_CORRUPT); /* its sum */
	buf_reset(&tar);
	for (int i = 0; i < 4; i++)
		add_entry(&tar, '0', "a", "");
	assert_int_equal(extract(&tar, dir, &limits), ERR_TOO_LARGE);
	support_remove(dir);
}

/* Long names and links survive the way out and back in. */
static void test_archive_round(void **state)
{
	const struct archive_limits limits = {.bytes = 10000, .files = 100};
	char name[201];
	auto_free char *from = support_dir();
	auto_free char *to = support_dir();
	struct why why = {0};
	(void)state;
	memset(name, 'n', 200);
	name[200] = '\0';
	auto_free char *link = mem_printf("%s/link", from);
	support_write(from, name, "long\n");
	assert_int_equal(symlink(name, link), 0);
	auto_fd int a = open(from, O_RDONLY | O_DIRECTORY);
	auto_fd int b = open(to, O_RDONLY | O_DIRECTORY);
	auto_fd int tar = open("/tmp", O_RDWR | O_TMPFILE, 0600);
	assert_int_equal(archive_pack(a, tar, &limits, NULL, &why), 0);
	assert_int_equal(lseek(tar, 0, SEEK_SET), 0);
	assert_int_equal(archive_extract(tar, b, &limits, NULL, &why), 0);
	auto_free char *there = mem_printf("%s/link", to);
	auto_buf text = {0};
	assert_int_equal(buf_read_file(&text, there, 100), 0);
	assert_string_equal(text.data, "long\n");
	support_remove(from);
	support_remove(to);
}

/* Deeper than descriptors or path names last. */
static void test_clear_deep(void **state)
{
	auto_free char *dir = support_dir();
	struct why why = {0};
	auto_fd int top = open(dir, O_RDONLY | O_DIRECTORY);
	int at = dup(top);
	(void)state;
	for (int i = 0; i < 3000; i++) {
		assert_int_equal(mkdirat(at, "d", 0755), 0);
		int next = openat(at, "d", O_RDONLY | O_DIRECTORY);
		close(at);
		at = next;
	}
	close(at);
	assert_int_equal(archive_clear(top, &why), 0);
	assert_int_equal(rmdir(dir), 0);
}

/* Where a file system of its own says no, or, without one, somebody watches. */
static void files_do_not_outgrow_their_room(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wishes); i++) {
		sandbox_probe(wishes[i]);
		struct ran ran =
			run_script("i=0; while [ $i -lt 40 ]; do head -c 1000000 /dev/zero >f$i "
				   "|| exit 9; i=$((i+1)); done; sleep 60",
				   20000);
		bool full = ran.r.state == RUN_ENDED
				    ? ran.r.exit_code == 9
				    : strstr(ran.r.why.text, "more than 8 MiB") != NULL;
		if (!full)
			fail_msg("%d: %d %s", (int)sandbox_level(), ran.r.exit_code,
				 ran.r.why.text);
		done(&ran);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(files_do_not_outgrow_their_room),
					   cmocka_unit_test(test_not_tried),
					   cmocka_unit_test(test_comes_back),
					   cmocka_unit_test(test_hostile_tree),
					   cmocka_unit_test(test_contained),
					   cmocka_unit_test(test_room),
					   cmocka_unit_test(test_timeout),
					   cmocka_unit_test(test_lost),
					   cmocka_unit_test(test_refused),
					   cmocka_unit_test(test_archive_hostile),
					   cmocka_unit_test(test_archive_wrong),
					   cmocka_unit_test(test_archive_round),
					   cmocka_unit_test(test_clear_deep)};

	return cmocka_run_group_tests_name("cell", tests, NULL, NULL);
}
