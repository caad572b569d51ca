/* A block of text on a terminal or at the end of a file. */
#include "common/clock.h"
#include "notifier/channels/channel.h"

#include <fcntl.h>
#include <poll.h>

struct terminal {
	char *path;
};

static int terminal_parse(struct channel *c, const struct yaml_node *node, struct why *out_why)
{
	static const char *const keys[] = {"path"};
	struct terminal *t = c->settings;
	int rc = channel_keys(node, keys, ARRAY_SIZE(keys), out_why);
	if (!rc)
		rc = channel_path(node, "path", &t->path, out_why);
	if (!rc && !t->path)
		rc = yaml_error(node, out_why, "channels: %s: needs a path, e.g. /dev/tty",
				c->name);
	return rc;
}

static void terminal_release(void *settings)
{
	struct terminal *t = settings;
	free(t->path);
}

static void terminal_text(const Healbus__Notice *n, struct buf *out)
{
	char at[TIME_TEXT_BYTES];
	time_format(n->at_ms, at);
	buf_printf(out, "%.19sZ ", at);
	buf_add_printable(out, n->subject, strlen(n->subject));
	buf_add_str(out, "\n    ");
	for (const char *line = n->text; *line;) {
		size_t len = strcspn(line, "\n");
		buf_add_printable(out, line, len);
		line += len + (line[len] == '\n');
		buf_add_str(out, *line ? "\n    " : "");
	}
	buf_add_char(out, '\n');
}

/* A stopped terminal must not hold the worker: what cannot be written in time fails. */
static int write_all(int fd, const struct buf *b, int64_t timeout_ms)
{
	int64_t end = clock_mono_ms() + timeout_ms;
	for (size_t done = 0; done < b->len;) {
		ssize_t n = write(fd, b->data + done, b->len - done);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return err_from_errno(errno);
		done += n > 0 ? (size_t)n : 0;
		struct pollfd p = {.fd = fd, .events = POLLOUT};
		if (n < 0 && (clock_mono_ms() >= end || poll(&p, 1, 100) < 0))
			return ERR_TIMEOUT;
	}
	return 0;
}

static int terminal_send(const struct channel_job *job, struct channel_result *out UNUSED,
			 struct why *out_why)
{
	const struct terminal *t = job->channel->settings;
	auto_buf text = {0};
	auto_fd int fd = open(
		t->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
	if (fd < 0)
		return why_set(out_why, ERR_UNAVAILABLE, "%s: %s", t->path, strerror(errno));
	terminal_text(job->notice, &text);
	int rc = write_all(fd, &text, job->channel->timeout_ms);
	return rc ? why_set(out_why, ERR_UNAVAILABLE, "%s: %s", t->path, err_name(rc)) : 0;
}

const struct channel_kind channel_terminal = {
	.name = "terminal",
	.parse = terminal_parse,
	.release = terminal_release,
	.settings_size = sizeof(struct terminal),
	.send = terminal_send,
};
