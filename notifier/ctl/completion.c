#include "notifier/ctl/ctl.h"

/* The scripts are written from the table of commands; ids are asked of the notifier. */

static const struct {
	enum ctl_names names;
	const char *kind; /* of `healctl names` */
	const char *path, *list;
} sources[] = {
	{NAMES_INCIDENT, "incidents", "/api/incidents", "incidents"},
	{NAMES_PLAN, "plans", "/api/incidents", "incidents"},
	{NAMES_APPROVAL, "approvals", "/api/approvals", "approvals"},
	{NAMES_CHANGE, "changes", "/api/changes", "changes"},
	{NAMES_SILENCE, "silences", "/api/silences", "silences"},
	{NAMES_DEAD, "dead", "/api/dead", "dead"},
};

static const char *kind_of(enum ctl_names names)
{
	for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
		if (sources[i].names == names)
			return sources[i].kind;
	}
	return NULL;
}

static int cmd_names(struct ctl *c)
{
	auto_json *j = NULL;
	size_t i, k = 0;
	const json_t *item;

	while (k < ARRAY_SIZE(sources) && !str_eq(sources[k].kind, c->args[0]))
		k++;
	if (k == ARRAY_SIZE(sources))
		return EXIT_USAGE;
	int rc = ctl_get(c, sources[k].path, &j);
	if (rc)
		return rc;
	json_array_foreach(json_object_get(j, sources[k].list), i, item)
	{
		if (ji(item, "seq"))
			ctl_printf(c, "%" PRId64, ji(item, "seq"));
		ctl_text(c, js(item, "id"));
		ctl_printf(c, "\n");
	}
	return EXIT_OK;
}

/* First words: of "silence add" only "silence", and once. */
static void add_first_words(struct ctl *c)
{
	const char *last = "";

	for (size_t i = 0; i < ctl_commands_n; i++) {
		const char *name = ctl_commands[i]->name;
		size_t len = strcspn(name, " ");

		if (!ctl_commands[i]->summary ||
		    (strncmp(last, name, len) == 0 && strcspn(last, " ") == len))
			continue;
		ctl_printf(c, "%s%.*s", *last ? " " : "", (int)len, name);
		last = name;
	}
}

static void add_flags(struct ctl *c, const struct ctl_flag *flags, size_t n)
{
	for (size_t i = 0; i < n && flags[i].name; i++)
		ctl_printf(c, " --%s", flags[i].name);
}

static void add_cases(struct ctl *c)
{
	for (size_t i = 0; i < ctl_commands_n; i++) {
		const struct ctl_command *cmd = ctl_commands[i];
		const char *kind = kind_of(cmd->names);

		if (!cmd->summary)
			continue;
		ctl_printf(c, "\t\"%s\") flags=\"", cmd->name);
		add_flags(c, cmd->flags, CTL_FLAGS_MAX);
		ctl_printf(c, "\"");
		if (kind)
			ctl_printf(c, "; candidates=$(healctl names %s 2>/dev/null)", kind);
		if (cmd->names == NAMES_SHELL)
			ctl_printf(c, "; candidates=\"bash zsh\"");
		if (cmd->names == NAMES_FILE)
			ctl_printf(c, "; files=1");
		ctl_printf(c, " ;;\n");
	}
}

/* "silence) words="add ls expire" ;;" */
static void add_second_words(struct ctl *c)
{
	const char *open = "";

	for (size_t i = 0; i < ctl_commands_n; i++) {
		const char *name = ctl_commands[i]->name, *space = strchr(name, ' ');

		if (*open && (!space || strncmp(open, name, (size_t)(space - name) + 1) != 0)) {
			ctl_printf(c, "\" ;;\n");
			open = "";
		}
		if (!space)
			continue;
		if (!*open)
			ctl_printf(c, "\t%.*s) candidates=\"", (int)(space - name), name);
		ctl_printf(c, "%s%s", *open ? " " : "", space + 1);
		open = name;
	}
}

static void shell_body(struct ctl *c)
{
	ctl_printf(c, "\tcase $command in\n\t\"\") candidates=\"");
	add_first_words(c);
	ctl_printf(c, "\" ;;\n");
	add_second_words(c);
	add_cases(c);
	ctl_printf(c, "\tesac\n\tflags=\"$flags");
	add_flags(c, ctl_global_flags, ctl_global_flags_n);
	ctl_printf(c, "\"\n");
}

/* Sets `command` to the one or two first words that are no options. */
static const char find_words[] = "\tfor word in \"${before[@]}\"; do\n"
				 "\t\tcase $word in\n"
				 "\t\t-*) continue ;;\n"
				 "\t\tesac\n"
				 "\t\tcase $command in\n"
				 "\t\t\"\") command=$word ;;\n"
				 "\t\tsilence | dead) command=\"$command $word\" ;;\n"
				 "\t\tesac\n"
				 "\tdone\n";

static void bash(struct ctl *c)
{
	ctl_printf(c,
		   "# Written by `healctl completion bash`.\n"
		   "_healctl() {\n"
		   "\tlocal cur=${COMP_WORDS[COMP_CWORD]} command='' word='' candidates='' "
		   "flags='' files=''\n"
		   "\tlocal before=(\"${COMP_WORDS[@]:1:COMP_CWORD-1}\")\n%s",
		   find_words);
	shell_body(c);
	ctl_printf(c, "\tCOMPREPLY=()\n"
		      "\tif [ -n \"$files\" ] && [[ $cur != -* ]]; then\n"
		      "\t\tmapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
		      "\telif [[ $cur == -* ]]; then\n"
		      "\t\tmapfile -t COMPREPLY < <(compgen -W \"$flags\" -- \"$cur\")\n"
		      "\telse\n"
		      "\t\tmapfile -t COMPREPLY < <(compgen -W \"$candidates\" -- \"$cur\")\n"
		      "\tfi\n"
		      "}\n"
		      "complete -F _healctl healctl\n");
}

static void zsh(struct ctl *c)
{
	ctl_printf(c,
		   "#compdef healctl\n"
		   "# Written by `healctl completion zsh`.\n"
		   "_healctl() {\n"
		   "\tlocal command='' word='' candidates='' flags='' files=''\n"
		   "\tlocal -a before\n"
		   "\tlocal cur=$words[CURRENT]\n"
		   "\tbefore=(\"${(@)words[2,CURRENT-1]}\")\n%s",
		   find_words);
	shell_body(c);
	ctl_printf(c, "\tif [[ -n $files && $cur != -* ]]; then\n"
		      "\t\t_files\n"
		      "\telif [[ $cur == -* ]]; then\n"
		      "\t\tcompadd -- ${=flags}\n"
		      "\telse\n"
		      "\t\tcompadd -- ${=candidates}\n"
		      "\tfi\n"
		      "}\n"
		      "_healctl \"$@\"\n");
}

static int cmd_completion(struct ctl *c)
{
	if (str_eq(c->args[0], "bash"))
		bash(c);
	else if (str_eq(c->args[0], "zsh"))
		zsh(c);
	else
		return ctl_fail(EXIT_USAGE, "healctl completion bash, or zsh",
				"%s: no such shell here", c->args[0]);
	return EXIT_OK;
}

static const char help_completion[] =
	"For bash: healctl completion bash > /etc/bash_completion.d/healctl. For zsh: a file "
	"_healctl in a directory of $fpath.";

const struct ctl_command command_completion = {
	.name = "completion",
	.args = "bash|zsh",
	.summary = "print the completion script of a shell",
	.help = help_completion,
	.run = cmd_completion,
	CTL_ONE_OF(NAMES_SHELL),
};

/* For the completion scripts; without a summary it is listed nowhere. */
const struct ctl_command command_names = {
	.name = "names",
	.args = "KIND",
	.run = cmd_names,
	.args_min = 1,
	.args_max = 1,
};
