#include "notifier/ctl/ctl.h"

#include <sys/ioctl.h>

#include "common/mem.h"

const struct ctl_flag ctl_global_flags[] = {
	{"url", 0, "URL",
	 "The notifier's address. Default: $HEALBUS_URL, else http://127.0.0.1:9098."},
	{"token-file", 0, "FILE",
	 "File with the API token (mode 0600). Default: $HEALBUS_TOKEN_FILE, else "
	 "~/.config/healbus/token when it exists."},
	{"config", 'c', "DIR",
	 "Configuration directory, for publish, backtest, classify and doctor. Default: "
	 "$HEALBUS_CONFIG, "
	 "else /etc/healbus."},
	{"json", 0, NULL, "Print JSON for programs instead of text for people."},
	{"no-color", 0, NULL,
	 "No colours. They are off anyway without a terminal or with NO_COLOR."},
	{"help", 'h', NULL, "What the command does and takes."},
	{"version", 0, NULL, "Print the version."},
};
const size_t ctl_global_flags_n = ARRAY_SIZE(ctl_global_flags);

const struct ctl_command *ctl_command_find(const char *name)
{
	for (size_t i = 0; i < ctl_commands_n; i++) {
		if (str_eq(ctl_commands[i]->name, name))
			return ctl_commands[i];
	}
	return NULL;
}

static const struct ctl_command *find_pair(const char *first, const char *second)
{
	auto_free char *name = mem_printf("%s %s", first, second);

	return ctl_command_find(name);
}

/* The longest row that the words begin with; "dead" alone is "dead ls". */
static void find_words(struct ctl *c, const char *const *words, size_t n)
{
	if (n >= 2) {
		c->name_words = 2;
		c->command = find_pair(words[0], words[1]);
	}
	if (n >= 1 && !c->command) {
		c->name_words = 1;
		c->command = ctl_command_find(words[0]);
	}
	if (n >= 1 && !c->command)
		c->command = find_pair(words[0], "ls");
}

static bool flag_is(const struct ctl_flag *f, const char *name, size_t len, char letter)
{
	if (letter)
		return f->letter == letter;
	return strlen(f->name) == len && strncmp(f->name, name, len) == 0;
}

/* The row that a word names, and where its value goes; NULL when there is none. */
static const struct ctl_flag *flag_find(struct ctl *c, const char *name, size_t len, char letter,
					const char ***out_slot)
{
	const struct ctl_flag *own = c->command ? c->command->flags : NULL;

	for (size_t i = 0; i < ctl_global_flags_n; i++) {
		*out_slot = &c->globals[i];
		if (flag_is(&ctl_global_flags[i], name, len, letter))
			return &ctl_global_flags[i];
	}
	for (size_t i = 0; own && i < CTL_FLAGS_MAX && own[i].name; i++) {
		*out_slot = &c->values[i];
		if (flag_is(&own[i], name, len, letter))
			return &own[i];
	}
	return NULL;
}

static int bad_flag(const struct ctl *c, const char *text, const char *what)
{
	auto_buf next = {0};

	buf_printf(&next, "healctl help%s%s shows the options", c->command ? " " : "",
		   c->command ? c->command->name : "");
	return ctl_fail(EXIT_USAGE, buf_str(&next), "%s: %s", text, what);
}

/* An option that may be given again has all its values, joined by commas. */
static void join_value(struct ctl *c, const struct ctl_flag *flag, const char **slot,
		       const char *before)
{
	if (!before || !strstr(flag->arg, "..."))
		return;
	size_t i = (size_t)(slot - c->values);
	char *joined = mem_printf("%s,%s", before, *slot);

	free(c->joined[i]);
	c->joined[i] = joined;
	*slot = joined;
}

void ctl_parse_release(struct ctl *c)
{
	for (size_t i = 0; i < ARRAY_SIZE(c->joined); i++)
		free(c->joined[i]);
}

/* One option at argv[*at]; takes the next word when it has to. */
static int parse_flag(struct ctl *c, int argc, char **argv, int *at)
{
	const char *text = argv[*at];
	bool is_long = text[1] == '-';
	const char *name = text + (is_long ? 2 : 1);
	const char *equals = is_long ? strchr(name, '=') : NULL;
	size_t len = equals ? (size_t)(equals - name) : strlen(name);
	const char **slot;
	const struct ctl_flag *flag = flag_find(c, name, len, is_long ? 0 : *name, &slot);

	if (!flag || (!is_long && name[1] && !flag->arg))
		return bad_flag(c, text, "no such option");
	if (!flag->arg) {
		*slot = "";
		return equals ? bad_flag(c, text, "this option takes no value") : EXIT_OK;
	}
	const char *before = *slot;
	if (equals)
		*slot = equals + 1;
	else if (!is_long && name[1])
		*slot = name + 1;
	else if (*at + 1 < argc)
		*slot = argv[++*at];
	else
		return bad_flag(c, text, "this option needs a value");
	join_value(c, flag, slot, before);
	return EXIT_OK;
}

static bool is_flag(const char *word)
{
	return word[0] == '-' && word[1];
}

/* Options of a command may stand before its name, so the name is looked for first: the first words
 * that are no options and no values of the global ones. */
static void find_command(struct ctl *c, int argc, char **argv)
{
	const char *words[2];
	size_t n = 0;

	for (int i = 1; i < argc && n < 2 && !str_eq(argv[i], "--"); i++) {
		const struct ctl_flag *flag;
		const char **slot;

		if (!is_flag(argv[i])) {
			words[n++] = argv[i];
			continue;
		}
		bool is_long = argv[i][1] == '-';
		const char *name = is_long ? argv[i] + 2 : "";
		flag = flag_find(c, name, strlen(name), is_long ? 0 : argv[i][1], &slot);
		if (!flag)
			continue;
		i += flag->arg && (is_long || !argv[i][2]);
	}
	find_words(c, words, n);
}

static int check_args(struct ctl *c)
{
	const struct ctl_command *cmd = c->command;
	auto_buf next = {0};

	if (c->n_args >= cmd->args_min && c->n_args <= cmd->args_max)
		return EXIT_OK;
	buf_printf(&next, "healctl help %s", cmd->name);
	return ctl_fail(EXIT_USAGE, buf_str(&next), "want: healctl %s %s", cmd->name, cmd->args);
}

static int parse_words(struct ctl *c, int argc, char **argv)
{
	bool only_args = false;

	for (int i = 1; i < argc; i++) {
		int rc = EXIT_OK;

		if (!only_args && str_eq(argv[i], "--"))
			only_args = true;
		else if (!only_args && is_flag(argv[i]))
			rc = parse_flag(c, argc, argv, &i);
		else if (c->n_args == CTL_ARGS_MAX)
			rc = ctl_fail(EXIT_USAGE, "give fewer", "more than %d words", CTL_ARGS_MAX);
		else
			c->args[c->n_args++] = argv[i];
		if (rc)
			return rc;
	}
	return EXIT_OK;
}

static void drop_name(struct ctl *c)
{
	c->n_args -= c->name_words;
	memmove(c->args, c->args + c->name_words, c->n_args * sizeof(c->args[0]));
}

static void look_at_terminal(struct ctl *c)
{
	struct winsize size = {0};
	const char *columns = getenv("COLUMNS"), *no_color = getenv("NO_COLOR");
	const char *term = getenv("TERM");

	c->terminal = isatty(STDOUT_FILENO);
	c->colour = c->terminal && !(no_color && *no_color) && !ctl_flag(c, "no-color") && term &&
		    !str_eq(term, "dumb");
	c->width = 100;
	if (c->terminal && !ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_col >= 20)
		c->width = size.ws_col;
	else if (columns && strtoul(columns, NULL, 10) >= 20)
		c->width = (unsigned)MIN(strtoul(columns, NULL, 10), 1000UL);
}

static int unknown(const struct ctl *c)
{
	if (c->n_args == 0)
		return EXIT_OK;
	return ctl_fail(EXIT_USAGE, "healctl help lists the commands", "%s: no such command",
			c->args[0]);
}

int ctl_parse(struct ctl *c, int argc, char **argv)
{
	find_command(c, argc, argv);
	int rc = parse_words(c, argc, argv);
	if (rc)
		return rc;
	look_at_terminal(c);
	if (ctl_flag(c, "version")) {
		c->command = ctl_command_find("version");
		return EXIT_OK;
	}
	if (ctl_flag(c, "help") || (!c->command && c->n_args == 0)) {
		/* help's words are the name of the command that is asked about */
		if (!c->command && unknown(c))
			return EXIT_USAGE;
		if (c->command && !str_eq(c->command->name, "help")) {
			c->args[0] = c->command->name;
			c->n_args = 1;
		}
		c->command = ctl_command_find("help");
		return EXIT_OK;
	}
	if (!c->command)
		return unknown(c);
	drop_name(c);
	return check_args(c);
}

const char *ctl_flag(const struct ctl *c, const char *name)
{
	for (size_t i = 0; i < ctl_global_flags_n; i++) {
		if (str_eq(ctl_global_flags[i].name, name))
			return c->globals[i];
	}
	for (size_t i = 0; c->command && i < CTL_FLAGS_MAX && c->command->flags[i].name; i++) {
		if (str_eq(c->command->flags[i].name, name))
			return c->values[i];
	}
	return NULL;
}
