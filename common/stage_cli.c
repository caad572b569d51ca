#include "common/stage_private.h"

static const char default_dir[] = "/etc/healbus";
static const char hash_command[] = "hash";

static void print_usage(const struct stage_def *def, FILE *to)
{
	fprintf(to,
		"healbus-%s: %s\n\n"
		"usage: healbus-%s [-c DIR] [--check | --healthy | --print-config[=bus] | "
		"--example-config[=bus]]\n"
		"       healbus-%s [-c DIR] COMMAND ...\n\n"
		"  -c, --config DIR    configuration directory (default %s): bus.yaml, %s\n"
		"  --check             read the configuration, say what is wrong, exit 0 or 78\n"
		"  --healthy           ask the running stage whether it is ready, exit 0 or 1\n"
		"  --print-config      print the configuration in effect, as a file to use\n"
		"  --example-config    print a commented example of every key\n"
		"  --help, --version\n",
		def->name, def->summary, def->name, def->name, default_dir, def->options->file);
}

static int print_help(const struct stage_def *def)
{
	auto_buf keys = {0};
	auto_buf bus_keys = {0};
	print_usage(def, stdout);
	if (def->n_commands || def->n_folds)
		printf("\ncommands:\n");
	if (def->n_folds)
		printf("  %-18s  %s\n", hash_command,
		       "the state hash and last sequence of each fold, while the stage is stopped");
	for (size_t i = 0; i < def->n_commands; i++)
		printf("  %-18s  %s\n", def->commands[i].name, def->commands[i].help);
	config_help(def->options, &keys);
	config_help(&bus_option_table, &bus_keys);
	printf("\nkeys of %s (environment: %sKEY):\n%s", def->options->file,
	       def->options->env_prefix, buf_str(&keys));
	printf("\nkeys of bus.yaml (environment: %sKEY):\n%s", bus_option_table.env_prefix,
	       buf_str(&bus_keys));
	printf("\nsignals: TERM and INT drain and stop, a second one stops at once; HUP reloads.\n"
	       "exit codes: 0 stopped, 64 usage, 69 the bus refused us, 70 internal, 75 state in\n"
	       "use by another process, 78 configuration.\n"
	       "\ntry it:  healbus-%s --example-config > %s\n",
	       def->name, def->options->file);
	return EXIT_STOPPED;
}

static int usage_error(const struct stage_def *def, const char *what, const char *arg)
{
	fprintf(stderr, "healbus-%s: %s: %s\n\n", def->name, arg, what);
	print_usage(def, stderr);
	return EXIT_USAGE;
}

/* ---- parsing: one row an option; `value` marks those that take "=VALUE" ---- */

enum action { ACT_CHECK, ACT_HEALTHY, ACT_PRINT, ACT_EXAMPLE, ACT_HELP, ACT_VERSION };
static const struct {
	const char *name;
	enum action action;
	bool value;
} flags[] = {
	{"--check", ACT_CHECK, false},       {"--healthy", ACT_HEALTHY, false},
	{"--print-config", ACT_PRINT, true}, {"--example-config", ACT_EXAMPLE, true},
	{"--help", ACT_HELP, false},         {"-h", ACT_HELP, false},
	{"--version", ACT_VERSION, false},
};

static int take_flag(const struct stage_def *def, enum action action, struct stage_cli *out)
{
	if (action == ACT_HELP)
		return print_help(def);
	if (action == ACT_VERSION) {
		printf("healbus-%s %s\n", def->name, HEALBUS_VERSION);
		return EXIT_STOPPED;
	}
	out->check |= action == ACT_CHECK;
	out->healthy |= action == ACT_HEALTHY;
	out->print_config |= action == ACT_PRINT;
	out->example |= action == ACT_EXAMPLE;
	return -1;
}

static int parse_flag(const struct stage_def *def, const char *arg, struct stage_cli *out)
{
	size_t len = strcspn(arg, "=");
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		if (strlen(flags[i].name) != len || strncmp(flags[i].name, arg, len) != 0)
			continue;
		if (arg[len] && (!flags[i].value || !str_eq(arg + len, "=bus")))
			return usage_error(def, "no such value", arg);
		if (arg[len])
			out->print = "bus";
		return take_flag(def, flags[i].action, out);
	}
	return usage_error(def, "no such option", arg);
}

static bool is_dir_option(const char *arg)
{
	return str_eq(arg, "-c") || str_eq(arg, "--config");
}

int stage_cli_parse(const struct stage_def *def, int argc, char **argv, struct stage_cli *out)
{
	*out = (struct stage_cli){.config_dir = default_dir, .print = ""};
	int i = 1;
	for (; i < argc && argv[i][0] == '-'; i++) {
		if (str_starts(argv[i], "--config=")) {
			out->config_dir = argv[i] + strlen("--config=");
			continue;
		}
		if (is_dir_option(argv[i])) {
			if (++i == argc)
				return usage_error(def, "wants a directory", argv[i - 1]);
			out->config_dir = argv[i];
			continue;
		}
		int code = parse_flag(def, argv[i], out);
		if (code >= 0)
			return code;
	}
	out->rest = argv + i;
	out->n_rest = argc - i;
	return -1;
}

/* ---- answers that need no bus ---- */

static int complain(const struct stage_def *def, int rc, const struct why *why)
{
	fprintf(stderr, "healbus-%s: %s\n", def->name, why->text[0] ? why->text : err_name(rc));
	return EXIT_CONFIG;
}

static int print_bus(const struct stage_def *def, const char *dir, struct buf *out)
{
	struct bus_config c = {0};
	struct why why = {0};
	int rc = config_load(&bus_option_table, dir, stage_environment, &c, &why);
	if (rc)
		return complain(def, rc, &why);
	if (out)
		config_print(&bus_option_table, dir, &c, out);
	config_release(&bus_option_table, &c);
	return EXIT_STOPPED;
}

static int print_stage(const struct stage_def *def, const char *dir, struct buf *out)
{
	struct stage_snapshot *c = NULL;
	struct why why = {0};
	int rc = stage_config_load(def, dir, &c, &why);
	if (rc)
		return complain(def, rc, &why);
	if (out)
		config_print(def->options, dir, stage_snapshot_values(c), out);
	stage_snapshot_free(def, c);
	return EXIT_STOPPED;
}

static int check(const struct stage_def *def, const char *dir)
{
	int code = print_bus(def, dir, NULL);
	if (code == EXIT_STOPPED)
		code = print_stage(def, dir, NULL);
	if (code == EXIT_STOPPED)
		printf("healbus-%s: %s: configuration is good\n", def->name, dir);
	return code;
}

static int run_command(const struct stage_def *def, const struct stage_cli *cli)
{
	if (def->n_folds && cli->n_rest == 1 && str_eq(cli->rest[0], hash_command))
		return stage_hash(def, cli->config_dir);
	for (size_t i = 0; i < def->n_commands; i++)
		if (str_eq(def->commands[i].name, cli->rest[0]))
			return def->commands[i].run(cli->n_rest, cli->rest, cli->config_dir);
	return usage_error(def, "no such command", cli->rest[0]);
}

int stage_cli_answer(const struct stage_def *def, const struct stage_cli *cli)
{
	auto_buf out = {0};
	bool bus = str_eq(cli->print, "bus");
	int code = -1;
	if (cli->n_rest > 0)
		return run_command(def, cli);
	if (cli->check)
		return check(def, cli->config_dir);
	if (cli->healthy)
		return stage_healthy(def, cli->config_dir);
	if (cli->example) {
		config_example(bus ? &bus_option_table : def->options, &out);
		code = EXIT_STOPPED;
	} else if (cli->print_config) {
		code = bus ? print_bus(def, cli->config_dir, &out)
			   : print_stage(def, cli->config_dir, &out);
	}
	fputs(buf_str(&out), stdout);
	return code;
}
