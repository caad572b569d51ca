#include "notifier/ctl/ctl.h"

#include "common/mem.h"

enum { HELP_COLUMN = 26 };

static void say_pair(struct ctl *c, const char *left, const char *right)
{
	size_t columns = ctl_columns(left) + 2;

	ctl_printf(c, "  %s", left);
	if (columns + 2 > HELP_COLUMN)
		ctl_printf(c, "\n%*s", HELP_COLUMN, "");
	else
		ctl_printf(c, "%*s", (int)(HELP_COLUMN - columns), "");
	ctl_wrap(c, HELP_COLUMN, HELP_COLUMN, right);
}

static void say_flags(struct ctl *c, const struct ctl_flag *flags, size_t n)
{
	for (size_t i = 0; i < n && flags[i].name; i++) {
		const struct ctl_flag *f = &flags[i];
		auto_buf left = {0};

		if (f->letter)
			buf_printf(&left, "-%c, ", f->letter);
		buf_printf(&left, "--%s%s%s", f->name, f->arg ? " " : "", f->arg ? f->arg : "");
		say_pair(c, buf_str(&left), f->help);
	}
}

static void say_all(struct ctl *c)
{
	ctl_printf(c, "healctl [OPTION...] COMMAND [WORD...]\n\n");
	for (size_t i = 0; i < ctl_commands_n; i++) {
		const struct ctl_command *cmd = ctl_commands[i];

		if (!cmd->summary)
			continue;
		auto_free char *left =
			mem_printf("%s%s%s", cmd->name, *cmd->args ? " " : "", cmd->args);
		say_pair(c, left, cmd->summary);
	}
	ctl_printf(c, "\nOptions of all commands:\n");
	say_flags(c, ctl_global_flags, ctl_global_flags_n);
	ctl_printf(c,
		   "\nExit codes: 0 done, 1 it said no or a check failed, 64 wrong usage, 69 not "
		   "reachable.\n");
}

static int say_one(struct ctl *c, const char *name)
{
	const struct ctl_command *cmd = ctl_command_find(name);
	bool found = false;

	if (cmd && cmd->summary) {
		ctl_printf(c, "healctl %s %s\n\n", cmd->name, cmd->args);
		ctl_wrap(c, 0, 0, cmd->summary);
		if (*cmd->help) {
			ctl_printf(c, "\n");
			ctl_wrap(c, 0, 0, cmd->help);
		}
		ctl_printf(c, "\n");
		say_flags(c, cmd->flags, CTL_FLAGS_MAX);
		say_flags(c, ctl_global_flags, ctl_global_flags_n);
		return EXIT_OK;
	}
	/* "silence" names three commands */
	for (size_t i = 0; i < ctl_commands_n; i++) {
		size_t len = strlen(name);

		if (strncmp(ctl_commands[i]->name, name, len) != 0 ||
		    ctl_commands[i]->name[len] != ' ')
			continue;
		auto_free char *left =
			mem_printf("%s %s", ctl_commands[i]->name, ctl_commands[i]->args);
		say_pair(c, left, ctl_commands[i]->summary);
		found = true;
	}
	return found ? EXIT_OK
		     : ctl_fail(EXIT_USAGE, "healctl help lists the commands",
				"%s: no such command", name);
}

static int cmd_help(struct ctl *c)
{
	if (c->n_args == 0) {
		say_all(c);
		return EXIT_OK;
	}
	auto_free char *name = c->n_args == 2 ? mem_printf("%s %s", c->args[0], c->args[1])
					      : mem_strdup(c->args[0]);
	return say_one(c, name);
}

static int cmd_version(struct ctl *c)
{
	ctl_printf(c, "healctl %s\n", HEALBUS_VERSION);
	return EXIT_OK;
}

const struct ctl_command command_help = {
	.name = "help",
	.args = "[COMMAND]",
	.summary = "what the commands do and take",
	.help = "",
	.run = cmd_help,
	.args_max = 2,
};

const struct ctl_command command_version = {
	.name = "version",
	.args = "",
	.summary = "print the version",
	.help = "",
	.run = cmd_version,
};
