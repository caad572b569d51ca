#include <jansson.h>
#include <signal.h>

#include "common/http_client.h"
#include "common/log.h"
#include "common/mem.h"
#include "executor/broker/confine.h"
#include "executor/broker/serve.h"

/* sysexits.h, as the stages have them. */
enum { EXIT_STOPPED = 0, EXIT_SICK = 1, EXIT_USAGE = 64, EXIT_INTERNAL = 70, EXIT_CONFIG = 78 };
enum { HEALTHY_MS = 3000 };

static const char program[] = "healbus-docker-broker";
static const char default_dir[] = "/etc/healbus";

/* ---- the command line ---- */

static void print_usage(FILE *to)
{
	fprintf(to,
		"%s: the Docker Engine's API, as little of it as healbus needs\n\n"
		"usage: %s [-c DIR] [--check | --print-config | --example-config | --healthy]\n\n"
		"  -c, --config DIR    configuration directory (default %s): %s\n"
		"  --check             read the configuration, say what is wrong, exit 0 or 78\n"
		"  --print-config      print the configuration in effect, as a file to use\n"
		"  --example-config    print a commented example of every key\n"
		"  --healthy           ask the broker that runs whether it does, exit 0 or 1\n"
		"  --help, --version\n",
		program, program, default_dir, broker_options.file);
}

static int print_help(void)
{
	auto_buf keys = {0};

	print_usage(stdout);
	config_help(&broker_options, &keys);
	printf("\nkeys of %s (environment: %sKEY):\n%s", broker_options.file,
	       broker_options.env_prefix, buf_str(&keys));
	printf("\nsignals: TERM and INT answer what is under way and stop, a second one stops at\n"
	       "once; HUP reloads.\nexit codes: 0 stopped, 64 usage, 70 internal, 78 "
	       "configuration.\n"
	       "\ntry it:  curl --unix-socket /run/healbus-broker/docker.sock "
	       "http://docker/containers/json\n");
	return EXIT_STOPPED;
}

static int complain(const char *reason)
{
	fprintf(stderr, "%s: %s\n", program, reason);
	return EXIT_CONFIG;
}

static int ask_healthy(const char *dir, const struct broker_config *c)
{
	(void)dir;
	struct http_client *http = NULL;
	struct http_call call = {
		.url = "http://broker/healthz", .unix_socket = c->listen, .timeout_ms = HEALTHY_MS};
	struct http_answer a = {0};
	struct why why = {0};
	int rc = http_client_new(&http);

	if (!rc)
		rc = http_client_call(http, &call, &a, &why);
	if (!rc)
		rc = http_status_err(a.status);
	if (rc)
		fprintf(stderr, "%s: %s: %s\n", program, c->listen,
			why.text[0] ? why.text : err_name(rc));
	http_answer_release(&a);
	http_client_free(http);
	return rc ? EXIT_SICK : EXIT_STOPPED;
}

static int run(const char *dir, const struct broker_config *c);

static int check(const char *dir, const struct broker_config *c)
{
	(void)dir, (void)c;
	printf("%s: configuration is good\n", program);
	return EXIT_STOPPED;
}

static int print_config(const char *dir, const struct broker_config *c)
{
	auto_buf out = {0};

	(void)dir;
	config_print(&broker_options, "/", c, &out);
	fputs(buf_str(&out), stdout);
	return EXIT_STOPPED;
}

/* What is done with the configuration, which comes from dir. */
typedef int command(const char *dir, const struct broker_config *c);

static const struct {
	const char *name;
	command *run;
} commands[] = {{"--check", check}, {"--print-config", print_config}, {"--healthy", ask_healthy}};

static int print_plain(const char *arg)
{
	auto_buf out = {0};

	if (str_eq(arg, "--help") || str_eq(arg, "-h"))
		return print_help();
	if (str_eq(arg, "--version")) {
		printf("%s %s\n", program, HEALBUS_VERSION);
		return EXIT_STOPPED;
	}
	if (!str_eq(arg, "--example-config")) {
		fprintf(stderr, "%s: %s: no such option\n\n", program, arg);
		print_usage(stderr);
		return EXIT_USAGE;
	}
	config_example(&broker_options, &out);
	fputs(buf_str(&out), stdout);
	return EXIT_STOPPED;
}

/* -1: go on with *out_dir and *out_run; else the exit code. */
static int parse(int argc, char **argv, const char **out_dir, command **out_run)
{
	for (int i = 1; i < argc; i++) {
		bool dir = str_eq(argv[i], "-c") || str_eq(argv[i], "--config");
		command *found = NULL;

		if (dir && i + 1 < argc) {
			*out_dir = argv[++i];
			continue;
		}
		for (size_t k = 0; k < ARRAY_SIZE(commands); k++)
			found = str_eq(argv[i], commands[k].name) ? commands[k].run : found;
		if (!found)
			return print_plain(argv[i]);
		*out_run = found;
	}
	return -1;
}

/* ---- one life ---- */

/* Sanitizers need calls that nobody else does. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED true
#endif
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

static sigset_t our_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	return set;
}

static void *json_memory(size_t bytes)
{
	return mem_realloc(NULL, bytes);
}

static bool confine(int rc, const char *what, const struct why *why)
{
	if (rc == ERR_UNSUPPORTED)
		LOG(WARN, "not confined", S("what", what), S("why", why->text));
	else if (rc)
		LOG(ERROR, "cannot start", S("error", err_name(rc)), S("why", why->text));
	return rc == 0 || rc == ERR_UNSUPPORTED;
}

static int start(const char *dir, const struct broker_config *c, struct broker **out)
{
	struct why why = {0};

	if (!SANITIZED && !confine(confine_files(c->listen, dir, &why), "files", &why))
		return EXIT_CONFIG;
	int rc = broker_open(c, out, &why);
	if (rc) {
		LOG(ERROR, "cannot start", S("error", err_name(rc)), S("why", why.text));
		return err_class(rc) == ERR_CLASS_INTERNAL && rc != ERR_CONFIG ? EXIT_INTERNAL
									       : EXIT_CONFIG;
	}
	why = (struct why){0};
	if (!SANITIZED)
		confine(confine_calls(&why), "calls", &why);
	LOG(INFO, "started", S("version", HEALBUS_VERSION), S("listen", c->listen),
	    S("engine", c->engine_socket), S("label", c->label), I("uid", getuid()));
	return EXIT_STOPPED;
}

static void reload(struct broker *b, const char *dir)
{
	struct broker_config c = {0};
	struct why why = {0};

	if (broker_config_load(dir, &c, &why)) {
		LOG(ERROR, "configuration not reloaded, the old one stays", S("why", why.text));
	} else {
		log_set_level((enum log_level)c.log_level);
		broker_reload(b, &c);
		LOG(INFO, "configuration reloaded");
	}
	config_release(&broker_options, &c);
}

static int run(const char *dir, const struct broker_config *c)
{
	const sigset_t set = our_signals();
	struct broker *b = NULL;
	int sig;

	if (geteuid() == 0 && !c->allow_root)
		return complain("will not run as root: give it a user of its own in the group of "
				"the Engine's socket (or set allow_root)");
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	log_init("docker-broker", (enum log_level)c->log_level);
	int code = start(dir, c, &b);
	if (code)
		return code;
	mem_settle();
	while (sigwait(&set, &sig) == 0 && sig == SIGHUP)
		reload(b, dir);
	LOG(INFO, "stopping");
	/* A second one ends it where it stands. */
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	broker_close(b);
	LOG(INFO, "stopped");
	return EXIT_STOPPED;
}

int main(int argc, char **argv)
{
	const char *dir = default_dir;
	command *chosen = run;
	struct broker_config c = {0};
	struct why why = {0};

	mem_start();
	json_set_alloc_funcs(json_memory, free);
	int code = parse(argc, argv, &dir, &chosen);
	if (code >= 0)
		return code;
	int rc = broker_config_load(dir, &c, &why);
	code = rc ? complain(why.text[0] ? why.text : err_name(rc)) : chosen(dir, &c);
	config_release(&broker_options, &c);
	return code;
}
