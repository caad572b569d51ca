#include "notifier/ctl/ctl.h"
#include "notifier/ctl/run.h"

/*
 * Man pages: healctl's from the table of commands; a stage's from the option table that its own
 * --help prints, with the text here.
 */

static const struct page {
	const char *program, *what, *text;
	const char *file; /* its configuration, where it is no stage; NULL: it is one */
} pages[] = {
	{"healbus-monitor", "receive alerts and fold them into incidents",
	 "Takes alerts over HTTP (POST /webhook/SOURCE) and from raw.* on the bus, runs the "
	 "built-in "
	 "checks, normalises all into events, and folds events that share a cause into incidents. "
	 "Silences, inhibition, flap damping and muting happen here. It answers 2xx only after the "
	 "bus has stored what came.",
	 NULL},
	{"healbus-reasoner", "answer incidents with plans",
	 "Reads incidents and outcomes from the bus and answers each incident with a plan from the "
	 "first runbook that fits; after a failure with the next attempt; when attempts are used "
	 "up, "
	 "with an escalation that says what was tried.",
	 NULL},
	{"healbus-executor", "run plans that policy allows",
	 "Checks each step of a plan against its catalogue, inventory and policy at the moment of "
	 "starting, asks a human where policy says so, and runs it: one action on one target at a "
	 "time, never twice, in a sandbox, verified, undone when it fails. Start more of them to "
	 "scale.",
	 NULL},
	{"healbus-notifier", "tell people, take their answers, keep the story",
	 "Follows the story of every incident, tells people through the configured channels, takes "
	 "and signs their decisions, and serves the API that healctl(1) uses.",
	 NULL},
	{"healbus-docker-broker", "the Docker Engine's API, as little of it as healbus needs",
	 "Listens on a unix socket and forwards to the Engine's what is read only (ping, version, "
	 "list, inspect without secrets, the end of a log) and restart, start and stop, for "
	 "containers that carry a label. It runs as a user of its own, in the group of the "
	 "Engine's socket; "
	 "nobody else needs that socket.",
	 "/etc/healbus/broker.yaml"},
};

/* One line of text in roff: a leading dot or quote is no request, a backslash no escape. */
static void roff(struct ctl *c, const char *text)
{
	bool at_start = true;

	for (; *text; text++) {
		if (at_start && (*text == '.' || *text == '\''))
			ctl_printf(c, "\\&");
		if (*text == '\\')
			ctl_printf(c, "\\e");
		else if (*text == '-')
			ctl_printf(c, "\\-");
		else
			buf_add_char(&c->out, *text);
		at_start = *text == '\n';
	}
}

static void request(struct ctl *c, const char *name, const char *text)
{
	ctl_printf(c, ".%s ", name);
	roff(c, text);
	ctl_printf(c, "\n");
}

static void paragraph(struct ctl *c, const char *text)
{
	ctl_printf(c, ".PP\n");
	roff(c, text);
	ctl_printf(c, "\n");
}

static void tagged(struct ctl *c, const char *tag, const char *text)
{
	ctl_printf(c, ".TP\n.B ");
	roff(c, tag);
	ctl_printf(c, "\n");
	roff(c, text);
	ctl_printf(c, "\n");
}

static void title(struct ctl *c, const char *name, unsigned section, const char *what)
{
	ctl_printf(c, ".TH %s %u \"\" \"healbus %s\" \"healbus\"\n.SH NAME\n", name, section,
		   HEALBUS_VERSION);
	roff(c, name);
	ctl_printf(c, " \\- ");
	roff(c, what);
	ctl_printf(c, "\n");
}

static void flags(struct ctl *c, const struct ctl_flag *list, size_t n)
{
	for (size_t i = 0; i < n && list[i].name; i++) {
		auto_buf tag = {0};

		if (list[i].letter)
			buf_printf(&tag, "-%c, ", list[i].letter);
		buf_printf(&tag, "--%s%s%s", list[i].name, list[i].arg ? " " : "",
			   list[i].arg ? list[i].arg : "");
		tagged(c, buf_str(&tag), list[i].help);
	}
}

static void commands(struct ctl *c)
{
	request(c, "SH", "COMMANDS");
	for (size_t i = 0; i < ctl_commands_n; i++) {
		const struct ctl_command *cmd = ctl_commands[i];
		auto_buf head = {0};

		if (!cmd->summary)
			continue;
		buf_printf(&head, "%s %s", cmd->name, cmd->args);
		request(c, "SS", buf_str(&head));
		auto_buf text = {0};
		buf_printf(&text, "%c%s.%s%s",
			   cmd->summary[0] - ('a' - 'A') * (cmd->summary[0] >= 'a'),
			   cmd->summary + 1, *cmd->help ? " " : "", cmd->help);
		roff(c, buf_str(&text));
		ctl_printf(c, "\n");
		flags(c, cmd->flags, CTL_FLAGS_MAX);
	}
}

static int healctl_page(struct ctl *c)
{
	title(c, "healctl", 1, "see and steer healbus");
	request(c, "SH", "SYNOPSIS");
	paragraph(c, "healctl [OPTION...] COMMAND [WORD...]");
	request(c, "SH", "DESCRIPTION");
	paragraph(c,
		  "Shows incidents and their stories, answers approvals, silences, pauses, undoes, "
		  "and examines the installation. It asks the notifier's API; only publish and "
		  "doctor speak to the bus, and backtest needs neither. Ids may be given as any "
		  "prefix that names one thing "
		  "only.");
	commands(c);
	request(c, "SH", "OPTIONS");
	flags(c, ctl_global_flags, ctl_global_flags_n);
	request(c, "SH", "EXIT STATUS");
	tagged(c, "0", "done");
	tagged(c, "1", "it said no, nothing was found, or a check failed");
	tagged(c, "64", "wrong usage");
	tagged(c, "69", "the notifier or the bus cannot be reached");
	request(c, "SH", "FILES");
	tagged(c, "~/.config/healbus/token", "the API token, mode 0600");
	tagged(c, "/etc/healbus/bus.yaml", "where the bus is, for publish and doctor");
	tagged(c, "/etc/healbus/monitor.yaml, reasoner.yaml", "what backtest goes by");
	request(c, "SH", "ENVIRONMENT");
	paragraph(c, "HEALBUS_URL, HEALBUS_TOKEN_FILE, HEALBUS_CONFIG, NO_COLOR, COLUMNS");
	request(c, "SH", "SEE ALSO");
	paragraph(c, "healbus-monitor(1), healbus-reasoner(1), healbus-executor(1), "
		     "healbus-notifier(1), healbus-docker-broker(1)");
	return EXIT_OK;
}

static int stage_end(struct ctl *c, const struct page *page)
{
	auto_buf file = {0};

	buf_printf(&file, "/etc/healbus/%s.yaml", page->program + strlen("healbus-"));
	request(c, "SH", "SIGNALS");
	paragraph(
		c,
		"SIGTERM and SIGINT drain: what is under way is finished, nothing new is begun. A "
		"second one stops at once. SIGHUP reloads the configuration; one that does not "
		"load keeps the old one.");
	request(c, "SH", "EXIT STATUS");
	paragraph(c,
		  "0 stopped, 64 usage, 69 the bus refused us, 70 internal, 75 the state is locked "
		  "by another process, 78 configuration.");
	request(c, "SH", "FILES");
	tagged(c, buf_str(&file), "its configuration; every key has a default");
	tagged(c, "/etc/healbus/bus.yaml", "where the bus is");
	request(c, "SH", "SEE ALSO");
	paragraph(c, "healctl(1)");
	return EXIT_OK;
}

static int program_end(struct ctl *c, const struct page *page)
{
	request(c, "SH", "FILES");
	tagged(c, page->file, "its configuration; every key has a default");
	request(c, "SH", "SEE ALSO");
	paragraph(c, "healbus-executor(1), healctl(1)");
	return EXIT_OK;
}

static int stage_page(struct ctl *c, const struct page *page)
{
	auto_buf help = {0};
	const char *argv[] = {NULL, "--help", NULL};
	int status;

	if (run_beside(page->program, argv, &help, &status) || status != 0)
		return ctl_fail(EXIT_NO, "build or install it beside healctl",
				"%s --help does not run", page->program);
	title(c, page->program, 1, page->what);
	request(c, "SH", "DESCRIPTION");
	paragraph(c, page->text);
	request(c, "SH", "SYNOPSIS AND OPTIONS");
	ctl_printf(c, ".nf\n");
	roff(c, buf_str(&help));
	ctl_printf(c, "%s.fi\n", help.len && help.data[help.len - 1] == '\n' ? "" : "\n");
	return page->file ? program_end(c, page) : stage_end(c, page);
}

static int cmd_manual(struct ctl *c)
{
	if (c->n_args == 0 || str_eq(c->args[0], "healctl"))
		return healctl_page(c);
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
		if (str_eq(pages[i].program, c->args[0]))
			return stage_page(c, &pages[i]);
	}
	return ctl_fail(EXIT_USAGE, "healctl help manual", "%s: there is no such page", c->args[0]);
}

static const char help_manual[] =
	"Without a word, that of healctl; for one of the other programs (healbus-monitor, "
	"healbus-docker-broker) it runs that, beside healctl, for its options.";

const struct ctl_command command_manual = {
	.name = "manual",
	.args = "[PROGRAM]",
	.summary = "print a man page in roff",
	.help = help_manual,
	.run = cmd_manual,
	.args_max = 1,
};
