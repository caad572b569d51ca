/* A cell in a container, by the Docker Engine's API over its unix socket: a read-only root, no
 * network, no capability, two volumes in memory that go with it. The container idles; the program
 * is one exec in it, so that the tree can be put in before and taken out afterwards, when all its
 * processes have been paused. */
#include "common/base.h"

#include <fcntl.h>
#include <jansson.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/id.h"
#include "common/mem.h"
#include "executor/sandboxes/archive.h"
#include "executor/sandboxes/place.h"

enum {
	CALL_MS = 30000,
	POLL_MS = 200,
	OUT_BYTES = 16 << 20, /* of the volume that takes the program's output */
	OWNER = 65534,        /* nobody */
	NAME_BYTES = 40,
};

#define API "http://docker/v1.41"
/* In memory on the host, twice (the volume, the archive): smaller than elsewhere. */
#define DISK_BYTES ((int64_t)512 << 20)

/* Never sees words of the program's but as arguments. */
static const char script[] = "cd /work && exec \"$@\" >/out/text 2>&1 <\"$0\"";

/* One container and what belongs to it. */
struct box {
	const struct docker_settings *settings;
	const struct cell *cell;
	const struct sandbox_job *job;
	const struct run_limits *limits;
	struct run_result *result;
	struct http_client *http;
	bool own_http;
	char name[NAME_BYTES]; /* of the container; its volumes have a letter more */
	char work[NAME_BYTES + 2], out[NAME_BYTES + 2];
	int64_t disk_bytes, files;
	bool began; /* the engine was told to start the program, and did */
};

static int fail(struct box *b, int rc, const char *what)
{
	b->result->state = RUN_FAILED;
	if (b->result->why.text[0])
		return why_prefix(&b->result->why, rc, "docker: %s", what);
	return why_set(&b->result->why, rc, "docker: %s", what);
}

/* ---- calls ---- */

struct ask {
	const char *method, *path; /* path: behind /v1.41 */
	const char *type;          /* of the body */
	const void *body;
	size_t len;
	size_t max_bytes;
};

/* 0 for 2xx and 304 ("it is so already"); the engine's own words otherwise. */
static int call(struct box *b, const struct ask *a, struct buf *out)
{
	auto_free char *url = mem_printf(API "%s", a->path);
	const char *const headers[] = {a->type ? a->type : "Content-Type: application/json", NULL};
	const struct http_call c = {.method = a->method,
				    .url = url,
				    .headers = headers,
				    .body = a->body ? a->body : "",
				    .body_len = a->len,
				    .timeout_ms = CALL_MS,
				    .body_max_bytes = a->max_bytes,
				    .unix_socket = b->settings->socket};
	struct http_answer answer = {0};
	int rc = http_client_call(b->http, &c, &answer, &b->result->why);
	if (!rc && answer.status != 304)
		rc = http_status_err(answer.status);
	if (rc && answer.status)
		why_set(&b->result->why, rc, "%s: %ld: %.200s", a->path, answer.status,
			buf_str(&answer.body));
	if (!rc && out)
		buf_add(out, buf_str(&answer.body), answer.body.len);
	http_answer_release(&answer);
	return rc;
}

static int call_json(struct box *b, const char *path, json_t *body, json_t **out)
{
	auto_free char *text = json_dumps(body, JSON_COMPACT);
	auto_buf answer = {0};
	json_decref(body);
	const struct ask a = {.method = "POST",
			      .path = path,
			      .body = text,
			      .len = text ? strlen(text) : 0,
			      .max_bytes = 1 << 20};
	int rc = text ? call(b, &a, &answer) : ERR_INVALID;
	if (!rc && out) {
		*out = json_loadb(buf_str(&answer), answer.len, 0, NULL);
		rc = *out ? 0 : why_set(&b->result->why, ERR_INVALID, "%s: no JSON", path);
	}
	return rc;
}

/* ---- the container ---- */

static int make_volume(struct box *b, const char *name, int64_t bytes, int64_t files)
{
	auto_free char *options = mem_printf("size=%" PRId64 ",nr_inodes=%" PRId64
					     ",uid=%d,gid=%d,mode=0755,nosuid,nodev",
					     bytes, files, OWNER, OWNER);
	return call_json(b, "/volumes/create",
			 json_pack("{s:s, s:s, s:{s:s, s:s, s:s}, s:{s:s}}", "Name", name, "Driver",
				   "local", "DriverOpts", "type", "tmpfs", "device", "tmpfs", "o",
				   options, "Labels", "healbus", b->cell->dir),
			 NULL);
}

static json_t *host_config(const struct box *b)
{
	const struct spawn_bounds *l = &b->job->bounds;
	auto_buf profile = {0};
	buf_add_str(&profile, "seccomp=");
	seccomp_profile(&profile);
	json_int_t memory = l->memory_bytes ? l->memory_bytes : CELL_MEMORY_BYTES;
	json_int_t files = l->open_files ? l->open_files : CELL_OPEN_FILES;
	json_t *h = json_pack(
		"{s:s, s:b, s:[s], s:[s,s], s:I, s:I, s:I, s:s, s:b, s:{s:s}, s:{s:s}}",
		"NetworkMode", "none", "ReadonlyRootfs", 1, "CapDrop", "ALL", "SecurityOpt",
		"no-new-privileges:true", buf_str(&profile), "PidsLimit",
		(json_int_t)(l->processes ? l->processes : CELL_PROCESSES), "Memory", memory,
		"MemorySwap", memory, "IpcMode", "private", "Init", 1, "Tmpfs", "/tmp",
		"rw,nosuid,nodev,mode=1777,size=67108864", "LogConfig", "Type", "none");
	json_object_set_new(h, "NanoCpus", json_integer(2000000000));
	json_object_set_new(h, "Mounts",
			    json_pack("[{s:s, s:s, s:s}, {s:s, s:s, s:s}]", "Type", "volume",
				      "Source", b->work, "Target", "/work", "Type", "volume",
				      "Source", b->out, "Target", "/out"));
	json_object_set_new(h, "Ulimits",
			    json_pack("[{s:s, s:I, s:I}, {s:s, s:i, s:i}]", "Name", "nofile",
				      "Soft", files, "Hard", files, "Name", "core", "Soft", 0,
				      "Hard", 0));
	return h;
}

static int start_container(struct box *b)
{
	auto_free char *create = mem_printf("/containers/create?name=%s", b->name);
	auto_free char *start = mem_printf("/containers/%s/start", b->name);
	json_t *body = json_pack("{s:s, s:[s,s], s:[], s:s, s:s, s:b, s:{s:s}, s:o}", "Image",
				 b->settings->image, "Cmd", "sleep", "infinity", "Entrypoint",
				 "User", "65534:65534", "WorkingDir", "/work", "NetworkDisabled", 1,
				 "Labels", "healbus", b->cell->dir, "HostConfig", host_config(b));
	int rc = make_volume(b, b->work, b->disk_bytes, b->files);
	if (!rc)
		rc = make_volume(b, b->out, OUT_BYTES, 16);
	if (rc)
		json_decref(body);
	else
		rc = call_json(b, create, body, NULL);
	return rc ? rc : call_json(b, start, json_object(), NULL);
}

/* Always, whatever happened: nothing of a cell outlives it. */
static void remove_all(struct box *b)
{
	struct why kept = b->result->why;
	auto_free char *container = mem_printf("/containers/%s?force=true&v=true", b->name);
	auto_free char *work = mem_printf("/volumes/%s?force=true", b->work);
	auto_free char *out = mem_printf("/volumes/%s?force=true", b->out);
	const char *const paths[] = {container, work, out};
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		const struct ask a = {.method = "DELETE", .path = paths[i]};
		call(b, &a, NULL);
	}
	b->result->why = kept;
}

/* ---- in and out ---- */

static int put_archive(struct box *b, int archive, const char *where)
{
	struct stat st;
	auto_free char *path = mem_printf("/containers/%s/archive?path=%s", b->name, where);
	if (fstat(archive, &st) || st.st_size == 0)
		return why_set(&b->result->why, ERR_IO, "an archive: %s", strerror(errno));
	void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, archive, 0);
	if (data == MAP_FAILED)
		return why_set(&b->result->why, ERR_IO, "an archive: %s", strerror(errno));
	const struct ask a = {.method = "PUT",
			      .path = path,
			      .type = "Content-Type: application/x-tar",
			      .body = data,
			      .len = (size_t)st.st_size};
	int rc = call(b, &a, NULL);
	munmap(data, (size_t)st.st_size);
	return rc;
}

static int scratch(const struct box *b)
{
	const char *dir = b->cell->scratch_dir ? b->cell->scratch_dir : "/var/tmp";
	return open(dir, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
}

static int put_tree(struct box *b)
{
	const struct archive_limits limits = {.bytes = b->disk_bytes,
					      .files = b->files,
					      .owner = OWNER,
					      .group = OWNER,
					      .chown = true};
	auto_fd int archive = scratch(b);
	auto_fd int dir = open(b->cell->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (archive < 0 || dir < 0)
		return why_set(&b->result->why, ERR_IO, "%s: %s", b->cell->dir, strerror(errno));
	int rc = archive_pack(dir, archive, &limits, NULL, &b->result->why);
	return rc ? rc : put_archive(b, archive, "/work");
}

/* The archive of a path in the container, to be read from its beginning. -1. */
static int take_archive(struct box *b, const char *where, int64_t max_bytes)
{
	auto_buf tar = {0};
	auto_free char *path = mem_printf("/containers/%s/archive?path=%s", b->name, where);
	const struct ask a = {.method = "GET", .path = path, .max_bytes = (size_t)max_bytes};
	if (call(b, &a, &tar))
		return -1;
	auto_fd int file = scratch(b);
	if (file < 0 || write(file, buf_str(&tar), tar.len) != (ssize_t)tar.len ||
	    lseek(file, 0, SEEK_SET) != 0)
		return -1;
	return fd_take(&file);
}

static int take_tree(struct box *b)
{
	const struct archive_limits limits = {.bytes = b->disk_bytes, .files = b->files + 1};
	auto_fd int archive =
		take_archive(b, "/work/.", b->disk_bytes + b->files * 1024 + (1 << 20));
	auto_fd int dir = open(b->cell->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (archive < 0 || dir < 0)
		return why_set(&b->result->why, ERR_IO, "the tree did not come back");
	int rc = archive_clear(dir, &b->result->why);
	return rc ? rc : archive_extract(archive, dir, &limits, NULL, &b->result->why);
}

/* The program's output: its end, when the caller wants that. */
static void keep_output(struct box *b, const struct buf *text)
{
	size_t max = b->limits->output_limit_bytes, cut = text->len > max ? text->len - max : 0;
	const char *from = buf_str(text) + (b->limits->keep_end ? cut : 0);
	buf_add(&b->result->output, from, text->len - cut);
	b->result->truncated = cut > 0;
}

static int take_output(struct box *b)
{
	const struct archive_limits limits = {.bytes = OUT_BYTES, .files = 16};
	auto_free char *place = mem_printf(
		"%s/healbus-out-XXXXXX", b->cell->scratch_dir ? b->cell->scratch_dir : "/var/tmp");
	auto_fd int archive = take_archive(b, "/out/.", OUT_BYTES + (1 << 20));
	if (archive < 0 || !mkdtemp(place))
		return why_set(&b->result->why, ERR_IO, "its output did not come back");
	auto_fd int dir = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_buf text = {0};
	struct why left = {0};
	int rc = archive_extract(archive, dir, &limits, NULL, &b->result->why);
	if (!rc && archive_collect(dir, "text", OUT_BYTES, &text, &left) == 0)
		keep_output(b, &text);
	archive_clear(dir, &left);
	rmdir(place);
	return rc;
}

/* ---- the program ---- */

static json_t *strings(char *const *list)
{
	json_t *a = json_array();
	for (; *list; list++)
		json_array_append_new(a, json_string(*list));
	return a;
}

static int start_program(struct box *b, char **out_id)
{
	auto_free char *path = mem_printf("/containers/%s/exec", b->name);
	json_t *argv = json_pack("[s,s,s,s]", "/bin/sh", "-c", script, "/dev/null"), *made = NULL;
	json_t *given = strings(b->job->argv);
	json_array_extend(argv, given);
	json_decref(given);
	int rc = call_json(b, path,
			   json_pack("{s:o, s:o, s:s, s:s}", "Cmd", argv, "Env",
				     strings(b->job->env), "User", "65534:65534", "WorkingDir",
				     "/work"),
			   &made);
	const char *id = json_string_value(json_object_get(made, "Id"));
	if (!rc && (!id || strspn(id, "0123456789abcdef") != strlen(id)))
		rc = why_set(&b->result->why, ERR_INVALID, "exec: no Id");
	if (!rc) {
		auto_free char *start = mem_printf("/exec/%s/start", id);
		*out_id = mem_strdup(id);
		rc = call_json(b, start, json_pack("{s:b, s:b}", "Detach", 1, "Tty", 0), NULL);
	}
	json_decref(made);
	return rc;
}

/* True when it has ended. */
static int look(struct box *b, const char *id, bool *out_ended)
{
	auto_free char *path = mem_printf("/exec/%s/json", id);
	auto_buf text = {0};
	const struct ask a = {.method = "GET", .path = path, .max_bytes = 1 << 20};
	int rc = call(b, &a, &text);
	json_t *o = rc ? NULL : json_loadb(buf_str(&text), text.len, 0, NULL);
	*out_ended = o && json_is_false(json_object_get(o, "Running"));
	b->result->exit_code = (int)json_integer_value(json_object_get(o, "ExitCode"));
	json_decref(o);
	return rc;
}

static int follow(struct box *b, const char *id)
{
	int64_t deadline = clock_mono_ms() + b->limits->timeout_ms;
	bool ended = false;
	for (;;) {
		int rc = look(b, id, &ended);
		if (rc || ended)
			return rc;
		if (clock_mono_ms() >= deadline)
			return why_set(&b->result->why, ERR_TIMEOUT,
				       "timed out after %" PRId64 " ms", b->limits->timeout_ms);
		if (b->limits->tick && !b->limits->tick(b->limits->tick_ctx))
			return why_set(&b->result->why, ERR_CLOSED,
				       "stopped: the target's lock was lost");
		const struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
		nanosleep(&pause, NULL);
	}
}

static int run_program(struct box *b)
{
	auto_free char *id = NULL;
	auto_free char *pause = mem_printf("/containers/%s/pause", b->name);
	int rc = start_program(b, &id);
	b->began = !rc;
	if (!rc)
		rc = follow(b, id);
	/* What it left running must not change what is being taken. */
	if (!rc)
		rc = call_json(b, pause, json_object(), NULL);
	if (!rc)
		rc = take_output(b);
	if (!rc && !b->cell->discard)
		rc = take_tree(b);
	return rc;
}

static int prepare(struct box *b)
{
	char random[ID_BYTES];
	if (b->job->n_binds || b->job->proxy || b->job->network || b->cell->input)
		return why_set(&b->result->why, ERR_UNSUPPORTED,
			       "a container has no paths of the host, no network and no input");
	if (!b->settings->socket || !b->settings->image)
		return why_set(&b->result->why, ERR_CONFIG, "docker.image: not configured");
	id_random(random);
	snprintf(b->name, sizeof(b->name), "healbus-%.24s", random);
	snprintf(b->work, sizeof(b->work), "%s-w", b->name);
	snprintf(b->out, sizeof(b->out), "%s-o", b->name);
	b->disk_bytes =
		b->cell->room.disk_bytes ? MIN(b->cell->room.disk_bytes, DISK_BYTES) : DISK_BYTES;
	b->files = b->cell->room.files ? b->cell->room.files : CELL_FILES;
	b->own_http = !b->limits->http;
	b->http = b->limits->http;
	return b->own_http ? http_client_new(&b->http) : 0;
}

static void run(const struct place_settings *settings, const struct cell *c,
		const struct sandbox_job *job, const struct run_limits *limits,
		struct run_result *result)
{
	struct box b = {.settings = &settings->docker,
			.cell = c,
			.job = job,
			.limits = limits,
			.result = result};
	result->state = RUN_FAILED;
	int rc = prepare(&b);
	if (!rc) {
		rc = start_container(&b);
		if (!rc)
			rc = put_tree(&b);
		if (!rc)
			rc = run_program(&b);
		remove_all(&b);
	}
	result->not_tried = rc && (!b.began || rc == ERR_UNAVAILABLE);
	if (rc)
		fail(&b, rc, b.began ? "no result" : "did not start");
	else
		result->state = RUN_ENDED;
	if (b.own_http)
		http_client_free(b.http);
}

static int check(const struct place_settings *s, struct why *out_why)
{
	if (!s->docker.socket || !*s->docker.socket)
		return why_set(out_why, ERR_CONFIG, "docker.socket: not configured");
	if (!s->docker.image || !*s->docker.image)
		return why_set(out_why, ERR_CONFIG, "docker.image: not configured");
	return 0;
}

const struct place place_docker = {.name = "docker", .check = check, .run = run};
