#include "notifier/ctl/ctl.h"

#include "common/id.h"

#include <fcntl.h>
#include <sys/random.h>

/* Longer than anybody guesses: 256 bits from the kernel. */
static void token_new(char out[static 2 * DIGEST_BYTES + 1])
{
	uint8_t bytes[DIGEST_BYTES];
	while (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		if (errno != EINTR)
			abort();
	hex_encode(bytes, sizeof(bytes), out);
	explicit_bzero(bytes, sizeof(bytes));
}

/* Never over another token: whoever holds that one would be locked out unasked. */
static int token_store(const char *path, const char *token)
{
	auto_fd int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	size_t len = strlen(token);
	if (fd < 0)
		return ctl_fail(EXIT_NO, "name a file that is not there yet, or remove the old one",
				"%s: %s", path, strerror(errno));
	if (write(fd, token, len) != (ssize_t)len || write(fd, "\n", 1) != 1 || fsync(fd) != 0)
		return ctl_fail(EXIT_NO, "make room there and remove the file", "%s: %s", path,
				strerror(errno));
	return EXIT_OK;
}

static int cmd_token(struct ctl *c)
{
	char token[2 * DIGEST_BYTES + 1];
	const char *out = ctl_flag(c, "out");
	if (!token_valid(c->args[0]))
		return ctl_fail(EXIT_USAGE, "use the person's name in people:", "%s: not a name",
				c->args[0]);
	token_new(token);
	int rc = out ? token_store(out, token) : EXIT_OK;
	if (!rc && !out)
		ctl_printf(c, "%s\n", token);
	else if (!rc)
		ctl_printf(c,
			   "%s holds a token for %s; in notifier.yaml, under people:\n"
			   "  - {name: %s, roles: [viewer], token_file: %s}\n",
			   out, c->args[0], c->args[0], out);
	explicit_bzero(token, sizeof(token));
	return rc;
}

static const char help_token[] =
	"Prints 256 random bits, or writes them to a file that only you can read and says "
	"what to add to notifier.yaml. Needs no notifier; it takes effect when the notifier "
	"reads its configuration again (SIGHUP). A new token in the old one's place ends the "
	"sessions that were opened with that.";

const struct ctl_command command_token = {
	.name = "token",
	.args = "NAME",
	.summary = "make a token with which a person logs in",
	.help = help_token,
	.run = cmd_token,
	.args_min = 1,
	.args_max = 1,
	.flags = {{"out", 0, "FILE", "Write it there, in place of printing it."}},
};
