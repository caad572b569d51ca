#include "monitor/command.h"

#include "common/clock.h"
#include "common/recording.h"

enum { PROGRESS_MS = 500 };

int command_usage(const struct command *c, const char *what)
{
	fprintf(stderr, "healbus-monitor %s: %s\n\n%s", c->name, what, c->usage);
	return COMMAND_USAGE;
}

int command_fail(const struct command *c, int code, const char *what)
{
	fprintf(stderr, "healbus-monitor %s: %s\n", c->name, what);
	return code;
}

static int wrong(const struct command *c, const char *arg, const char *what)
{
	char text[256];

	snprintf(text, sizeof(text), "%.100s: %s", arg, what);
	return command_usage(c, text);
}

/* Takes one option at argv[i] and says how many words it was; 0 after a complaint. */
static int take_option(const struct command *c, char **argv, void *request)
{
	const char *arg = argv[0];
	size_t len = strcspn(arg, "=");

	for (size_t i = 0; i < c->n_options; i++) {
		const struct command_option *o = &c->options[i];
		const char *value = arg[len] ? arg + len + 1 : argv[1];

		if (strlen(o->name) != len || strncmp(o->name, arg, len) != 0)
			continue;
		if (value && o->take(request, value) == 0)
			return arg[len] ? 1 : 2;
		wrong(c, arg, o->wants);
		return 0;
	}
	wrong(c, arg, "no such option");
	return 0;
}

int command_parse(const struct command *c, int argc, char **argv, void *request,
		  const char **out_word)
{
	const char *word = NULL;

	for (int i = 1; i < argc;) {
		if (str_eq(argv[i], "--help") || str_eq(argv[i], "-h")) {
			printf("%s", c->usage);
			return COMMAND_HELPED;
		}
		if (argv[i][0] == '-' && argv[i][1]) {
			int words = take_option(c, argv + i, request);

			if (words == 0)
				return COMMAND_USAGE;
			i += words;
			continue;
		}
		if (word)
			return wrong(c, argv[i], "one word too many");
		word = argv[i++];
	}
	if (!word)
		return command_usage(c, "which file?");
	*out_word = word;
	return 0;
}

unsigned streams_parse(const char *text)
{
	unsigned streams = 0;

	if (str_eq(text, "all"))
		return 7;
	for (const char *at = text; *at;) {
		size_t len = strcspn(at, ",");
		unsigned found = 0;

		for (unsigned i = 0; i < RECORDING_STREAMS; i++) {
			if (strlen(recording_streams[i]) == len &&
			    strncmp(recording_streams[i], at, len) == 0)
				found = 1U << i;
		}
		if (!found)
			return 0;
		streams |= found;
		at += len + (at[len] == ',');
	}
	return streams;
}

void progress_begin(struct progress *p)
{
	*p = (struct progress){.terminal = isatty(STDERR_FILENO)};
}

bool progress_due(struct progress *p)
{
	int64_t now = clock_mono_ms();

	if (!p->terminal || now - p->shown_mono_ms < PROGRESS_MS)
		return false;
	p->shown_mono_ms = now;
	return true;
}

void progress_end(const struct progress *p)
{
	if (p->terminal && p->shown_mono_ms)
		fprintf(stderr, "\r\033[K");
}
